/* SHA-1 (FIPS 180-4) of a whole input in one call. For names only: nothing secret hangs on it (RFC 6940 10.2). */
#ifndef XOR_FAST_SHA1_H
#define XOR_FAST_SHA1_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "big_endian.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define SHA1_HAS_INSTRUCTIONS 1
#include <cpuid.h>
#include <immintrin.h>
#endif

typedef void (*sha1_block_function)(uint32_t state[5], const uint8_t block[64]);

/* --- the portable way ------------------------------------------------------------------------------ */

#define SHA1_ROTATE(x, n) ((x) << (n) | (x) >> (32 - (n)))
#define SHA1_CHOOSE(b, c, d) ((d) ^ ((b) & ((c) ^ (d))))
#define SHA1_PARITY(b, c, d) ((b) ^ (c) ^ (d))
#define SHA1_MAJORITY(b, c, d) (((b) & (c)) | ((d) & ((b) | (c))))

/* The message schedule in a window of 16 words. */
#define SHA1_WORD(t)                                                                                       \
    (w[(t) & 15] = SHA1_ROTATE(w[((t) + 13) & 15] ^ w[((t) + 8) & 15] ^ w[((t) + 2) & 15] ^ w[(t) & 15], 1))

/* One round; instead of moving five variables around, the callers rotate their names. */
#define SHA1_ROUND(a, b, c, d, e, mix, constant, word)                                                     \
    e += SHA1_ROTATE(a, 5) + mix(b, c, d) + constant + (word);                                             \
    b = SHA1_ROTATE(b, 30)

#define SHA1_FIVE(mix, constant, word, t)                                                                  \
    SHA1_ROUND(a, b, c, d, e, mix, constant, word(t));                                                     \
    SHA1_ROUND(e, a, b, c, d, mix, constant, word((t) + 1));                                               \
    SHA1_ROUND(d, e, a, b, c, mix, constant, word((t) + 2));                                               \
    SHA1_ROUND(c, d, e, a, b, mix, constant, word((t) + 3));                                               \
    SHA1_ROUND(b, c, d, e, a, mix, constant, word((t) + 4))

#define SHA1_FIRST(t) w[t]

static inline void sha1_block_portable(uint32_t state[5], const uint8_t block[64]) {
    uint32_t w[16];
    uint32_t a = state[0], b = state[1], c = state[2], d = state[3], e = state[4];
    for (int t = 0; t < 16; t++)
        w[t] = load_u32(block + 4 * t);

    SHA1_FIVE(SHA1_CHOOSE, 0x5A827999u, SHA1_FIRST, 0);
    SHA1_FIVE(SHA1_CHOOSE, 0x5A827999u, SHA1_FIRST, 5);
    SHA1_FIVE(SHA1_CHOOSE, 0x5A827999u, SHA1_FIRST, 10);
    SHA1_ROUND(a, b, c, d, e, SHA1_CHOOSE, 0x5A827999u, SHA1_FIRST(15));
    SHA1_ROUND(e, a, b, c, d, SHA1_CHOOSE, 0x5A827999u, SHA1_WORD(16));
    SHA1_ROUND(d, e, a, b, c, SHA1_CHOOSE, 0x5A827999u, SHA1_WORD(17));
    SHA1_ROUND(c, d, e, a, b, SHA1_CHOOSE, 0x5A827999u, SHA1_WORD(18));
    SHA1_ROUND(b, c, d, e, a, SHA1_CHOOSE, 0x5A827999u, SHA1_WORD(19));
    SHA1_FIVE(SHA1_PARITY, 0x6ED9EBA1u, SHA1_WORD, 20);
    SHA1_FIVE(SHA1_PARITY, 0x6ED9EBA1u, SHA1_WORD, 25);
    SHA1_FIVE(SHA1_PARITY, 0x6ED9EBA1u, SHA1_WORD, 30);
    SHA1_FIVE(SHA1_PARITY, 0x6ED9EBA1u, SHA1_WORD, 35);
    SHA1_FIVE(SHA1_MAJORITY, 0x8F1BBCDCu, SHA1_WORD, 40);
    SHA1_FIVE(SHA1_MAJORITY, 0x8F1BBCDCu, SHA1_WORD, 45);
    SHA1_FIVE(SHA1_MAJORITY, 0x8F1BBCDCu, SHA1_WORD, 50);
    SHA1_FIVE(SHA1_MAJORITY, 0x8F1BBCDCu, SHA1_WORD, 55);
    SHA1_FIVE(SHA1_PARITY, 0xCA62C1D6u, SHA1_WORD, 60);
    SHA1_FIVE(SHA1_PARITY, 0xCA62C1D6u, SHA1_WORD, 65);
    SHA1_FIVE(SHA1_PARITY, 0xCA62C1D6u, SHA1_WORD, 70);
    SHA1_FIVE(SHA1_PARITY, 0xCA62C1D6u, SHA1_WORD, 75);

    state[0] += a;
    state[1] += b;
    state[2] += c;
    state[3] += d;
    state[4] += e;
}

/* --- the processor's own instructions -------------------------------------------------------------- */

#ifdef SHA1_HAS_INSTRUCTIONS

/* Four rounds an instruction (Intel's SHA extensions). A register holds four words, the first of them on top.
 *
 * SHA1RNDS4(abcd, sum, f) does four rounds with function and constant number f; `sum` are four words of the schedule,
 * e added to the first of them. SHA1NEXTE(earlier, words) adds the e of the next four rounds, which is the a of four
 * rounds before, rotated by 30. With w[0] the oldest of four groups of words, the next group is
 * SHA1MSG2(SHA1MSG1(w[0], w[1]) ^ w[2], w[3]). */
