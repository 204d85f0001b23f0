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
  static bool running;
  static unsigned i;  // kept through jumps
  do {
    running = false;
    for (i = 0; i < blockDim.x; i++) {
      Thread& thread = threads[i];
      if (thread.ended) continue;
      threadIdx = {i, 0, 0};
      if (!_setjmp(scheduler)) {
        if (thread.started) _longjmp(thread.at, 1);
        start(thread);
      }
      running |= !threads[i].ended;
    }
  } while (running);
}

static void __syncthreads() {
  if (!_setjmp(threads[threadIdx.x].at)) _longjmp(scheduler, 1);
}

// Threads that have ended do not take part.
static float __shfl_xor_sync(unsigned, float x, int apart) {
  static float held[1024];
  held[threadIdx.x] = x;
  __syncthreads();
  const float other = held[threadIdx.x ^ apart];
  __syncthreads();
  return other;
}

namespace {
union Words;
struct Pack;
Words once(const Pack* from, bool there);
}  // namespace

#define __global__
#define __device__
#define __shared__ static
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
#include "products.cu"
Words once(const Pack* from, bool there) {
  Words words = {};
  if (there) words.pack = *from;
  return words;
}
OF_WIDTH(1)
OF_WIDTH(2)
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
ON_HOST(rotate)
ON_HOST(store)
ON_HOST(attend_16)
#if 4 * KEYS >= THREADS
ON_HOST(attend_4)
#endif
ON_HOST(join)
