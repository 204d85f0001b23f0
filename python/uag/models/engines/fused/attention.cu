// Attention to keys and values in buffers. A block has THREADS threads, and holds KEYS at a time.

// What new ids bring, if it is neither rotated nor stored yet: keys and values, [heads of keys,
// width, ...], with strides, and the angles that queries and keys are rotated by, [width, turned].
struct New {
  const Number* keys;
  const Number* values;
  const Number* cosines;
  const Number* sines;
  int keys_head, keys_id, values_head, values_id, turned;

  // A pack of a head of queries or keys of an id, rotated as by `rotate`.
  __device__ Pack turn(const Number* head, int id, int at) const {
    const Pack* x = (const Pack*)head;
    const int half = turned / 2 / PACK;
    const Pack own = x[at];
    if (at >= 2 * half) return own;
    const Pack other = x[at < half ? at + half : at - half];
    const Pack cosine = ((const Pack*)(cosines + id * turned))[at];
    const Pack sine = ((const Pack*)(sines + id * turned))[at];
    Pack out;
    for (int j = 0; j < PACK; j++) {
      const float opposite = at < half ? -wide(other.at[j]) : wide(other.at[j]);
      out.at[j] = rotated(wide(own.at[j]), opposite, cosine.at[j], sine.at[j]);
    }
    return out;
  }

  __device__ Pack value(int head, int id, int at) const {
    return ((const Pack*)(values + (long long)head * values_head + id * values_id))[at];
  }
};

