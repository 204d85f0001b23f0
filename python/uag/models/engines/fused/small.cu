// What a model does between its matrix products, but for attention.

// x / root mean square(x) * weight, for a row of `size` numbers; a block a row. With `offset` the
// weight is one more than it says, and it is multiplied before rounding. If there is something
// `added`, x is their sum, which goes to `sum`.
extern "C" __global__ void rms_norm(const Pack* x, const Pack* added, Pack* sum, const Pack* weight,
                                    Pack* y, int size, float eps, int offset) {
  __shared__ float sums[32];
  const int packs = size / PACK, thread = threadIdx.x;
  let_others_begin();
  const Pack none = {}, first_factor = thread < packs ? weight[thread] : none;
  wait_for_others();
  const long long begin = (long long)blockIdx.x * packs;
  x += begin;
  y += begin;
  if (added) {
    added += begin;
    sum += begin;
  }
  Pack first = none;  // of most rows each thread has one, and need not read it again
  float squares = 0;
  for (int i = thread; i < packs; i += blockDim.x) {
    Pack pack = x[i];
    if (added) {
      const Pack other = added[i];
      for (int j = 0; j < PACK; j++) pack.at[j] = narrow(wide(pack.at[j]) + wide(other.at[j]));
      sum[i] = pack;
    }
    for (int j = 0; j < PACK; j++) squares += wide(pack.at[j]) * wide(pack.at[j]);
    if (i == thread) first = pack;
  }
  const float scale = rsqrtf(total(squares, sums) / size + eps);
  for (int i = thread; i < packs; i += blockDim.x) {
    const Pack pack = i == thread ? first : (added ? sum : x)[i];
    const Pack factor = i == thread ? first_factor : weight[i];
    Pack out;
    for (int j = 0; j < PACK; j++)
      out.at[j] = normalized(wide(pack.at[j]), scale, wide(factor.at[j]), offset);
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

// The cosines and sines that ids are rotated by, each [ids, 2 * half]: twice those of `half` angles. A
// block an id. positions: [ids]; frequencies: [half].
extern "C" __global__ void angles(const long long* positions, const float* frequencies,
                                  Number* cosines, Number* sines, int half, float scaling) {
  let_others_begin();
  wait_for_others();
  const float position = positions[blockIdx.x];
  cosines += (long long)blockIdx.x * 2 * half;
  sines += (long long)blockIdx.x * 2 * half;
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float angle = position * frequencies[i];
    float cosine, sine;
    sincosf(angle, &sine, &cosine);
    cosines[i] = cosines[i + half] = narrow(cosine * scaling);
    sines[i] = sines[i + half] = narrow(sine * scaling);
  }
}

// What is added to the scores of ids, [rows, width, places]: 0 where an id attends to a place, else
// `least`. A block an id. begins: the position of each row's first id; window: see `attend`.
extern "C" __global__ void masks(const long long* begins, Number* y, int places, int window,
                                float least) {
  let_others_begin();
  wait_for_others();
  const int position = begins[blockIdx.y] + blockIdx.x, first = window ? position - window + 1 : 0;
  const Number shown = narrow(0), hidden = narrow(least);
  y += ((long long)blockIdx.y * gridDim.x + blockIdx.x) * places;
  for (int i = threadIdx.x; i < places; i += blockDim.x)
    y[i] = first <= i && i <= position ? shown : hidden;
}

// A head's numbers from one place to another.
__device__ void copy(const Number* from, Number* to, int size) {
  for (int i = threadIdx.x; i < size; i += blockDim.x) to[i] = from[i];
}

// Keys and values of a layer, [heads, places, size]: new ones go to `begin` and the places after it. No
// kernel of a pass but its last ones writes where it begins, so that it may be read at once.
struct Held {
  Number* keys;
  Number* values;
  long long begin;
  int places;

  __device__ Number* key(int head, int id) const { return keys + at(head, id) * HEAD; }
  __device__ Number* value(int head, int id) const { return values + at(head, id) * VALUE; }
  __device__ long long at(int head, int id) const {
    return (long long)head * places + begin + id;
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
  const Held held = {held_keys, held_values, begin ? *begin : 0, places};
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
  Number* also = of_keys && values ? held.key(head, id) : y;
  const int half = turned / 2;
  for (int i = threadIdx.x; i < half; i += blockDim.x) {
    const float one = wide(x[i]), other = wide(x[i + half]);
    also[i] = y[i] = rotated(one, -other, cosine[i], sine[i]);
    also[i + half] = y[i + half] = rotated(other, one, cosine[i + half], sine[i + half]);
  }
  for (int i = turned + threadIdx.x; i < size; i += blockDim.x) also[i] = y[i] = x[i];
}

// Keys and values of new ids to the places of their positions; a block an id of a head. New ones:
// [heads, width, size], with strides.
extern "C" __global__ void store(const Number* keys, const Number* values, Number* held_keys,
                                 Number* held_values, const long long* begin, int places,
                                 int keys_head, int keys_id, int values_head, int values_id) {
  const int id = blockIdx.x, head = blockIdx.y;
  const Held held = {held_keys, held_values, *begin, places};
  let_others_begin();
  wait_for_others();
  copy(keys + (long long)head * keys_head + id * keys_id, held.key(head, id), HEAD);
  copy(values + (long long)head * values_head + id * values_id, held.value(head, id), VALUE);
}
