// What a model does between its matrix products, but for attention.

// x / root mean square(x) * weight, for a row of `size` numbers; a block a row. With `offset` the
// weight is one more than it says, and it is multiplied before rounding. If there is something
// `added`, x is their sum, which goes to `sum`.
extern "C" __global__ void rms_norm(const Pack* x, const Pack* added, Pack* sum, const Pack* weight,
                                    Pack* y, int size, float eps, int offset) {
  __shared__ float sums[16];
  const int packs = size / PACK;
  let_others_begin();
  wait_for_others();
  const long long begin = (long long)blockIdx.x * packs;
  x += begin;
  y += begin;
  if (added) {
    added += begin;
    sum += begin;
  }
  float squares = 0;
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
    Pack pack = x[i];
    if (added) {
      const Pack other = added[i];
      for (int j = 0; j < PACK; j++) pack.at[j] = narrow(wide(pack.at[j]) + wide(other.at[j]));
      sum[i] = pack;
    }
    for (int j = 0; j < PACK; j++) squares += wide(pack.at[j]) * wide(pack.at[j]);
  }
  const float scale = rsqrtf(total(squares, sums) / size + eps);
  for (int i = threadIdx.x; i < packs; i += blockDim.x) {
    const Pack pack = added ? sum[i] : x[i], factor = weight[i];
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
    out.at[j] = let_through(wide(gates.at[j]), wide(ups.at[j]), kind);
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

// A head's numbers from one place to another.
__device__ void copy(const Number* from, Number* to, int size) {
  for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = from[i];
}

// Keys and values of a layer, [heads, places, size]: new ones go to `begin` and the places after it.
struct Held {
  Number* keys;
  Number* values;
  const long long* begin;
  int places;

  __device__ Number* key(int head, int id) const { return keys + at(head, id) * HEAD; }
  __device__ Number* value(int head, int id) const { return values + at(head, id) * VALUE; }
  __device__ long long at(int head, int id) const {
    return (long long)head * places + begin[0] + id;
  }
};

// Rotary position embedding of the first `turned` numbers of each head, half by half; a block an id
// of a head. Queries, then keys: [rows, heads, width, size], each with strides of its own. Then values,
// if there are any: they go to `held`, and so do the keys.
extern "C" __global__ void rotate(const Number* queries, const Number* keys, const Number* cosines,
                                  const Number* sines, Number* queries_out, Number* keys_out,
                                  const Number* values, Number* held_keys, Number* held_values,
                                  const long long* begin, int heads, int kv_heads, int size,
                                  int turned, int queries_row, int queries_head, int queries_id,
                                  int keys_row, int keys_head, int keys_id, int angles_row,
                                  int values_head, int values_id, int places) {
  const int id = blockIdx.x, width = gridDim.x, row = blockIdx.z, block = blockIdx.y;
  const bool of_keys = block >= heads;
  const int head = block < heads ? block : (block - heads) % kv_heads;
  const int count = of_keys ? kv_heads : heads;
  const Held held = {held_keys, held_values, begin, places};
  let_others_begin();
  wait_for_others();
  if (block >= heads + kv_heads) {
    copy(values + head * values_head + id * values_id, held.value(head, id), VALUE);
    return;
  }
  const Number* x = of_keys ? keys + (long long)row * keys_row + head * keys_head + id * keys_id
                            : queries + (long long)row * queries_row + head * queries_head +
                                  id * queries_id;
  Number* y = (of_keys ? keys_out : queries_out) +
              (((long long)row * count + head) * width + id) * size;
  const Number* cosine = cosines + (long long)row * angles_row + id * turned;
  const Number* sine = sines + (long long)row * angles_row + id * turned;
  const int half = turned / 2;
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float one = wide(x[i]), other = wide(x[i + half]);
    y[i] = narrow(product(one, cosine[i]) + product(-other, sine[i]));
    y[i + half] = narrow(product(other, cosine[i + half]) + product(one, sine[i + half]));
  }
  copy(x + turned, y + turned, size - turned);
  if (!of_keys || !values) return;
  __syncthreads();
  copy(y, held.key(head, id), size);
}

// Keys and values of new ids to the places of their positions; a block an id of a head. New ones:
// [heads, width, size], with strides.
extern "C" __global__ void store(const Number* keys, const Number* values, Number* held_keys,
                                 Number* held_values, const long long* begin, int places,
                                 int keys_head, int keys_id, int values_head, int values_id) {
  const int id = blockIdx.x, head = blockIdx.y;
  const Held held = {held_keys, held_values, begin, places};
  let_others_begin();
  wait_for_others();
  copy(keys + (long long)head * keys_head + id * keys_id, held.key(head, id), HEAD);
  copy(values + (long long)head * values_head + id * values_id, held.value(head, id), VALUE);
}