#define SHA1_FOUR(now, next, words, f)                                                                     \
    now = _mm_sha1nexte_epu32(now, words);                                                                 \
    next = abcd;                                                                                           \
    abcd = _mm_sha1rnds4_epu32(abcd, now, f)

#define SHA1_SCHEDULE(w0, w1, w2, w3) w0 = _mm_sha1msg2_epu32(_mm_xor_si128(_mm_sha1msg1_epu32(w0, w1), w2), w3)

/* Sixteen rounds, of which the functions may change at any group; the schedule moves on behind each group. */
#define SHA1_SIXTEEN(f0, f1, f2, f3)                                                                       \
    SHA1_SCHEDULE(w0, w1, w2, w3);                                                                         \
    SHA1_FOUR(e0, e1, w0, f0);                                                                             \
    SHA1_SCHEDULE(w1, w2, w3, w0);                                                                         \
    SHA1_FOUR(e1, e0, w1, f1);                                                                             \
    SHA1_SCHEDULE(w2, w3, w0, w1);                                                                         \
    SHA1_FOUR(e0, e1, w2, f2);                                                                             \
    SHA1_SCHEDULE(w3, w0, w1, w2);                                                                         \
    SHA1_FOUR(e1, e0, w3, f3)

__attribute__((target("sha,sse4.1,ssse3"))) static void sha1_block_instructions(uint32_t state[5],
                                                                                const uint8_t block[64]) {
    const __m128i reversed = _mm_set_epi64x(0x0001020304050607, 0x08090A0B0C0D0E0F);
    const __m128i *input = (const __m128i *)block;
    __m128i w0 = _mm_shuffle_epi8(_mm_loadu_si128(input), reversed);
    __m128i w1 = _mm_shuffle_epi8(_mm_loadu_si128(input + 1), reversed);
    __m128i w2 = _mm_shuffle_epi8(_mm_loadu_si128(input + 2), reversed);
    __m128i w3 = _mm_shuffle_epi8(_mm_loadu_si128(input + 3), reversed);
    __m128i abcd = _mm_shuffle_epi32(_mm_loadu_si128((const __m128i *)state), 0x1B);
    __m128i e0 = _mm_set_epi32((int)state[4], 0, 0, 0), e1;
    const __m128i first_abcd = abcd, first_e = e0;

    e0 = _mm_add_epi32(e0, w0); /* the e of the first rounds is no earlier a: it is added as it stands */
    e1 = abcd;
    abcd = _mm_sha1rnds4_epu32(abcd, e0, 0);
    SHA1_FOUR(e1, e0, w1, 0);
    SHA1_FOUR(e0, e1, w2, 0);
    SHA1_FOUR(e1, e0, w3, 0);
    SHA1_SIXTEEN(0, 1, 1, 1);
    SHA1_SIXTEEN(1, 1, 2, 2);
    SHA1_SIXTEEN(2, 2, 2, 3);
    SHA1_SIXTEEN(3, 3, 3, 3);

    abcd = _mm_add_epi32(abcd, first_abcd);
    _mm_storeu_si128((__m128i *)state, _mm_shuffle_epi32(abcd, 0x1B));
    state[4] = (uint32_t)_mm_extract_epi32(_mm_sha1nexte_epu32(e0, first_e), 3);
}

/* Leaf 7 tells of the SHA instructions in bit 29 of EBX, leaf 1 of SSSE3 and SSE4.1 in bits 9 and 19 of ECX. */
static inline int sha1_has_instructions(void) {
    unsigned a, b, c, d;
    if (!__get_cpuid(1, &a, &b, &c, &d) || !(c & 1u << 9) || !(c & 1u << 19))
        return 0;
    return __get_cpuid_count(7, 0, &a, &b, &c, &d) && (b & 1u << 29);
}

/* Asked once: CPUID is slow, in a virtual machine above all. Threads that ask at the same time find the same. */
static inline sha1_block_function sha1_best(void) {
    static int way = -1;
    int known = __atomic_load_n(&way, __ATOMIC_RELAXED);
    if (known < 0) {
        known = sha1_has_instructions();
        __atomic_store_n(&way, known, __ATOMIC_RELAXED);
    }
    return known ? sha1_block_instructions : sha1_block_portable;
}

#else
static inline sha1_block_function sha1_best(void) { return sha1_block_portable; }
#endif

/* --- a whole input --------------------------------------------------------------------------------- */

static inline void sha1_by(sha1_block_function block, const uint8_t *data, size_t size, uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    uint8_t tail[128] = {0};
    size_t rest = size;
    for (; rest >= 64; rest -= 64, data += 64)
        block(state, data);

    /* Padding: a set bit, zeros, the length in bits; it needs a second block when fewer than 9 bytes are free. */
    if (rest)
        memcpy(tail, data, rest);
    tail[rest] = 0x80;
    size_t end = rest < 56 ? 64 : 128;
    store_u64(tail + end - 8, (uint64_t)size * 8);
    block(state, tail);
    if (end == 128)
        block(state, tail + 64);

    for (int i = 0; i < 5; i++)
        store_u32(digest + 4 * i, state[i]);
}

static void sha1(const uint8_t *data, size_t size, uint8_t digest[20]) { sha1_by(sha1_best(), data, size, digest); }

#endif
