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

// Packs that a thread has asked for before it uses the first one: so much is under way that the memory
// is busy.
const int AT_ONCE = 8;

// Asks for a pack of what no kernel writes, or for zeros if it is not `there`; it comes to `slot`, which
// is in shared memory and of this thread alone. `awaited` waits for all but the last LATER groups of
// requests.
#if defined(__CUDA_ARCH__) && __CUDA_ARCH__ >= 800
__device__ void request(Pack* slot, const Pack* from, bool there) {
  asm volatile("cp.async.cg.shared.global [%0], [%1], 16, %2;" ::"r"(
                   (unsigned)__cvta_generic_to_shared(slot)),
               "l"(from), "r"(there ? 16 : 0)
               : "memory");
}
__device__ void end_of_group() { asm volatile("cp.async.commit_group;" ::: "memory"); }
template <int LATER>
__device__ void await() {
  asm volatile("cp.async.wait_group %0;" ::"n"(LATER) : "memory");
}
#else
__device__ void request(Pack* slot, const Pack* from, bool there) {
  const Pack empty = {};
  *slot = there ? *from : empty;
}
__device__ void end_of_group() {}
template <int LATER>
__device__ void await() {}
#endif

// The next packs of ROWS rows for each of BLOCK threads: pack `first` of its rows, and every STEP-th one
// after it. The first ones are asked for before others' results are waited for.
template <int ROWS, int STEP, int BLOCK>
struct Ahead {
  static const int DEEP = AT_ONCE / ROWS;
  Pack slots[DEEP][ROWS][BLOCK];

  __device__ void ask(int k, const Pack* const (&rows)[ROWS], int i, int packs) {
#pragma unroll
    for (int row = 0; row < ROWS; row++)
      request(&slots[k][row][threadIdx.x], rows[row] + i, i < packs);
    end_of_group();
  }

  // Calls use(pack's index, packs of the rows) for all of them; as often in each thread if `first` < STEP.
  template <class Use>
  __device__ void each(const Pack* const (&rows)[ROWS], int first, int packs, Use use) {
#pragma unroll
    for (int k = 0; k < DEEP; k++) ask(k, rows, first + STEP * k, packs);
    wait_for_others();
    for (int from = 0; from < packs; from += STEP * DEEP)
#pragma unroll
      for (int k = 0; k < DEEP; k++) {
        const int i = first + from + STEP * k;
        Pack held[ROWS];
        await<DEEP - 1>();
#pragma unroll
        for (int row = 0; row < ROWS; row++) held[row] = slots[k][row][threadIdx.x];
        ask(k, rows, i + STEP * DEEP, packs);
        use(i, held);
      }
  }
};

// The products of ROWS rows of matrices with WIDTH vectors of `packs` packs, by a warp.
template <int ROWS, int WIDTH>
__device__ void dot(const Pack* const (&rows)[ROWS], const Pack* x, int packs,
                    float (&sums)[ROWS][WIDTH]) {
  __shared__ Ahead<ROWS, 32, THREADS> ahead;
  ahead.each(rows, threadIdx.x % 32, packs, [&](int i, const Pack (&weights)[ROWS]) {
    if (i >= packs) return;
#pragma unroll
    for (int id = 0; id < WIDTH; id++) {
      const Pack numbers = x[id * packs + i];
#pragma unroll
      for (int row = 0; row < ROWS; row++)
#pragma unroll
        for (int j = 0; j < PACK; j++)
          sums[row][id] += wide(weights[row].at[j]) * wide(numbers.at[j]);
    }
  });
  for (int row = 0; row < ROWS; row++)
    for (int id = 0; id < WIDTH; id++) sums[row][id] = total(sums[row][id]);
}

// x @ matrix.T + bias, for up to three matrices and the same WIDTH rows of x; a warp a row of a
// matrix. A matrix has rows [its count, size], and y [WIDTH, its count]; a bias may be absent.
template <int WIDTH>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, int) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const int count = count_a + count_b + count_c;
  const Row mine = row_of(min(row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                          count_a, count_b, count_c, packs);
  const Pack* rows[] = {mine.numbers};
  float sums[1][WIDTH] = {};
  let_others_begin();
  dot(rows, x, packs, sums);
  if (threadIdx.x % 32 == 0 && row < count)
    for (int id = 0; id < WIDTH; id++)
      mine.y[id * mine.count] = narrow(sums[0][id] + (mine.bias ? wide(*mine.bias) : 0));
}

