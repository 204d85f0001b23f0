// Products of matrices with a few vectors, which take as long as reading the matrices.

// Packs of each row that a thread has asked for at any time.
const int AT_ONCE = 2;

// Rows of matrices that `threads` threads of a block, whole warps, multiply with the same vectors, each
// of `packs` packs. The threads take turns with the packs: so what is read at a time is together, which
// the card's memory needs to be fast.
template <int ROWS>
struct Rows {
  const Pack* numbers[ROWS];
  int packs, threads, thread;  // `thread` is which one this is
  Words asked[ROWS][AT_ONCE];

  // Ask for the first packs of this thread.
  __device__ void begin() {
#pragma unroll
    for (int row = 0; row < ROWS; row++)
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const int at = thread + threads * k;
        asked[row][k] = once(numbers[row] + at, at < packs);
      }
  }

  // After `begin`: the products with WIDTH vectors, in the first of the threads.
  template <int WIDTH>
  __device__ void dots(const Pack* x, float (&sums)[ROWS][WIDTH]) {
    Words given[AT_ONCE][WIDTH];  // of the vectors: also asked for before they are used
#pragma unroll
    for (int k = 0; k < AT_ONCE; k++)
#pragma unroll
      for (int id = 0; id < WIDTH; id++) {
        const int at = thread + threads * k;
        given[k][id] = again(x + id * packs + at, at < packs);
      }
    for (int first = thread; first < packs; first += threads * AT_ONCE) {
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const int next = first + threads * (k + AT_ONCE);
        Words words[ROWS], others[WIDTH];
#pragma unroll
        for (int id = 0; id < WIDTH; id++) {
          others[id] = given[k][id];
          given[k][id] = again(x + id * packs + next, next < packs);
        }
#pragma unroll
        for (int row = 0; row < ROWS; row++) {
          words[row] = asked[row][k];
          asked[row][k] = once(numbers[row] + next, next < packs);
        }
#pragma unroll
        for (int id = 0; id < WIDTH; id++)
#pragma unroll
          for (int row = 0; row < ROWS; row++)
            for (int j = 0; j < PACK; j++)
              sums[row][id] += wide(words[row].pack.at[j]) * wide(others[id].pack.at[j]);
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
// a matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent. If there
// is something `added` to the result of a single matrix, their sum goes to `sum`.
// The first packs of each row are asked for before x is there: so the memory is busy while what computes
// x ends.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, const Number* added, Number* sum,
                        int threads) {
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
    for (int id = 0; id < WIDTH; id++) {
      const int place = id * mine.count;
      const Number y = narrow(sums[0][id] + (mine.bias ? wide(*mine.bias) : 0));
      mine.y[place] = y;
      if (added) sum[place + row] = narrow(wide(y) + wide(added[place + row]));
    }
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
      int count_a, int count_b, int count_c, int size, const Number* added, Number* sum,           \
      int threads) {                                                                               \
    project<WIDTH>(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                   size, added, sum, threads);                                                     \
  }                                                                                                \
  extern "C" __global__ void project_gated_##WIDTH(const Pack* x, const Pack* gate,                \
                                                   const Pack* up, Number* y, int count, int size, \
                                                   int kind, int threads) {                        \
    project_gated<WIDTH>(x, gate, up, y, count, size, kind, threads);                              \
  }
#ifdef PRODUCTS
PRODUCTS
#endif
