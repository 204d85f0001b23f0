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

// Packs that a thread has asked for at any time.
const int AT_ONCE = 2;

// Rows of matrices that `threads` threads of a block, whole warps, multiply with the same vectors, each
// of `packs` packs. The threads take turns with the packs: so what is read at a time is together, which
// the card's memory needs to be fast.
template <int ROWS>
struct Rows {
  static const int EACH = AT_ONCE / ROWS;
  const Pack* numbers[ROWS];
  int packs, threads, thread;  // `thread` is which one this is
  Words asked[ROWS][EACH];

  // Ask for the first packs of this thread.
  __device__ void begin() {
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
      for (int k = 0; k < EACH; k++) {
        const int at = thread + threads * k;
        asked[row][k] = once(numbers[row] + at, at < packs);
      }
  }

  // After `begin`: the products with WIDTH vectors, in the first of the threads.
  template <int WIDTH>
  __device__ void dots(const Pack* x, float (&sums)[ROWS][WIDTH]) {
    for (int first = thread; first < packs; first += threads * EACH) {
#pragma unroll
      for (int k = 0; k < EACH; k++) {
        const int at = first + threads * k, next = at + threads * EACH;
        Words words[ROWS];
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
          words[row] = asked[row][k];
          asked[row][k] = once(numbers[row] + next, next < packs);
        }
#pragma unroll
        for (int id = 0; at < packs && id < WIDTH; id++) {
          const Pack other = x[id * packs + at];
#pragma unroll
          for (int row = 0; row < ROWS; row++)
            for (int j = 0; j < PACK; j++)
              sums[row][id] += wide(words[row].pack.at[j]) * wide(other.at[j]);
        }
      }
    }
    __shared__ float warps[THREADS / 32][ROWS][WIDTH];
    const int warp = threadIdx.x / 32;
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
      for (int id = 0; id < WIDTH; id++)
        sums[row][id] = warps[warp][row][id] = total(sums[row][id]);
    if (threads == 32) return;
    __syncthreads();
    for (int other = warp + 1; thread == 0 && other < warp + threads / 32; other++)
#pragma unroll
      for (int row = 0; row < ROWS; row++)
#pragma unroll
        for (int id = 0; id < WIDTH; id++) sums[row][id] += warps[other][row][id];
  }
};

// x @ matrix.T + bias, for up to three matrices and the same WIDTH rows of x; `threads` threads a row of
// a matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent.
// The first packs of each row are asked for before x is there: so the memory is busy while what computes
// x ends.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, int threads) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x, row = at / threads, packs = size / PACK;
  const int count = count_a + count_b + count_c;
  const Row mine = row_of(min(row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                          count_a, count_b, count_c, packs);
  Rows<1> rows = {{mine.numbers}, packs, threads, at % threads};
  let_others_begin();
  rows.begin();
  wait_for_others();
  if (row >= count) return;
  float sums[1][WIDTH] = {};
  rows.dots(x, sums);
  if (rows.thread == 0)
    for (int id = 0; id < WIDTH; id++)
      mine.y[id * mine.count] = narrow(sums[0][id] + (mine.bias ? wide(*mine.bias) : 0));
}

// activation(x @ gate.T) * (x @ up.T): `threads` threads a row of both.
template <int WIDTH>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind, int threads) {
  const int at = blockIdx.x * blockDim.x + threadIdx.x, row = at / threads, packs = size / PACK;
  const long long begin = (long long)min(row, count - 1) * packs;
  Rows<2> rows = {{gate + begin, up + begin}, packs, threads, at % threads};
  let_others_begin();
  rows.begin();
  wait_for_others();
  if (row >= count) return;
  float sums[2][WIDTH] = {};
  rows.dots(x, sums);
  if (rows.thread == 0)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] = let_through(rounded(sums[0][id]), rounded(sums[1][id]), kind);
}

// Such as OF_WIDTH(2): project_2 and project_gated_2, for two vectors.
#define OF_WIDTH(WIDTH)                                                                            \
  extern "C" __global__ void project_##WIDTH(                                                      \
      const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,            \
      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c,           \
      int count_a, int count_b, int count_c, int size, int threads) {                              \
    project<WIDTH>(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                   size, threads);                                                                 \
  }                                                                                                \
  extern "C" __global__ void project_gated_##WIDTH(const Pack* x, const Pack* gate,                \
                                                   const Pack* up, Number* y, int count, int size, \
                                                   int kind, int threads) {                        \
    project_gated<WIDTH>(x, gate, up, y, count, size, kind, threads);                              \
  }
#ifdef PRODUCTS
PRODUCTS
#endif
