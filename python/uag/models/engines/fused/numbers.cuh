// Numbers of one type, and sums of them: NUMBER is 0 for float32, 1 for bfloat16, 2 for float16.
//
// Kernels compute in float32, and round each result where the module that they stand for rounds it:
// all but sums have the same bits. HEAD and VALUE are the sizes of a head of keys and of values.

#if NUMBER == 0
typedef float Number;
__device__ float wide(Number x) { return x; }
__device__ Number narrow(float x) { return x; }
#elif NUMBER == 1
typedef unsigned short Number;
__device__ float wide(Number x) { return __uint_as_float((unsigned)x << 16); }
__device__ Number narrow(float x) {
  if (x != x) return 0x7fff;
  const unsigned bits = __float_as_uint(x);
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
#else
typedef unsigned short Number;
__device__ float wide(Number x) {
  float y;
  asm("cvt.f32.f16 %0, %1;" : "=f"(y) : "h"(x));
  return y;
}
__device__ Number narrow(float x) {
  Number y;
  asm("cvt.rn.f16.f32 %0, %1;" : "=h"(y) : "f"(x));
  return y;
}
#endif

#define NONE (-__uint_as_float(0x7f800000))  // minus infinity

__device__ float rounded(float x) { return wide(narrow(x)); }

// 16 bytes, which are read and written at once.
const int PACK = 16 / sizeof(Number);
struct __align__(16) Pack {
  Number at[PACK];
};

// Programmatic dependent launch: a kernel may begin before those launched earlier have ended. It
// calls `let_others_begin` first, and until `wait_for_others` only reads what no kernel writes.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 900
__device__ void let_others_begin() { asm volatile("griddepcontrol.launch_dependents;"); }
__device__ void wait_for_others() { asm volatile("griddepcontrol.wait;" ::: "memory"); }
#else
__device__ void let_others_begin() {}
__device__ void wait_for_others() {}
#endif

// The sum over COUNT threads of a warp, a power of two.
template <int COUNT = 32>
__device__ float total(float mine) {
  for (int apart = COUNT / 2; apart > 0; apart /= 2)
    mine += __shfl_xor_sync(0xffffffff, mine, apart);
  return mine;
}

// The largest number of COUNT threads of a warp.
template <int COUNT = 32>
__device__ float largest(float mine) {
  for (int apart = COUNT / 2; apart > 0; apart /= 2)
    mine = fmaxf(mine, __shfl_xor_sync(0xffffffff, mine, apart));
  return mine;
}

// The sum over the threads of a block of whole warps; `sums` has room for one number of each.
__device__ float total(float mine, float* sums) {
  mine = total(mine);
  if (threadIdx.x % 32 == 0) sums[threadIdx.x / 32] = mine;
  __syncthreads();
  float all = 0;
  for (int warp = 0; warp < blockDim.x / 32; warp++) all += sums[warp];
  return all;
}

// A number of a row, `scale` times and times a factor; see `rms_norm`.
__device__ Number normalized(float x, float scale, float factor, int offset) {
  const float normal = x * scale;
  return offset ? narrow(normal * (1 + factor)) : narrow(rounded(normal) * factor);
}

// A number, and the one opposite to it, rotated by an angle. Both products are rounded before they are
// added, also in float32.
__device__ Number rotated(float x, float opposite, Number cosine, Number sine) {
  return narrow(rounded(__fmul_rn(x, wide(cosine))) + rounded(__fmul_rn(opposite, wide(sine))));
}

// Kind 0 is SiLU, 1 GELU, 2 GELU by tanh.
__device__ float activated(float x, int kind) {
  if (kind == 0) return x / (1 + expf(-x));
  if (kind == 1) return 0.5f * x * (1 + erff(x * 0.70710678118654752f));
  return 0.5f * x * (1 + tanhf(0.79788456080286536f * (x + 0.044715f * x * x * x)));
}

// activation(gate) * up, of numbers that are rounded already.
__device__ Number let_through(float gate, float up, int kind) {
  return narrow(rounded(activated(gate, kind)) * up);
}
