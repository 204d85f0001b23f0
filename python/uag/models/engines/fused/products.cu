// Products of matrices with a few vectors, which take as long as reading the matrices.

// A row of one of up to three matrices, which are computed together.
struct Row {
  const Pack* numbers;
  const Number* bias;  // or null
  Number* y;           // where its product with the first vector goes
  int count;           // rows of its matrix: so far apart are the products with the next ones
};

__device__ Row row_of(int row, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,
                      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b,
                      Number* y_c, int count_a, int count_b, int count_c, int packs) {
  int count = count_a;
  const Pack* matrix = a;
  const Number* bias = bias_a;
  Number* y = y_a;
  if (row >= count_a + count_b) {
    row -= count_a + count_b, count = count_c, matrix = c, bias = bias_c, y = y_c;
  } else if (row >= count_a) {
    row -= count_a, count = count_b, matrix = b, bias = bias_b, y = y_b;
  }
  return {matrix + (long long)row * packs, bias ? bias + row : bias, y + row, count};
}

// 16 bytes as the device moves them, and as numbers.
union __align__(16) Words {
  unsigned at[4];
  Pack pack;
};

#ifdef __CUDA_ARCH__
// What is read once, and leaves the near cache to what is read again; zeros if it is not `there`. These
// reads stay in their order, so that several are under way before the first one is used.
__device__ Words once(const Pack* from, bool there) {
  Words words;
  asm volatile(
      "{ .reg .pred there; setp.ne.b32 there, %5, 0;"
      "mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;"
      "@there ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4]; }"
      : "=&r"(words.at[0]), "=&r"(words.at[1]), "=&r"(words.at[2]), "=&r"(words.at[3])
      : "l"(from), "r"((int)there));
  return words;
}
#endif

// The products of one row of a matrix with WIDTH vectors of `packs` packs, in each thread of a warp.
template <int WIDTH>
__device__ void dot(const Pack* row, const Pack* x, int packs, float (&sums)[WIDTH]) {
  const int AT_ONCE = 4;
  for (int id = 0; id < WIDTH; id++) sums[id] = 0;
  for (int first = threadIdx.x % 32; first < packs; first += 32 * AT_ONCE) {
    Words weights[AT_ONCE];
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++)
      weights[k] = once(row + first + 32 * k, first + 32 * k < packs);
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++) {
      if (first + 32 * k >= packs) break;
#pragma unroll
      for (int id = 0; id < WIDTH; id++) {
        const Pack numbers = x[id * packs + first + 32 * k];
        for (int j = 0; j < PACK; j++) sums[id] += wide(weights[k].pack.at[j]) * wide(numbers.at[j]);
      }
    }
  }
  for (int id = 0; id < WIDTH; id++) sums[id] = total(sums[id]);
}

// x @ matrix.T + bias, for up to three matrices and the same WIDTH rows of x; a warp a row of a
// matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent.
// `ahead` bytes of each row are read before x is there.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, int ahead) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const int count = count_a + count_b + count_c;
  const Row mine = row_of(min(row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                          count_a, count_b, count_c, packs);
  let_others_begin();
  if (ahead && threadIdx.x % 32 == 0) read_ahead(mine.numbers, ahead);
  wait_for_others();
  if (row >= count) return;
  float sums[WIDTH];
  dot<WIDTH>(mine.numbers, x, packs, sums);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      mine.y[id * mine.count] = narrow(sums[id] + (mine.bias ? wide(*mine.bias) : 0));
}

// activation(x @ gate.T) * (x @ up.T): a warp a row of both.
template <int WIDTH>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind, int ahead) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const long long begin = (long long)min(row, count - 1) * packs;
  let_others_begin();
  if (ahead && threadIdx.x % 32 < 2) read_ahead((threadIdx.x % 32 ? up : gate) + begin, ahead);
  wait_for_others();
  if (row >= count) return;
  float gates[WIDTH], ups[WIDTH];
  dot<WIDTH>(gate + begin, x, packs, gates);
  dot<WIDTH>(up + begin, x, packs, ups);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] = let_through(rounded(gates[id]), rounded(ups[id]), kind);
}

// Such as OF_WIDTH(2): project_2 and project_gated_2, for two vectors.
#define OF_WIDTH(WIDTH)                                                                            \
  extern "C" __global__ void project_##WIDTH(                                                      \
      const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,            \
      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c,           \
      int count_a, int count_b, int count_c, int size, int ahead) {                                \
    project<WIDTH>(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                   size, ahead);                                                                   \
  }                                                                                                \
  extern "C" __global__ void project_gated_##WIDTH(const Pack* x, const Pack* gate,                \
                                                   const Pack* up, Number* y, int count, int size, \
                                                   int kind, int ahead) {                          \
    project_gated<WIDTH>(x, gate, up, y, count, size, kind, ahead);                                \
  }
#ifdef PRODUCTS
PRODUCTS
#endif
