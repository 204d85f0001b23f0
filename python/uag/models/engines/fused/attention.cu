// Attention to keys and values in buffers. A block has THREADS threads, and holds KEYS and QUERIES at
// a time.

// Attention of new ids to the places before them and their own, each share of the places in blocks
// of its own ("Flash-Decoding", Dao et al. 2023); `join` puts the shares together.
//
// Grid: shares, rows * heads of keys, tiles of the queries that read the same head of keys.
// queries: [rows, heads, width, HEAD]; keys and values: [rows, heads of keys, places, ...], with
// strides; begins: the position of each row's first id. An id attends to the last `window` places,
// or to all if that is 0. `share` places are read by a block.
// parts: [shares, rows * heads * width, VALUE], the weighted sums of values; scales: [shares,
// rows * heads * width, 2], the largest score and the sum of the weights.
extern "C" __global__ void attend(const Number* queries, const Number* keys, const Number* values,
                                  const long long* begins, float* parts, float* scales,
                                  int kv_heads, int groups, int width, int share, int keys_row,
                                  int keys_head, int keys_id, int values_row, int values_head,
                                  int values_id, int window, float scaling) {
  __shared__ __align__(16) float asked[QUERIES][HEAD];
  __shared__ Pack held_keys[KEYS][HEAD / PACK + 1];  // no two rows begin in the same bank
  __shared__ Pack held_values[KEYS][VALUE / PACK];
  __shared__ __align__(16) float scores[QUERIES][KEYS + 4];
  __shared__ float best[QUERIES], weights[QUERIES], kept[QUERIES];

  let_others_begin();
  wait_for_others();
  const int thread = threadIdx.x, row = blockIdx.y / kv_heads, head = blockIdx.y % kv_heads;
  const int begin = begins[row], last = begin + width - 1;
  const int first = blockIdx.x * share, end = min(first + share, last + 1);
  const int before = blockIdx.z * QUERIES, count = min(QUERIES, groups * width - before);
  const long long query = (long long)blockIdx.y * groups * width + before;
  const long long out = (long long)blockIdx.x * gridDim.y * groups * width + query;

  if (first >= end || (window && end <= begin - window + 1)) return;  // `join` knows
  for (int i = thread; i < count * HEAD; i += THREADS)
    asked[i / HEAD][i % HEAD] = wide(queries[query * HEAD + i]);
  if (thread < QUERIES) {
    best[thread] = NONE;
    weights[thread] = 0;
  }
  keys += (long long)row * keys_row + (long long)head * keys_head;
  values += (long long)row * values_row + (long long)head * values_head;

  const int COLUMNS = (VALUE + THREADS - 1) / THREADS, SCORES = QUERIES * KEYS / THREADS;
  float sums[COLUMNS][QUERIES];
  for (int c = 0; c < COLUMNS; c++)
    for (int q = 0; q < QUERIES; q++) sums[c][q] = 0;

  for (int chunk = first; chunk < end; chunk += KEYS) {
    __syncthreads();
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
    __syncthreads();

    const int key = thread % KEYS, apart = THREADS / KEYS, place = chunk + key;
    float dots[SCORES];
    for (int s = 0; s < SCORES; s++) dots[s] = 0;
    for (int at = 0; at < HEAD / PACK; at++) {
      const Pack pack = held_keys[key][at];
      for (int j = 0; j < PACK; j++)
        for (int s = 0; s < SCORES; s++)
          dots[s] += wide(pack.at[j]) * asked[thread / KEYS + s * apart][at * PACK + j];
    }
    for (int s = 0; s < SCORES; s++) {
      const int q = thread / KEYS + s * apart, position = begin + (before + q) % width;
      const bool seen = place <= position && (!window || place > position - window);
      scores[q][key] = seen && place < end && q < count ? dots[s] * scaling : NONE;
    }
    __syncthreads();

    if (thread < QUERIES) {
      float most = best[thread];
      for (int k = 0; k < KEYS; k++) most = fmaxf(most, scores[thread][k]);
      kept[thread] = most == NONE ? 1 : expf(best[thread] - most);
      best[thread] = most;
    }
    __syncthreads();
    for (int s = 0; s < SCORES; s++) {
      const int q = thread / KEYS + s * apart;
      scores[q][key] = best[q] == NONE ? 0 : expf(scores[q][key] - best[q]);
    }
    __syncthreads();

    if (thread < QUERIES) {
      float sum = 0;
      for (int k = 0; k < KEYS; k++) sum += scores[thread][k];
      weights[thread] = weights[thread] * kept[thread] + sum;
    }
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
  __syncthreads();
  for (int c = 0; c < COLUMNS; c++) {
    const int column = thread + c * THREADS;
    if (column >= VALUE) continue;
    for (int q = 0; q < QUERIES; q++)
      if (q < count) parts[(out + q) * VALUE + column] = sums[c][q];
  }
  if (thread < count) {
    scales[2 * (out + thread)] = best[thread];
    scales[2 * (out + thread) + 1] = weights[thread];
  }
}

// The result of `attend`: [rows, width, heads, VALUE]; a block an id of a head. Shares that no id of
// the row attends to were not written.
extern "C" __global__ void join(const float* parts, const float* scales, Number* y,
                                const long long* begins, int share, int heads, int width,
                                int window) {
  let_others_begin();
  wait_for_others();
  const long long asked = gridDim.x, query = blockIdx.x;
  const long long id = query % width, head = query / width % heads, row = query / width / heads;
  const int begin = begins[row], places = begin + width;
  const int first = window ? max(0, begin - window + 1) / share : 0;
  const int end = (max(0, places) + share - 1) / share;
  float best = NONE, weight = 0;
  for (int s = first; s < end; s++) best = fmaxf(best, scales[2 * (s * asked + query)]);
  float sums[(VALUE + THREADS - 1) / THREADS] = {};
#pragma unroll 4
  for (int s = first; s < end; s++) {
    const long long at = s * asked + query;
    const float factor = best == NONE ? 0 : expf(scales[2 * at] - best);
    weight += factor * scales[2 * at + 1];
    for (int c = threadIdx.x; c < VALUE; c += THREADS)
      sums[c / THREADS] += factor * parts[at * VALUE + c];
  }
  y += ((row * width + id) * heads + head) * VALUE;
  for (int c = threadIdx.x; c < VALUE; c += THREADS)
    y[c] = narrow(weight > 0 ? sums[c / THREADS] / weight : 0);
}