// Attention of new ids to the places before them and their own, each share of the places in blocks
// of its own ("Flash-Decoding", Dao et al. 2023); `join` puts the shares together.
//
// Grid: shares, rows * heads of keys, tiles of the queries that read the same head of keys.
// queries: [rows, heads, width, HEAD]; keys and values: [rows, heads of keys, places, ...], with
// strides; begins: the position of each row's first id. An id attends to the last `window` places,
// or to all if that is 0. `share` places are read by a block, for up to QUERIES queries. What is
// `brought` is of a single row; the blocks of the first tile store it.
// parts: [shares, rows * heads * width, VALUE], the weighted sums of values; scales: [shares,
// rows * heads * width, 2], the largest score and the sum of the weights.
template <int QUERIES>
__device__ void attend(const Number* queries, Number* keys, Number* values,
                       const long long* begins, float* parts, float* scales, int kv_heads,
                       int groups, int width, int share, int queries_row, int queries_head,
                       int queries_id, int keys_row, int keys_head, int keys_id, int values_row,
                       int values_head, int values_id, int window, float scaling,
                       const New brought) {
  __shared__ __align__(16) float asked[QUERIES][HEAD];
  __shared__ Pack held_keys[KEYS][HEAD / PACK + 1];  // no two rows begin in the same bank
  __shared__ Pack held_values[KEYS][VALUE / PACK];
  __shared__ __align__(16) float scores[QUERIES][KEYS + 4];
  __shared__ float kept[QUERIES];

  let_others_begin();
  const int thread = threadIdx.x, row = blockIdx.y / kv_heads, head = blockIdx.y % kv_heads;
  const int begin = begins[row], last = begin + width - 1;
  const int first = blockIdx.x * share, end = min(first + share, last + 1);
  const int before = blockIdx.z * QUERIES, count = min(QUERIES, groups * width - before);
  const long long query = (long long)blockIdx.y * groups * width + before;
  const long long out = (long long)blockIdx.x * gridDim.y * groups * width + query;
  const bool stores = blockIdx.z == 0;
  const int there = brought.keys ? min(begin, end) : end;  // where what is in the buffers ends
  queries += (long long)row * queries_row + (long long)head * groups * queries_head;
  keys += (long long)row * keys_row + (long long)head * keys_head;
  values += (long long)row * values_row + (long long)head * values_head;

  const auto read = [&](int chunk) {
    const Pack empty = {};
    for (int i = thread; i < KEYS * (HEAD / PACK); i += THREADS) {
      const int key = i / (HEAD / PACK), at = i % (HEAD / PACK), place = chunk + key;
      const Pack* from = (const Pack*)(keys + (long long)place * keys_id) + at;
      held_keys[key][at] = place < there ? *from : empty;
    }
    for (int i = thread; i < KEYS * (VALUE / PACK); i += THREADS) {
      const int key = i / (VALUE / PACK), at = i % (VALUE / PACK), place = chunk + key;
      const Pack* from = (const Pack*)(values + (long long)place * values_id) + at;
      held_values[key][at] = place < there ? *from : empty;
    }
  };
  // The first queries, and what new ids bring to a chunk.
  const auto bring = [&](int chunk, int queries_asked) {
    const int of_queries = queries_asked * (HEAD / PACK), from = max(chunk, there);
    const int ids = max(0, min(chunk + KEYS, end) - from);
    for (int i = thread; i < of_queries + ids * (HEAD / PACK); i += THREADS) {
      const bool is_query = i < of_queries;
      const int n = (is_query ? i : i - of_queries) / (HEAD / PACK), at = i % (HEAD / PACK);
      const int id = is_query ? (before + n) % width : from - begin + n;
      const Number* x = is_query ? queries + (long long)((before + n) / width) * queries_head
                                 : brought.keys + (long long)head * brought.keys_head;
      x += (long long)id * (is_query ? queries_id : brought.keys_id);
      const Pack pack = brought.keys ? brought.turn(x, id, at) : ((const Pack*)x)[at];
      if (is_query) {
        for (int j = 0; j < PACK; j++) asked[n][at * PACK + j] = wide(pack.at[j]);
        continue;
      }
      held_keys[from - chunk + n][at] = pack;
      if (stores) ((Pack*)(keys + (long long)(from + n) * keys_id))[at] = pack;
    }
    // By other warps, as long as there are few.
    for (int i = THREADS - 1 - thread; i < ids * (VALUE / PACK); i += THREADS) {
      const int n = i / (VALUE / PACK), at = i % (VALUE / PACK);
      const Pack pack = brought.value(head, from - begin + n, at);
      held_values[from - chunk + n][at] = pack;
      if (stores) ((Pack*)(values + (long long)(from + n) * values_id))[at] = pack;
    }
  };
  // `join` knows. Of each row some blocks go on and wait, so this kernel ends after those before it.
  if (first >= end || (window && end <= begin - window + 1)) return;
  // Earlier passes have written all places but those of the new ids.
  const bool known = min(first + KEYS, there) <= begin;
  if (known) read(first);
  wait_for_others();
  if (!known) read(first);
  __syncthreads();
  bring(first, count);

  // A thread has the scores of one key. Those of a query are in the KEYS threads of a warp, or a part
  // of one, which all know the largest score and the sum of the weights so far.
  const int COLUMNS = (VALUE + THREADS - 1) / THREADS, SCORES = QUERIES * KEYS / THREADS;
  const int key = thread % KEYS, mine = thread / KEYS, apart = THREADS / KEYS;
  float best[SCORES], weights[SCORES], sums[COLUMNS][QUERIES];
  for (int s = 0; s < SCORES; s++) best[s] = NONE, weights[s] = 0;
  for (int c = 0; c < COLUMNS; c++)
    for (int q = 0; q < QUERIES; q++) sums[c][q] = 0;

  for (int chunk = first; chunk < end; chunk += KEYS) {
    if (chunk > first) {
      __syncthreads();
      read(chunk);
      __syncthreads();
      bring(chunk, 0);
    }
    __syncthreads();

    float dots[SCORES];
    for (int s = 0; s < SCORES; s++) dots[s] = 0;
    for (int at = 0; at < HEAD / PACK; at++) {
      const Pack pack = held_keys[key][at];
      for (int j = 0; j < PACK; j++)
        for (int s = 0; s < SCORES; s++)
          dots[s] += wide(pack.at[j]) * asked[mine + s * apart][at * PACK + j];
    }
    for (int s = 0; s < SCORES; s++) {
      const int q = mine + s * apart, place = chunk + key;
      const int position = begin + (before + q) % width;
      const bool seen = place <= position && (!window || place > position - window);
      const float score = seen && place < end && q < count ? dots[s] * scaling : NONE;
      const float most = largest<KEYS>(fmaxf(best[s], score));
      const float weight = most == NONE ? 0 : expf(score - most);
      const float factor = most == NONE ? 1 : expf(best[s] - most);
      scores[q][key] = weight;
      weights[s] = weights[s] * factor + total<KEYS>(weight);
      best[s] = most;
      if (key == 0) kept[q] = factor;
    }
    __syncthreads();

    for (int c = 0; c < COLUMNS; c++) {
      const int column = thread + c * THREADS;
      if (column >= VALUE) continue;
      for (int q = 0; q < QUERIES; q++) sums[c][q] *= kept[q];
      for (int k = 0; k < KEYS; k += 4) {
        float value[4];
        for (int j = 0; j < 4; j++)
          value[j] = wide(((const Number*)held_values[k + j])[column]);
        for (int q = 0; q < QUERIES; q++)
          for (int j = 0; j < 4; j++) sums[c][q] += scores[q][k + j] * value[j];
      }
    }
  }
  for (int c = 0; c < COLUMNS; c++) {
    const int column = thread + c * THREADS;
    if (column >= VALUE) continue;
    for (int q = 0; q < QUERIES; q++)
      if (q < count) parts[(out + q) * VALUE + column] = sums[c][q];
  }
  for (int s = 0; s < SCORES; s++) {
    const int q = mine + s * apart;
    if (key || q >= count) continue;
    scales[2 * (out + q)] = best[s];
    scales[2 * (out + q) + 1] = weights[s];
  }
}

