// Products of matrices with a few vectors, which take as long as reading the matrices.

// The products of one row of a matrix with WIDTH vectors of `packs` packs, in each thread of a warp.
template <int WIDTH>
__device__ void dot(const Pack* row, const Pack* x, int packs, float (&sums)[WIDTH]) {
  for (int id = 0; id < WIDTH; id++) sums[id] = 0;
#pragma unroll 4
  for (int i = threadIdx.x % 32; i < packs; i += 32) {
    const Pack weights = row[i];
    for (int id = 0; id < WIDTH; id++) {
      const Pack numbers = x[id * packs + i];
      for (int j = 0; j < PACK; j++) sums[id] += wide(weights.at[j]) * wide(numbers.at[j]);
    }
  }
  for (int id = 0; id < WIDTH; id++)
    for (int apart = 16; apart > 0; apart /= 2)
      sums[id] += __shfl_xor_sync(0xffffffff, sums[id], apart);
}

// x @ matrix.T + bias, for up to three matrices and the same WIDTH rows of x; a warp a row of a
// matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size) {
  int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, count = count_a;
  const Pack* matrix = a;
  const Number* bias = bias_a;
  Number* y = y_a;
  if (row >= count_a + count_b) {
    row -= count_a + count_b, count = count_c, matrix = c, bias = bias_c, y = y_c;
  } else if (row >= count_a) {
    row -= count_a, count = count_b, matrix = b, bias = bias_b, y = y_b;
  }
  if (row >= count) return;
  const int packs = size / PACK;
  float sums[WIDTH];
  dot<WIDTH>(matrix + (long long)row * packs, x, packs, sums);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] = narrow(sums[id] + (bias ? wide(bias[row]) : 0));
}

// activation(x @ gate.T) * (x @ up.T): a warp a row of both.
template <int WIDTH>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  if (row >= count) return;
  float gates[WIDTH], ups[WIDTH];
  dot<WIDTH>(gate + (long long)row * packs, x, packs, gates);
  dot<WIDTH>(up + (long long)row * packs, x, packs, ups);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] =
          narrow(rounded(activated(rounded(gates[id]), kind)) * rounded(ups[id]));
}

#define OF_WIDTH(WIDTH)                                                                            \
  extern "C" __global__ void project_##WIDTH(                                                      \
      const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,            \
      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c,           \
      int count_a, int count_b, int count_c, int size) {                                           \
    project<WIDTH>(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                   size);                                                                          \
  }                                                                                                \
  extern "C" __global__ void project_gated_##WIDTH(const Pack* x, const Pack* gate,                \
                                                   const Pack* up, Number* y, int count, int size, \
                                                   int kind) {                                     \
    project_gated<WIDTH>(x, gate, up, y, count, size, kind);                                       \
  }
#ifdef PRODUCTS  // such as OF_WIDTH(2)
PRODUCTS
#endif
