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
  for (int id = 0; id < WIDTH; id++) sums[id] = total(sums[id]);
}

// x @ matrix.T + bias, for up to three matrices and the same WIDTH rows of x; a warp a row of a
// matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent.
// `ahead` bytes of each row are read before x is there.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, int ahead, int) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const bool is_one = row < count_a + count_b + count_c;
  const Row mine = row_of(is_one ? row : 0, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a,
                          count_b, count_c, packs);
  let_others_begin();
  if (threadIdx.x % 32 == 0) read_ahead(mine.numbers, ahead);
  wait_for_others();
  if (!is_one) return;
  float sums[WIDTH];
  dot<WIDTH>(mine.numbers, x, packs, sums);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      mine.y[id * mine.count] = narrow(sums[id] + (mine.bias ? wide(*mine.bias) : 0));
}

__device__ Number let_through(float gate, float up, int kind) {
  return narrow(rounded(activated(rounded(gate), kind)) * rounded(up));
}

// activation(x @ gate.T) * (x @ up.T): a warp a row of both.
template <int WIDTH>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind, int ahead, int) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const long long begin = (long long)min(row, count - 1) * packs;
  let_others_begin();
  if (threadIdx.x % 32 < 2) read_ahead((threadIdx.x % 32 ? up : gate) + begin, ahead);
  wait_for_others();
  if (row >= count) return;
  float gates[WIDTH], ups[WIDTH];
  dot<WIDTH>(gate + begin, x, packs, gates);
  dot<WIDTH>(up + begin, x, packs, ups);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++) y[id * count + row] = let_through(gates[id], ups[id], kind);
}

// For more vectors there are tensor cores. Each warp of a block has a share of every row's numbers:
// so much is read at the same time that the memory is busy, also where there are few rows.
const int WARPS = 8;

#if NUMBER > 0 && defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
#if NUMBER == 1
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif

// The products of 16 rows with 8 vectors, by a warp. A thread has one pack of rows `group` = lane / 4
// and `group` + 8, and of vector `group`. The packs of a group's four threads make up 32 numbers, in
// one order for all. `sums`: rows `group` and `group` + 8, each with vectors 2 * (lane % 4) and the
// next one.
__device__ void multiply(const Pack& row, const Pack& other, const Pack& vector, float (&sums)[4]) {
#pragma unroll
  for (int half = 0; half < 4; half += 2)
    asm(MULTIPLY "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(row.words[half]), "r"(other.words[half]), "r"(row.words[half + 1]),
          "r"(other.words[half + 1]), "r"(vector.words[half]), "r"(vector.words[half + 1]));
}

// What is read once, and leaves the near cache to what is read again.
__device__ Pack once(const Pack* from) {
  Pack pack;
  asm("ld.global.nc.L1::no_allocate.v4.u32 {%0, %1, %2, %3}, [%4];"
      : "=r"(pack.words[0]), "=r"(pack.words[1]), "=r"(pack.words[2]), "=r"(pack.words[3])
      : "l"(from));
  return pack;
}
#endif

// The products of 16 * TILES rows with 8 * TIMES vectors, in parts: of each warp's numbers.
template <int TILES, int TIMES>
struct Products {
  float parts[WARPS][16 * TILES][8 * TIMES];

  __device__ float of(int row, int id) const {
    float sum = 0;
    for (int warp = 0; warp < WARPS; warp++) sum += parts[warp][row][id];
    return sum;
  }

  // `rows`: those that this thread reads (see `multiply`), of each tile two. Of vectors there are
  // `width`.
  __device__ void fill(const Pack* const (&rows)[2 * TILES], const Pack* x, int width, int packs) {
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const Pack empty = {};
    float sums[TILES][TIMES][4] = {};
#pragma unroll 4
    for (int first = 0; first < packs; first += 4 * WARPS) {
      const int i = first + 4 * warp + member;
      Pack weights[2 * TILES], numbers[TIMES];
#pragma unroll
      for (int row = 0; row < 2 * TILES; row++)
        weights[row] = i < packs ? once(rows[row] + i) : empty;
#pragma unroll
      for (int time = 0; time < TIMES; time++) {
        const int id = 8 * time + group;
        numbers[time] = i < packs && id < width ? x[id * packs + i] : empty;
      }
#pragma unroll
      for (int tile = 0; tile < TILES; tile++)
#pragma unroll
        for (int time = 0; time < TIMES; time++)
          multiply(weights[2 * tile], weights[2 * tile + 1], numbers[time], sums[tile][time]);
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++)
#pragma unroll
      for (int time = 0; time < TIMES; time++)
#pragma unroll
        for (int at = 0; at < 4; at++)
          parts[warp][16 * tile + group + at / 2 * 8][8 * time + 2 * member + at % 2] =
              sums[tile][time][at];
    __syncthreads();
  }
};

