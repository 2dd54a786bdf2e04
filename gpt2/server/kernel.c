/* The two products of matrices in which a forward pass spends its time, for WebAssembly with SIMD of 128 bits.

In: arrays of 32-bit floats in the memory that the page gives, row by row, by their addresses. Out: y, in the same
memory. `python -m scripts.page_kernel` compiles this file into gpt2/server/web/engine/wasm.js, which is committed.

`linear` computes 4 rows of x by 2 rows of w at a time, so that its sums stay in registers: measured on Zen 3 against
2 by 4, 3 by 3, 3 by 4, 4 by 3 and 4 by 4. */

#include <wasm_simd128.h>

typedef v128_t V;
#define MUL_ADD(sum, a, b) sum = wasm_f32x4_add(sum, wasm_f32x4_mul(a, b))

static inline float total(V v) {
    V w = wasm_f32x4_add(v, wasm_i32x4_shuffle(v, v, 2, 3, 0, 1));
    return wasm_f32x4_extract_lane(w, 0) + wasm_f32x4_extract_lane(w, 1);
}

/* ROWS rows of x [.., K] times COLS rows of w [.., K] */
#define TILE(ROWS, COLS)                                                          \
    {                                                                             \
        V s[ROWS][COLS];                                                          \
        _Pragma("unroll") for (int r = 0; r < ROWS; r++)                          \
            _Pragma("unroll") for (int c = 0; c < COLS; c++) s[r][c] = wasm_f32x4_splat(0); \
        int k = 0;                                                                \
        for (; k + 4 <= K; k += 4) {                                              \
            V a[ROWS];                                                            \
            _Pragma("unroll") for (int r = 0; r < ROWS; r++) a[r] = wasm_v128_load(x + (m + r) * K + k); \
            _Pragma("unroll") for (int c = 0; c < COLS; c++) {                    \
                V b = wasm_v128_load(w + (n + c) * K + k);                        \
                _Pragma("unroll") for (int r = 0; r < ROWS; r++) MUL_ADD(s[r][c], a[r], b); \
            }                                                                     \
        }                                                                         \
        _Pragma("unroll") for (int r = 0; r < ROWS; r++)                          \
            _Pragma("unroll") for (int c = 0; c < COLS; c++) {                    \
                float sum = total(s[r][c]);                                       \
                for (int j = k; j < K; j++) sum += x[(m + r) * K + j] * w[(n + c) * K + j]; \
                y[(m + r) * N + n + c] = sum + (bias ? bias[n + c] : 0);          \
            }                                                                     \
    }

/* y [M, N] = x [M, K] w^T + bias, w [N, K]; bias may be 0. */
__attribute__((export_name("linear"))) void linear(
    const float *x, const float *w, const float *bias, float *y, int M, int N, int K) {
    for (int top = 0; top < M; top += 48) {
        int end = top + 48 < M ? top + 48 : M;
        int n = 0;
        for (; n + 2 <= N; n += 2) {
            int m = top;
            for (; m + 4 <= end; m += 4) TILE(4, 2)
            for (; m < end; m++) TILE(1, 2)
        }
        for (; n < N; n++)
            for (int m = top; m < end; m++) TILE(1, 1)
    }
}

/* y [M, N] = a [M, K] b, b [K, N]. */
__attribute__((export_name("mix"))) void mix(const float *a, const float *b, float *y, int M, int N, int K) {
    for (int m = 0; m < M; m++) {
        int n = 0;
        for (; n + 16 <= N; n += 16) {
            V s[4] = {wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0), wasm_f32x4_splat(0)};
            for (int k = 0; k < K; k++) {
                V p = wasm_v128_load32_splat(a + m * K + k);
                _Pragma("unroll") for (int i = 0; i < 4; i++) MUL_ADD(s[i], p, wasm_v128_load(b + k * N + n + 4 * i));
            }
            _Pragma("unroll") for (int i = 0; i < 4; i++) wasm_v128_store(y + m * N + n + 4 * i, s[i]);
        }
        for (; n < N; n++) {
            float sum = 0;
            for (int k = 0; k < K; k++) sum += a[m * K + k] * b[k * N + n];
            y[m * N + n] = sum;
        }
    }
}