#define FOR_QUERIES(QUERIES)                                                                       \
  extern "C" __global__ void attend_##QUERIES(                                                     \
      const Number* queries, Number* keys, Number* values, const long long* begins, float* parts,  \
      float* scales, int kv_heads, int groups, int width, int share, int queries_row,              \
      int queries_head, int queries_id, int keys_row, int keys_head, int keys_id, int values_row,  \
      int values_head, int values_id, int window, float scaling, const Number* new_keys,           \
      const Number* new_values, const Number* cosines, const Number* sines, int new_keys_head,     \
      int new_keys_id, int new_values_head, int new_values_id, int turned) {                       \
    const New brought = {new_keys,    new_values,      cosines,       sines, new_keys_head,        \
                         new_keys_id, new_values_head, new_values_id, turned};                     \
    attend<QUERIES>(queries, keys, values, begins, parts, scales, kv_heads, groups, width, share,  \
                    queries_row, queries_head, queries_id, keys_row, keys_head, keys_id,           \
                    values_row, values_head, values_id, window, scaling, brought);                 \
  }
FOR_QUERIES(16)
#if 4 * KEYS >= THREADS
FOR_QUERIES(4)
#endif

// The result of `attend`: [rows, width, heads, VALUE]; a block an id of a head. Shares that no id of
// the row attends to were not written.
extern "C" __global__ void join(const float* parts, const float* scales, Number* y,
                                const long long* begins, int share, int heads, int width,
                                int window) {
  let_others_begin();
  const long long asked = gridDim.x, query = blockIdx.x;
  const long long id = query % width, head = query / width % heads, row = query / width / heads;
  const int begin = begins[row], places = begin + width;
  const int first = window ? max(0, begin - window + 1) / share : 0;
  const int end = (max(0, places) + share - 1) / share;
  wait_for_others();
  y += ((row * width + id) * heads + head) * VALUE;
  const int AT_ONCE = 8;
  for (int column = threadIdx.x; column < VALUE; column += blockDim.x) {
    float best = NONE, weight = 0, sum = 0;
    for (int s = first; s < end; s += AT_ONCE) {
      float bests[AT_ONCE], weights[AT_ONCE], sums[AT_ONCE], most = best;
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const long long at = (s + k) * asked + query;
        const bool there = s + k < end;
        bests[k] = there ? scales[2 * at] : NONE;
        weights[k] = there ? scales[2 * at + 1] : 0;
        sums[k] = there ? parts[at * VALUE + column] : 0;
      }
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) most = fmaxf(most, bests[k]);
      if (most == NONE) continue;
      const float factor = expf(best - most);
      weight *= factor, sum *= factor, best = most;
#pragma unroll
      for (int k = 0; k < AT_ONCE; k++) {
        const float factor = expf(bests[k] - most);
        weight += factor * weights[k], sum += factor * sums[k];
      }
    }
    y[column] = narrow(weight > 0 ? sum / weight : 0);
  }
}