// As `project`, for `width` rows of x; a block 16 * TILES rows of the matrices.
template <int TILES, int TIMES>
__device__ void project_tiled(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                              const Number* bias_a, const Number* bias_b, const Number* bias_c,
                              Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                              int count_c, int size, int ahead, int width) {
  __shared__ Products<TILES, TIMES> products;
  const int ROWS = 16 * TILES, first = blockIdx.x * ROWS, group = threadIdx.x % 32 / 4;
  const int count = count_a + count_b + count_c, packs = size / PACK;
  const auto row_at = [&](int row) {
    return row_of(min(first + row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                  count_a, count_b, count_c, packs);
  };
  let_others_begin();
  if (threadIdx.x < ROWS) read_ahead(row_at(threadIdx.x).numbers, ahead);
  const Pack* rows[2 * TILES];
#pragma unroll
  for (int i = 0; i < 2 * TILES; i++) rows[i] = row_at(8 * i + group).numbers;
  wait_for_others();
  products.fill(rows, x, width, packs);
  for (int i = threadIdx.x; i < ROWS * width; i += blockDim.x) {
    const int row = i % ROWS, id = i / ROWS;
    const Row mine = row_at(row);
    if (first + row < count)
      mine.y[id * mine.count] = narrow(products.of(row, id) + (mine.bias ? wide(*mine.bias) : 0));
  }
}

// As `project_gated`, for `width` rows of x; a block 16 * TILES rows of both.
template <int TILES, int TIMES>
__device__ void project_gated_tiled(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                                    int count, int size, int kind, int ahead, int width) {
  __shared__ Products<2 * TILES, TIMES> products;
  const int ROWS = 16 * TILES, first = blockIdx.x * ROWS, group = threadIdx.x % 32 / 4;
  const int packs = size / PACK;
  const auto row_at = [&](int row) {  // those of `gate`, then those of `up`
    const long long other = min(first + row % ROWS, count - 1);
    return (row < ROWS ? gate : up) + other * packs;
  };
  let_others_begin();
  if (threadIdx.x < 2 * ROWS) read_ahead(row_at(threadIdx.x), ahead);
  const Pack* rows[4 * TILES];
#pragma unroll
  for (int i = 0; i < 4 * TILES; i++) rows[i] = row_at(8 * i + group);
  wait_for_others();
  products.fill(rows, x, width, packs);
  for (int i = threadIdx.x; i < ROWS * width; i += blockDim.x) {
    const int row = i % ROWS, id = i / ROWS;
    if (first + row < count)
      y[id * count + first + row] =
          let_through(products.of(row, id), products.of(ROWS + row, id), kind);
  }
}

#define PROJECT(NAME, BOUNDS, ...)                                                              \
  extern "C" __global__ void BOUNDS NAME(                                                       \
      const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,         \
      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c,        \
      int count_a, int count_b, int count_c, int size, int ahead, int width) {                  \
    __VA_ARGS__(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                size, ahead, width);                                                            \
  }
#define GATED(NAME, BOUNDS, ...)                                                                \
  extern "C" __global__ void BOUNDS NAME(const Pack* x, const Pack* gate, const Pack* up,       \
                                         Number* y, int count, int size, int kind, int ahead,   \
                                         int width) {                                           \
    __VA_ARGS__(x, gate, up, y, count, size, kind, ahead, width);                               \
  }
// Registers for two blocks at a time.
#define TWO __launch_bounds__(32 * WARPS, 2)
// Such as project_2 and project_gated_2, for two vectors; project_32x8, for up to 8 of them, and 32
// rows a block; project_gated_16x8.
#define OF_WIDTH(WIDTH)                      \
  PROJECT(project_##WIDTH, , project<WIDTH>) \
  GATED(project_gated_##WIDTH, , project_gated<WIDTH>)
#define TILED(ROWS, IDS) PROJECT(project_##ROWS##x##IDS, TWO, project_tiled<ROWS / 16, IDS / 8>)
#define GATED_TILED(ROWS, IDS) \
  GATED(project_gated_##ROWS##x##IDS, TWO, project_gated_tiled<ROWS / 16, IDS / 8>)
#ifdef PRODUCTS  // such as OF_WIDTH(2)
PRODUCTS
#endif
