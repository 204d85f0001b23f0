// Products of matrices with one short vector that is normalized first: a warp a row, and each warp
// normalizes the vector for itself. So nothing waits for a kernel that does so.

// Packs of each row that a thread has, at most; see MOST_PACKS in kernels.py.
const int MOST = 4;

// What a vector is divided and multiplied by (see `rms_norm`), and where the result goes, for other
// kernels to read.
struct Norm {
  const Pack* weight;
  Pack* normal;
  float eps;
  int offset;
};

// The products of ROWS rows, each of `packs` packs, with the normal vector; in all threads of a warp.
template <int ROWS>
__device__ void dots(const Pack* const (&numbers)[ROWS], const Pack* x, const Norm& norm, int packs,
                     float (&sums)[ROWS]) {
  Words asked[ROWS][MOST], factors[MOST], given[MOST];
  const int thread = threadIdx.x % 32;
  let_others_begin();
#pragma unroll
  for (int k = 0; k < MOST; k++) {
    const int at = thread + 32 * k;
#pragma unroll
    for (int row = 0; row < ROWS; row++) asked[row][k] = once(numbers[row] + at, at < packs);
    factors[k] = once(norm.weight + at, at < packs);
  }
  wait_for_others();
  float squares = 0;
#pragma unroll
  for (int k = 0; k < MOST; k++) {
    const int at = thread + 32 * k;
    given[k] = again(x + at, at < packs);
  }
#pragma unroll
  for (int k = 0; k < MOST; k++)
    for (int j = 0; j < PACK; j++) squares += wide(given[k].pack.at[j]) * wide(given[k].pack.at[j]);
  const float scale = rsqrtf(total(squares) / (packs * PACK) + norm.eps);
#pragma unroll
  for (int row = 0; row < ROWS; row++) sums[row] = 0;
#pragma unroll
  for (int k = 0; k < MOST; k++) {
    Pack normal;
    for (int j = 0; j < PACK; j++)
      normal.at[j] = normalized(wide(given[k].pack.at[j]), scale, wide(factors[k].pack.at[j]),
                                norm.offset);
    const int at = thread + 32 * k;
    if (blockIdx.x == 0 && threadIdx.x < 32 && at < packs) norm.normal[at] = normal;
#pragma unroll
    for (int row = 0; row < ROWS; row++)
      for (int j = 0; j < PACK; j++)
        sums[row] += wide(asked[row][k].pack.at[j]) * wide(normal.at[j]);
  }
#pragma unroll
  for (int row = 0; row < ROWS; row++) sums[row] = total(sums[row]);
}

// See `project` in products.cu.
extern "C" __global__ void project_normed(
    const Pack* x, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,
    const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b, Number* y_c, int count_a,
    int count_b, int count_c, int size, const Pack* weight, Pack* normal, float eps, int offset) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const int count = count_a + count_b + count_c;
  const Row mine = row_of(min(row, count - 1), a, b, c, bias_a, bias_b, bias_c, y_a, y_b, y_c,
                          count_a, count_b, count_c, packs);
  float sums[1];
  dots({mine.numbers}, x, {weight, normal, eps, offset}, packs, sums);
  if (row < count && threadIdx.x % 32 == 0)
    *mine.y = narrow(sums[0] + (mine.bias ? wide(*mine.bias) : 0));
}

// See `project_gated` in products.cu.
extern "C" __global__ void project_gated_normed(const Pack* x, const Pack* gate, const Pack* up,
                                                Number* y, int count, int size, int kind,
                                                const Pack* weight, Pack* normal, float eps,
                                                int offset) {
  const int row = (blockIdx.x * blockDim.x + threadIdx.x) / 32, packs = size / PACK;
  const long long begin = (long long)min(row, count - 1) * packs;
  float sums[2];
  dots({gate + begin, up + begin}, x, {weight, normal, eps, offset}, packs, sums);
  if (row < count && threadIdx.x % 32 == 0)
    y[row] = let_through(rounded(sums[0]), rounded(sums[1]), kind);
}