__device__ Number let_through(float gate, float up, int kind) {
  return narrow(rounded(activated(rounded(gate), kind)) * rounded(up));
}

// activation(x @ gate.T) * (x @ up.T): a warp a row of both.
template <int WIDTH>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind, int) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const long long begin = (long long)min(row, count - 1) * packs;
  const Pack* rows[] = {gate + begin, up + begin};
  float sums[2][WIDTH] = {};
  let_others_begin();
  dot(rows, x, packs, sums);
  if (threadIdx.x % 32 == 0 && row < count)
    for (int id = 0; id < WIDTH; id++)
      y[id * count + row] = let_through(sums[0][id], sums[1][id], kind);
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
    __shared__ Ahead<2 * TILES, 4 * WARPS, 32 * WARPS> ahead;
    const int warp = threadIdx.x / 32, group = threadIdx.x % 32 / 4, member = threadIdx.x % 4;
    const Pack empty = {};
    float sums[TILES][TIMES][4] = {};
    ahead.each(rows, 4 * warp + member, packs, [&](int i, const Pack (&weights)[2 * TILES]) {
#pragma unroll
      for (int time = 0; time < TIMES; time++) {
        const int id = 8 * time + group;
        const Pack numbers = i < packs && id < width ? x[id * packs + i] : empty;
#pragma unroll
        for (int tile = 0; tile < TILES; tile++)
          multiply(weights[2 * tile], weights[2 * tile + 1], numbers, sums[tile][time]);
      }
    });
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
                              int count_c, int size, int width) {
  __shared__ Products<TILES, TIMES> products;
  const int ROWS = 16 * TILES, first = blockIdx.x * ROWS, group = threadIdx.x % 32 / 4;
  const int count = count_a + count_b + count_c, packs = size / PACK;
  const auto row_at = [&](int row) {
    return row_of(min(first + row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                  count_a, count_b, count_c, packs);
  };
  let_others_begin();
  const Pack* rows[2 * TILES];
#pragma unroll
  for (int i = 0; i < 2 * TILES; i++) rows[i] = row_at(8 * i + group).numbers;
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
                                    int count, int size, int kind, int width) {
  __shared__ Products<2 * TILES, TIMES> products;
  const int ROWS = 16 * TILES, first = blockIdx.x * ROWS, group = threadIdx.x % 32 / 4;
  const int packs = size / PACK;
  const auto row_at = [&](int row) {  // those of `gate`, then those of `up`
    const long long other = min(first + row % ROWS, count - 1);
    return (row < ROWS ? gate : up) + other * packs;
  };
  let_others_begin();
  const Pack* rows[4 * TILES];
#pragma unroll
  for (int i = 0; i < 4 * TILES; i++) rows[i] = row_at(8 * i + group);
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
      int count_a, int count_b, int count_c, int size, int width) {                             \
    __VA_ARGS__(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,   \
                size, width);                                                                   \
  }
#define GATED(NAME, BOUNDS, ...)                                                                \
  extern "C" __global__ void BOUNDS NAME(const Pack* x, const Pack* gate, const Pack* up,       \
                                         Number* y, int count, int size, int kind, int width) { \
    __VA_ARGS__(x, gate, up, y, count, size, kind, width);                                      \
  }
// So many blocks of a kernel shall have room on a processor.
#define BY_WARPS __launch_bounds__(THREADS, 8)
#define BY_TILES __launch_bounds__(32 * WARPS, 3)
// Such as project_2 and project_gated_2, for two vectors; project_32x8, for up to 8 of them, and 32
// rows a block; project_gated_16x8.
#define OF_WIDTH(WIDTH)                              \
  PROJECT(project_##WIDTH, BY_WARPS, project<WIDTH>) \
  GATED(project_gated_##WIDTH, BY_WARPS, project_gated<WIDTH>)
#define TILED(ROWS, IDS) PROJECT(project_##ROWS##x##IDS, BY_TILES, project_tiled<ROWS / 16, IDS / 8>)
#define GATED_TILED(ROWS, IDS) \
  GATED(project_gated_##ROWS##x##IDS, BY_TILES, project_gated_tiled<ROWS / 16, IDS / 8>)
#ifdef PRODUCTS  // such as OF_WIDTH(2)
PRODUCTS
#endif
