// What products of matrices have in common.

// A row of one of up to three matrices, which are computed together.
struct Row {
  const Pack* numbers;
  const Number* bias;  // or null
  Number* y;           // where its product with the first vector goes
  int count;           // rows of its matrix: so far apart are the products with the next ones
};

__device__ Row row_of(int row, const Pack* a, const Pack* b, const Pack* c, const Number* bias_a,
                      const Number* bias_b, const Number* bias_c, Number* y_a, Number* y_b,
                      Number* y_c, int count_a, int count_b, int count_c, int packs) {
  int count = count_a;
  const Pack* matrix = a;
  const Number* bias = bias_a;
  Number* y = y_a;
  if (row >= count_a + count_b) {
    row -= count_a + count_b, count = count_c, matrix = c, bias = bias_c, y = y_c;
  } else if (row >= count_a) {
    row -= count_a, count = count_b, matrix = b, bias = bias_b, y = y_b;
  }
  return {matrix + (long long)row * packs, bias ? bias + row : bias, y + row, count};
}

// 16 bytes as the device moves them, and as numbers.
union __align__(16) Words {
  unsigned at[4];
  Pack pack;
};

#ifdef __CUDA_ARCH__
// What is at `from`, or zeros if it is not `there`. These reads stay in their order, so that several are
// under way before the first one is used.
#define READ(NAME, KIND)                                                                           \
  __device__ Words NAME(const Pack* from, bool there) {                                            \
    Words words;                                                                                   \
    asm volatile(                                                                                  \
        "{ .reg .pred there; setp.ne.b32 there, %5, 0;"                                            \
        "mov.b32 %0, 0; mov.b32 %1, 0; mov.b32 %2, 0; mov.b32 %3, 0;"                              \
        "@there ld.global" KIND ".v4.u32 {%0, %1, %2, %3}, [%4]; }"                                \
        : "=&r"(words.at[0]), "=&r"(words.at[1]), "=&r"(words.at[2]), "=&r"(words.at[3])           \
        : "l"(from), "r"((int)there));                                                             \
    return words;                                                                                  \
  }
READ(once, ".nc.L1::no_allocate")  // weights: they leave the near cache to what is read again
READ(again, "")
#endif
