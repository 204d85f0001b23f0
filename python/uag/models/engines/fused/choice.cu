// How a step of a draft ends: an id is chosen, and the next step begins with it.

// The id is what the next step reads, and one of those that were `drafted`, [most steps]; all counters
// are single numbers.
struct Step {
  long long* id;
  long long* drafted;
  long long* step;
  long long* begin;

  __device__ void end(long long chosen) const {
    *id = drafted[*step] = chosen;
    *step += 1;
    *begin += 1;
  }
};

// One thread.
extern "C" __global__ void end_step(const long long* chosen, long long* id, long long* drafted,
                                    long long* step, long long* begin) {
  let_others_begin();
  wait_for_others();
  Step{id, drafted, step, begin}.end(*chosen);
}

// Whether the first of two numbers is chosen: the larger one, a NaN before all, the earlier one of two
// that are the same.
__device__ bool is_first(float one, int place, float other, int other_place) {
  const bool is_nan = one != one;
  if (is_nan != (other != other)) return is_nan;
  return is_nan || one == other ? place < other_place : one > other;
}

// Of all threads of a block the place of the one that comes first; thread 0 knows it.
__device__ int first_of_all(float best, int place) {
  __shared__ float values[1024];
  __shared__ int places[1024];
  const int thread = threadIdx.x;
  for (int half = blockDim.x / 2; half > 0; half /= 2) {
    values[thread] = best, places[thread] = place;
    __syncthreads();
    if (thread < half && is_first(values[thread + half], places[thread + half], best, place))
      best = values[thread + half], place = places[thread + half];
    __syncthreads();
  }
  return place;
}

// The index of the largest of `count` numbers, as torch.argmax; one block. If there is an `id`, the step
// ends with it.
extern "C" __global__ void most_likely(const Pack* x, long long* y, int count, long long* id,
                                       long long* drafted, long long* step, long long* begin) {
  const int thread = threadIdx.x, packs = count / PACK;
  float best = NONE;
  int place = count;
  const auto look = [&](Number number, int at) {
    const float value = wide(number);
    if (is_first(value, at, best, place)) best = value, place = at;
  };
  let_others_begin();
  wait_for_others();
#pragma unroll 4
  for (int i = thread; i < packs; i += blockDim.x) {
    const Pack pack = x[i];
    for (int j = 0; j < PACK; j++) look(pack.at[j], i * PACK + j);
  }
  for (int at = packs * PACK + thread; at < count; at += blockDim.x)
    look(((const Number*)x)[at], at);
  place = first_of_all(best, place);
  if (thread) return;
  *y = place;
  if (id) Step{id, drafted, step, begin}.end(place);
}

typedef unsigned long long Bits;

// Noise that two vocabularies share: `_mix` and `gumbel` of uag/sampling/noise.py.
__device__ Bits mixed(Bits bits) {
  bits = (bits ^ bits >> 30) * 0xBF58476D1CE4E5B9ull;
  bits = (bits ^ bits >> 27) * 0x94D049BB133111EBull;
  return bits ^ bits >> 31;
}

__device__ float gumbel(Bits step, Bits token) {
  const float bits = (float)(long long)(mixed(step ^ token) & 0x7fffffffffffffffull);
  const float chance = fminf(fmaxf(bits * 0x1p-63f, 0x1p-64f), 1 - 0x1p-24f);
  return -logf(-log1pf(-chance));
}

// Of `count` ids with scores the one whose score with its noise is the largest; a block, a thread an id.
// The position moves on by its length. If there is an `id`, the step ends with it. keys, lengths: of all
// ids; key: of the generation.
extern "C" __global__ void draw(const float* scores, const long long* ids, const long long* keys,
                                const long long* lengths, const long long* key,
                                long long* position, long long* y, int count, long long* id,
                                long long* drafted, long long* step, long long* begin) {
  const int thread = threadIdx.x;
  float best = NONE;
  let_others_begin();
  wait_for_others();
  if (thread < count) {
    const Bits now = mixed((Bits)*position * 0x9E3779B97F4A7C15ull + (Bits)*key);
    best = scores[thread] + gumbel(now, keys[ids[thread]]);
  }
  const int place = first_of_all(best, thread);
  if (thread) return;
  const long long chosen = ids[place];
  *y = chosen;
  *position += lengths[chosen];
  if (id) Step{id, drafted, step, begin}.end(chosen);
}
