// What a model does between its matrix products, but for attention.

// x / root mean square(x) * weight, for a row of `size` numbers; a block a row. With `offset` the
// weight is one more than it says, and it is multiplied before rounding.
extern "C" __global__ void rms_norm(const Pack* x, const Pack* weight, Pack* y, int size, float eps,
                                    int offset) {
  __shared__ float sums[16];
  const int packs = size / PACK;
  let_others_begin();
  wait_for_others();
  x += (long long)blockIdx.x * packs;
  y += (long long)blockIdx.x * packs;
  float squares = 0;
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack pack = x[i];
    for (int j = 0; j < PACK; j++) squares += wide(pack.at[j]) * wide(pack.at[j]);
  }
  const float scale = rsqrtf(total(squares, sums) / size + eps);
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack pack = x[i], factor = weight[i];
    Pack out;
    for (int j = 0; j < PACK; j++) {
      const float normal = wide(pack.at[j]) * scale;
      out.at[j] = offset ? narrow(normal * (1 + wide(factor.at[j])))
                         : narrow(rounded(normal) * wide(factor.at[j]));
    }
    y[i] = out;
  }
}

// activation(gate) * up; a thread a pack.
extern "C" __global__ void gated(const Pack* gate, const Pack* up, Pack* y, int packs, int kind) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  let_others_begin();
  wait_for_others();
  if (i >= packs) return;
  const Pack gates = gate[i], ups = up[i];
  Pack out;
  for (int j = 0; j < PACK; j++)
    out.at[j] = narrow(rounded(activated(wide(gates.at[j]), kind)) * wide(ups.at[j]));
  y[i] = out;
}

// a + b; a thread a pack.
extern "C" __global__ void add(const Pack* a, const Pack* b, Pack* y, int packs) {
  const int i = blockIdx.x * blockDim.x + threadIdx.x;
  let_others_begin();
  wait_for_others();
  if (i >= packs) return;
  const Pack one = a[i], other = b[i];
  Pack out;
  for (int j = 0; j < PACK; j++) out.at[j] = narrow(wide(one.at[j]) + wide(other.at[j]));
  y[i] = out;
}

// Rounded before it is added to another one, also in float32.
__device__ float product(float x, Number angle) { return rounded(__fmul_rn(x, wide(angle))); }

// Rotary position embedding of the first `turned` numbers of each head, half by half; a block an id
// of a head. Queries, then keys: [rows, heads, width, size], each with strides of its own.
extern "C" __global__ void rotate(const Number* queries, const Number* keys, const Number* cosines,
                                  const Number* sines, Number* queries_out, Number* keys_out,
                                  int heads, int kv_heads, int size, int turned, int queries_row,
                                  int queries_head, int queries_id, int keys_row, int keys_head,
                                  int keys_id, int angles_row) {
  const int id = blockIdx.x, width = gridDim.x, row = blockIdx.z;
  const bool of_keys = blockIdx.y >= heads;
  const int head = of_keys ? blockIdx.y - heads : blockIdx.y, count = of_keys ? kv_heads : heads;
  const Number* x = of_keys ? keys + (long long)row * keys_row + head * keys_head + id * keys_id
                            : queries + (long long)row * queries_row + head * queries_head +
                                  id * queries_id;
  Number* y = (of_keys ? keys_out : queries_out) +
              (((long long)row * count + head) * width + id) * size;
  const Number* cosine = cosines + (long long)row * angles_row + id * turned;
  const Number* sine = sines + (long long)row * angles_row + id * turned;
  const int half = turned / 2;
  let_others_begin();
  wait_for_others();
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float one = wide(x[i]), other = wide(x[i + half]);
    y[i] = narrow(product(one, cosine[i]) + product(-other, sine[i]));
    y[i + half] = narrow(product(other, cosine[i + half]) + product(one, sine[i + half]));
  }
  for (int i = turned + threadIdx.x; i < size; i += blockDim.x) y[i] = x[i];
}

// Keys and values of new ids to the places of their positions, from `begin` on; a block an id of a
// head. New ones: [heads, width, size], with strides; buffers: [heads, places, size].
extern "C" __global__ void store(const Number* new_keys, const Number* new_values, Number* keys,
                                 Number* values, const long long* begin, int places, int keys_head,
                                 int keys_id, int values_head, int values_id) {
  const int id = blockIdx.x, head = blockIdx.y;
  let_others_begin();
  wait_for_others();
  const long long place = (long long)head * places + begin[0] + id;
  for (int i = threadIdx.x; i < HEAD; i += blockDim.x)
    keys[place * HEAD + i] = new_keys[(long long)head * keys_head + id * keys_id + i];
  for (int i = threadIdx.x; i < VALUE; i += blockDim.x)
    values[place * VALUE + i] = new_values[(long long)head * values_head + id * values_id + i];
}
