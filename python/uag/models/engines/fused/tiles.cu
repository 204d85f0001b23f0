// Products of matrices with up to 16 vectors by tensor cores, which take about as long as reading the
// matrices.
//
// A block has 16 rows of matrices, in tiles of 8, and its warps share the rows' numbers. The sum of a
// product may be in any order: so the four threads that have the numbers of a row for a tensor core have
// packs that are side by side, of which each feeds it twice.

#if NUMBER == 1
#define KIND "bf16"
#else
#define KIND "f16"
#endif

#ifdef __CUDA_ARCH__
// sums += a @ b, of a warp: [16, 16] @ [16, 8]. Of a this thread has two numbers of the rows g and g + 8,
// and later ones of both; of b two and two of column g; and of the sums (g, 2 t), (g, 2 t + 1) and those
// 8 rows later; g is its number / 4, and t the rest.
__device__ void multiply(float (&sums)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3,
                         unsigned b0, unsigned b1) {
  asm("mma.sync.aligned.m16n8k16.row.col.f32." KIND "." KIND ".f32 {%0, %1, %2, %3}, "
      "{%4, %5, %6, %7}, {%8, %9}, {%0, %1, %2, %3};"
      : "+f"(sums[0]), "+f"(sums[1]), "+f"(sums[2]), "+f"(sums[3])
      : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}
#endif

// Rows of a tile, and vectors of a group; tiles of a block, an even number. See TILED in kernels.py.
const int SIDE = 8, TILES = 2;
// Packs of each row, and of each vector, that a thread has asked for at any time.
const int AHEAD = 2;

// The share of a warp in the products of a block's rows with up to GROUPS * SIDE vectors.
template <int GROUPS>
struct Tiles {
  static const int WARPS = 16 / GROUPS, STEP = 4 * AHEAD * WARPS;
  typedef float Sums[WARPS][TILES][2 * SIDE][SIDE];  // of each warp, also for vectors that there are not
  const Pack* numbers[TILES];  // this thread's row of each tile
  int packs;
  Words asked[AHEAD][TILES];

  __device__ static int row() { return threadIdx.x % 32 / 4; }
  __device__ static int start() { return threadIdx.x / 32 * 4 * AHEAD + threadIdx.x % 4; }

  // Ask for the first packs of this thread.
  __device__ void begin() {
#pragma unroll
    for (int k = 0; k < AHEAD; k++)
#pragma unroll
      for (int tile = 0; tile < TILES; tile++) {
        const int at = start() + 4 * k;
        asked[k][tile] = once(numbers[tile] + at, at < packs);
      }
  }

  // After `begin`: the products with `ids` vectors.
  __device__ void dots(const Pack* x, int ids, Sums& all) {
    const int lane = threadIdx.x % 32, warp = threadIdx.x / 32;
    const Pack* vectors[GROUPS];
    bool there[GROUPS];
    Words given[AHEAD][GROUPS];
#pragma unroll
    for (int group = 0; group < GROUPS; group++) {
      const int id = group * SIDE + row();
      there[group] = id < ids;
      vectors[group] = x + (there[group] ? id : 0) * packs;
#pragma unroll
      for (int k = 0; k < AHEAD; k++) {
        const int at = start() + 4 * k;
        given[k][group] = again(vectors[group] + at, there[group] && at < packs);
      }
    }
    float sums[TILES][4] = {};
    // All threads of a warp take as many turns.
    for (int first = start(); first - lane % 4 < packs; first += STEP) {
#pragma unroll
      for (int k = 0; k < AHEAD; k++) {
        const int next = first + 4 * k + STEP;
        Words a[2] = {};
#pragma unroll
        for (int group = 0; group < GROUPS; group++) {
          a[group] = given[k][group];
          given[k][group] = again(vectors[group] + next, there[group] && next < packs);
        }
#pragma unroll
        for (int tile = 0; tile < TILES; tile++) {
          const Words b = asked[k][tile];
          asked[k][tile] = once(numbers[tile] + next, next < packs);
#pragma unroll
          for (int j = 0; j < 4; j += 2)
            multiply(sums[tile], a[0].at[j], a[1].at[j], a[0].at[j + 1], a[1].at[j + 1], b.at[j],
                     b.at[j + 1]);
        }
      }
    }
#pragma unroll
    for (int tile = 0; tile < TILES; tile++)
#pragma unroll
      for (int i = 0; i < 4; i++)
        all[warp][tile][i / 2 * SIDE + row()][lane % 4 * 2 + i % 2] = sums[tile][i];
    __syncthreads();
  }

  // The sum over all warps.
  __device__ static float whole(const Sums& all, int tile, int id, int row) {
    float sum = 0;
#pragma unroll
    for (int warp = 0; warp < WARPS; warp++) sum += all[warp][tile][id][row];
    return sum;
  }
};

// See `project` in products.cu; a block TILES * SIDE rows, and `ids` vectors.
template <int GROUPS>
__device__ void project(const Pack* x, const Pack* a, const Pack* b, const Pack* c,
                        const Number* bias_a, const Number* bias_b, const Number* bias_c,
                        Number* y_a, Number* y_b, Number* y_c, int count_a, int count_b,
                        int count_c, int size, int ids) {
  typedef Tiles<GROUPS> Own;
  __shared__ typename Own::Sums all;
  const int packs = size / PACK, count = count_a + count_b + count_c;
  const int first = blockIdx.x * TILES * SIDE;
  const auto row_at = [&](int row) {
    return row_of(row, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,
                  packs);
  };
  Own tiles = {{}, packs};
#pragma unroll
  for (int tile = 0; tile < TILES; tile++)
    tiles.numbers[tile] = row_at(min(first + tile * SIDE + Own::row(), count - 1)).numbers;
  let_others_begin();
  tiles.begin();
  wait_for_others();
  tiles.dots(x, ids, all);
  for (int i = threadIdx.x; i < ids * TILES * SIDE; i += blockDim.x) {
    const int at = i % (TILES * SIDE), id = i / (TILES * SIDE);
    if (first + at >= count) continue;
    const Row mine = row_at(first + at);
    const float sum = Own::whole(all, at / SIDE, id, at % SIDE);
    mine.y[(long long)id * mine.count] = narrow(sum + (mine.bias ? wide(*mine.bias) : 0));
  }
}

// See `project_gated` in products.cu; a block half of its tiles of each matrix, and `ids` vectors.
template <int GROUPS>
__device__ void project_gated(const Pack* x, const Pack* gate, const Pack* up, Number* y,
                              int count, int size, int kind, int ids) {
  typedef Tiles<GROUPS> Own;
  __shared__ typename Own::Sums all;
  const int packs = size / PACK, rows = TILES / 2 * SIDE, first = blockIdx.x * rows;
  Own tiles = {{}, packs};
#pragma unroll
  for (int tile = 0; tile < TILES; tile++) {
    const int row = min(first + tile / 2 * SIDE + Own::row(), count - 1);
    tiles.numbers[tile] = (tile % 2 ? up : gate) + (long long)row * packs;
  }
  let_others_begin();
  tiles.begin();
  wait_for_others();
  tiles.dots(x, ids, all);
  for (int i = threadIdx.x; i < ids * rows; i += blockDim.x) {
    const int at = i % rows, id = i / rows, tile = at / SIDE * 2, row = at % SIDE;
    if (first + at >= count) continue;
    y[(long long)id * count + first + at] = let_through(
        rounded(Own::whole(all, tile, id, row)), rounded(Own::whole(all, tile + 1, id, row)), kind);
  }
}

// Such as UP_TO(16, 2): project_up_to_16 and project_gated_up_to_16, for two groups of vectors.
#define UP_TO(IDS, GROUPS)                                                                         \
  extern "C" __global__ void __launch_bounds__(512 / GROUPS) project_up_to_##IDS(                  \
      const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,            \
      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c,           \
      int count_a, int count_b, int count_c, int size, int ids) {                                  \
    project<GROUPS>(x, a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c, count_a, count_b, count_c,  \
                    size, ids);                                                                    \
  }                                                                                                \
  extern "C" __global__ void __launch_bounds__(512 / GROUPS) project_gated_up_to_##IDS(            \
      const Pack* x, const Pack* gate, const Pack* up, Number* y, int count, int size, int kind,   \
      int ids) {                                                                                   \
    project_gated<GROUPS>(x, gate, up, y, count, size, kind, ids);                                 \
  }
UP_TO(8, 1)
UP_TO(16, 2)
