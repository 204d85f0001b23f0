// Runs CUDA kernels on a CPU, for tests: blocks one after the other, each with its threads.
#include <setjmp.h>
#include <ucontext.h>

#include <algorithm>
#include <cmath>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

using std::max;
using std::min;
struct Dim {
  unsigned x, y, z;
};
static Dim gridDim, blockDim, blockIdx, threadIdx;

// A thread of a block: it runs until it waits for the others, or to its end. The first switch to it
// gives it a stack; later ones are jumps, which need no call of the system.
struct Thread {
  std::vector<char> stack = std::vector<char>(64 << 10);
  bool started, ended;
  jmp_buf at;
};
static std::vector<Thread> threads(1024);
static jmp_buf scheduler;
static std::function<void()> body;
// Threads at the barrier, and how often all were there.
static unsigned waiting, barriers;

static void begin() {
  body();
  threads[threadIdx.x].ended = true;
  _longjmp(scheduler, 1);
}

static void start(Thread& thread) {
  ucontext_t context;
  getcontext(&context);
  context.uc_stack.ss_sp = thread.stack.data();
  context.uc_stack.ss_size = thread.stack.size();
  thread.started = true;
  makecontext(&context, begin, 0);
  setcontext(&context);
}

static void run_block() {
  for (unsigned i = 0; i < blockDim.x; i++) threads[i].started = threads[i].ended = false;
  static unsigned running;
  static unsigned i;  // kept through jumps
  do {
    running = 0;
    for (i = 0; i < blockDim.x; i++) {
      Thread& thread = threads[i];
      if (thread.ended) continue;
      threadIdx = {i, 0, 0};
      if (!_setjmp(scheduler)) {
        if (thread.started) _longjmp(thread.at, 1);
        start(thread);
      }
      running += !threads[i].ended;
    }
    if (waiting == running) waiting = 0, barriers++;
  } while (running);
}

// Let the other threads run: those of a warp do as many turns.
static void turn() {
  if (!_setjmp(threads[threadIdx.x].at)) _longjmp(scheduler, 1);
}

// Threads that have ended do not take part.
static void __syncthreads() {
  const unsigned before = barriers;
  waiting++;
  while (barriers == before) turn();
}

static float __shfl_xor_sync(unsigned, float x, int apart) {
  static float held[1024];
  held[threadIdx.x] = x;
  turn();
  const float other = held[threadIdx.x ^ apart];
  turn();
  return other;
}

namespace {
union Words;
struct Pack;
Words once(const Pack* from, bool there);
Words again(const Pack* from, bool there);
void multiply(float (&)[4], unsigned, unsigned, unsigned, unsigned, unsigned, unsigned);
}  // namespace

#define __global__
#define __device__
#define __shared__ static
#define __launch_bounds__(threads)
#define __align__(bytes) __attribute__((aligned(bytes)))
static float __uint_as_float(unsigned bits) {
  float x;
  std::memcpy(&x, &bits, 4);
  return x;
}
static unsigned __float_as_uint(float x) {
  unsigned bits;
  std::memcpy(&bits, &x, 4);
  return bits;
}
static float __fmul_rn(float x, float y) { return x * y; }
static float rsqrtf(float x) { return 1 / sqrtf(x); }

namespace {  // what templates hold is not shared with the same templates for other numbers
#include "numbers.cuh"
#include "small.cu"
#include "attention.cu"
#include "choice.cu"
#include "matrices.cuh"
namespace by_rows {
#include "products.cu"
OF_WIDTH(1)
OF_WIDTH(2)
}  // namespace by_rows
using namespace by_rows;
namespace by_warps {
#include "normed.cu"
}  // namespace by_warps
using namespace by_warps;
#if NUMBER != 0
namespace by_tiles {
#include "tiles.cu"
}  // namespace by_tiles
using namespace by_tiles;
#endif
Words once(const Pack* from, bool there) {
  Words words = {};
  if (there) words.pack = *from;
  return words;
}
Words again(const Pack* from, bool there) { return once(from, there); }

// What a tensor core does for a warp.
void multiply(float (&sums)[4], unsigned a0, unsigned a1, unsigned a2, unsigned a3, unsigned b0,
              unsigned b1) {
  static unsigned held[1024][6];
  const unsigned mine[6] = {a0, a1, a2, a3, b0, b1};
  std::copy(mine, mine + 6, held[threadIdx.x]);
  turn();
  const int lane = threadIdx.x % 32, warp = threadIdx.x - lane;
  for (int i = 0; i < 4; i++) {
    const int row = lane / 4 + i / 2 * 8, column = lane % 4 * 2 + i % 2;
    for (int k = 0; k < 16; k++) {
      const int of_a = warp + row % 8 * 4 + k % 8 / 2, of_b = warp + column * 4 + k % 8 / 2;
      const unsigned a = held[of_a][row / 8 + k / 8 * 2], b = held[of_b][4 + k / 8];
      sums[i] += wide(Number(a >> k % 2 * 16)) * wide(Number(b >> k % 2 * 16));
    }
  }
  turn();
}
}  // namespace

template <class... Types, size_t... At>
void call(void (*kernel)(Types...), void** given, std::index_sequence<At...>) {
  kernel(*static_cast<Types*>(given[At])...);
}

template <class... Types>
void run(void (*kernel)(Types...), const int* shape, void** given) {
  gridDim = {unsigned(shape[0]), unsigned(shape[1]), unsigned(shape[2])};
  blockDim = {unsigned(shape[3]), 1, 1};
  body = [=] { call(kernel, given, std::index_sequence_for<Types...>()); };
  for (blockIdx.z = 0; blockIdx.z < gridDim.z; blockIdx.z++)
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; blockIdx.y++)
      for (blockIdx.x = 0; blockIdx.x < gridDim.x; blockIdx.x++) run_block();
}

#define ON_HOST(kernel) \
  extern "C" void on_host_##kernel(const int* shape, void** given) { run(kernel, shape, given); }
ON_HOST(rms_norm)
ON_HOST(gated)
ON_HOST(add)
ON_HOST(angles)
ON_HOST(masks)
ON_HOST(project_1)
ON_HOST(project_2)
ON_HOST(project_gated_1)
ON_HOST(project_gated_2)
ON_HOST(project_normed)
ON_HOST(project_gated_normed)
#if NUMBER != 0
ON_HOST(project_up_to_8)
ON_HOST(project_up_to_16)
ON_HOST(project_gated_up_to_8)
ON_HOST(project_gated_up_to_16)
#endif
ON_HOST(most_likely)
ON_HOST(end_step)
ON_HOST(draw)
ON_HOST(rotate)
ON_HOST(store)
ON_HOST(attend_16)
#if 4 * KEYS >= THREADS
ON_HOST(attend_4)
#endif
ON_HOST(join)
