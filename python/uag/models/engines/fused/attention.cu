// Attention to keys and values in buffers. A block has THREADS threads, and holds KEYS at a time.

// Attention of new ids to the places before them and their own, each share of the places in blocks
// of its own ("Flash-Decoding", Dao et al. 2023); `join` puts the shares together.
//
// Grid: shares, rows * heads of keys, tiles of the queries that read the same head of keys.
// queries: [rows, heads, width, HEAD]; keys and values: [rows, heads of keys, places, ...], with
// strides; begins: the position of each row's first id. An id attends to the last `window` places,
// or to all if that is 0. `share` places are read by a block, for up to QUERIES queries.
// parts: [shares, rows * heads * width, VALUE], the weighted sums of values; scales: [shares,
// rows * heads * width, 2], the largest score and the sum of the weights.
template <int QUERIES>
__device__ void attend(const Number* queries, const Number* keys, const Number* values,
                       const long long* begins, float* parts, float* scales, int kv_heads,
                       int groups, int width, int share, int keys_row, int keys_head, int keys_id,
                       int values_row, int values_head, int values_id, int window, float scaling) {
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
  keys += (long long)row * keys_row + (long long)head * keys_head;
  values += (long long)row * values_row + (long long)head * values_head;

  const auto read = [&](int chunk) {
    const Pack empty = {};
    for (int i = thread; i < KEYS * (HEAD / PACK); i += THREADS) {
      const int key = i / (HEAD / PACK), at = i % (HEAD / PACK);
      const Pack* from = (const Pack*)(keys + (long long)(chunk + key) * keys_id) + at;
      held_keys[key][at] = chunk + key < end ? *from : empty;
    }
    for (int i = thread; i < KEYS * (VALUE / PACK); i += THREADS) {
      const int key = i / (VALUE / PACK), at = i % (VALUE / PACK);
      const Pack* from = (const Pack*)(values + (long long)(chunk + key) * values_id) + at;
      held_values[key][at] = chunk + key < end ? *from : empty;
    }
  };
  // `join` knows. Of each row some blocks go on and wait, so this kernel ends after those before it.
  if (first >= end || (window && end <= begin - window + 1)) return;
  // Earlier passes have written all places but those of the new ids.
  const bool known = first + KEYS <= begin;
  if (known) read(first);
  wait_for_others();
  for (int i = thread; i < count * HEAD; i += THREADS)
    asked[i / HEAD][i % HEAD] = wide(queries[query * HEAD + i]);

  // A thread has the scores of one key. Those of a query are in the KEYS threads of a warp, or a part
  // of one, which all know the largest score and the sum of the weights so far.
  const int COLUMNS = (VALUE + THREADS - 1) / THREADS, SCORES = QUERIES * KEYS / THREADS;
  const int key = thread % KEYS, mine = thread / KEYS, apart = THREADS / KEYS;
  float best[SCORES], weights[SCORES], sums[COLUMNS][QUERIES];
  for (int s = 0; s < SCORES; s++) best[s] = NONE, weights[s] = 0;
  for (int c = 0; c < COLUMNS; c++)
    for (int q = 0; q < QUERIES; q++) sums[c][q] = 0;

  for (int chunk = first; chunk < end; chunk += KEYS) {
    if (chunk > first) __syncthreads();
    if (chunk > first || !known) read(chunk);
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
      const Number* queries, const Number* keys, const Number* values, const long long* begins,    \
      float* parts, float* scales, int kv_heads, int groups, int width, int share, int keys_row,   \
      int keys_head, int keys_id, int values_row, int values_head, int values_id, int window,      \
      float scaling) {                                                                             \
    attend<QUERIES>(queries, keys, values, begins, parts, scales, kv_heads, groups, width, share,  \
                    keys_row, keys_head, keys_id, values_row, values_head, values_id, window,      \
                    scaling);                                                                      \
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
