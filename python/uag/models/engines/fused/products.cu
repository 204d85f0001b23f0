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
                        int count_c, int size, int ahead, int) {
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
  if (ahead && threadIdx.x % 32 < 2) read_ahead((threadIdx.x % 32 ? up : gate) + begin, ahead);
  wait_for_others();
  if (row >= count) return;
  float gates[WIDTH], ups[WIDTH];
  dot<WIDTH>(gate + begin, x, packs, gates);
  dot<WIDTH>(up + begin, x, packs, ups);
  if (threadIdx.x % 32 == 0)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] = let_through(gates[id], ups[id], kind);
}

// For up to 8 vectors there are tensor cores. Each warp of a block has a share of every row's numbers:
// so much is read at the same time that the memory is busy, also where there are few rows.
#if NUMBER > 0 && (!defined(__CUDA_ARCH__) || __CUDA_ARCH__ >= 800)
const int WARPS = 8;

#ifdef __CUDA_ARCH__
#if NUMBER == 1
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
#else
#define MULTIPLY "mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
#endif

// The products of 16 rows with 8 vectors, by a warp. A thread has a pack of rows `group` = lane / 4 and
// `group` + 8, and of vector `group`. The packs of a group's four threads make up 32 numbers, in one
// order for all. `sums`: rows `group` and `group` + 8, each with vectors 2 * (lane % 4) and the next.
__device__ void multiply(const Words& row, const Words& other, const Words& vector,
                         float (&sums)[4]) {
#pragma unroll
  for (int half = 0; half < 4; half += 2)
    asm(MULTIPLY "{%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
        : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
        : "r"(row.at[half]), "r"(other.at[half]), "r"(row.at[half + 1]), "r"(other.at[half + 1]),
          "r"(vector.at[half]), "r"(vector.at[half + 1]));
}
#endif

// The products of 16 * TILES rows with 8 vectors, in parts: of each warp's numbers.
template <int TILES>
struct Products {
  float parts[WARPS][16 * TILES][8];

  __device__ float of(int row, int id) const {
    float sum = 0;
    for (int warp = 0; warp < WARPS; warp++) sum += parts[warp][row][id];
    return sum;
  }

  // `rows`: those that this thread reads (see `multiply`), of each tile two. Of vectors there are
  // `width`.
  __device__ void fill(const Pack* const (&rows)[2 * TILES], const Pack* x, int width, int packs) {
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const int AT_ONCE = 4 / TILES;
    const Pack* vector = x + group * packs;
    float sums[TILES][4] = {};
    for (int from = 0; from < packs; from += 4 * WARPS * AT_ONCE) {  // as often in each warp
      const int first = from + 4 * warp + member;
      Words weights[AT_ONCE][2 * TILES], numbers[AT_ONCE];
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const int i = first + 4 * WARPS * k;
#pragma unroll
        for (int row = 0; row < 2 * TILES; row++) weights[k][row] = once(rows[row] + i, i < packs);
      }
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const int i = first + 4 * WARPS * k;
        numbers[k] = Words{};
        if (i < packs && group < width) numbers[k].pack = vector[i];
      }
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++)
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
          multiply(weights[k][2 * tile], weights[k][2 * tile + 1], numbers[k], sums[tile]);
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++)
#pragma unroll
      for (int at = 0; at < 4; at++)
        parts[warp][16 * tile + group + at / 2 * 8][2 * member + at % 2] = sums[tile][at];
    __syncthreads();
  }
};

// As `project`, for `width` rows of x; a block 16 rows of the matrices.
__device__ void tiled(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                              const Number* bias_a, const Number* bias_b, const Number* bias_c,
                              Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                              int count_c, int size, int ahead, int width) {
  __shared__ Products<1> products;
  const int first = blockIdx.x * 16, group = threadIdx.x % 32 / 4, packs = size / PACK;
  const int count = count_a + count_b + count_c;
  const auto row_at = [&](int row) {
    return row_of(min(first + row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                  count_a, count_b, count_c, packs);
  };
  const Pack* rows[] = {row_at(group).numbers, row_at(group + 8).numbers};
  let_others_begin();
  if (ahead && threadIdx.x < 16) read_ahead(row_at(threadIdx.x).numbers, ahead);
  wait_for_others();
  products.fill(rows, x, width, packs);
  for (int i = threadIdx.x; i < 16 * width; i += blockDim.x) {
    const int row = i % 16, id = i / 16;
    const Row mine = row_at(row);
    if (first + row < count)
      mine.y[id * mine.count] = narrow(products.of(row, id) + (mine.bias ? wide(*mine.bias) : 0));
  }
}

// As `project_gated`, for `width` rows of x; a block 16 rows of both.
__device__ void gated_tiled(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                                    int count, int size, int kind, int ahead, int width) {
  __shared__ Products<2> products;
  const int first = blockIdx.x * 16, group = threadIdx.x % 32 / 4, packs = size / PACK;
  const auto row_at = [&](const Pack* matrix, int row) {
    return matrix + (long long)min(first + row, count - 1) * packs;
  };
  const Pack* rows[] = {row_at(gate, group), row_at(gate, group + 8), row_at(up, group),
                        row_at(up, group + 8)};
  let_others_begin();
  if (ahead && threadIdx.x < 32) read_ahead(row_at(threadIdx.x < 16 ? gate : up, threadIdx.x % 16), ahead);
  wait_for_others();
  products.fill(rows, x, width, packs);
  for (int i = threadIdx.x; i < 16 * width; i += blockDim.x) {
    const int row = i % 16, id = i / 16;
    if (first + row < count)
      y[id * count + first + row] = let_through(products.of(row, id), products.of(16 + row, id), kind);
  }
}

#endif

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
// So many blocks of a kernel have room on a processor.
#define BLOCKS __launch_bounds__(32 * WARPS, 3)
// Such as project_2 and project_gated_2, for two vectors.
#define OF_WIDTH(WIDTH)                      \
  PROJECT(project_##WIDTH, , project<WIDTH>) \
  GATED(project_gated_##WIDTH, , project_gated<WIDTH>)
#define TILED                                   \
  PROJECT(project_tiled, BLOCKS, tiled) \
  GATED(project_gated_tiled, BLOCKS, gated_tiled)
#ifdef PRODUCTS  // such as OF_WIDTH(2)
PRODUCTS
#endif
