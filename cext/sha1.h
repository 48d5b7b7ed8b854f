/* SHA-1 (FIPS 180-4) of a whole input in one call. For names only: nothing secret hangs on it (RFC 6940 10.2). */
#ifndef XOR_FAST_SHA1_H
#define XOR_FAST_SHA1_H

#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include "big_endian.h"

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

static inline void sha1_block(uint32_t state[5], const uint8_t block[64]) {
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

static void sha1(const uint8_t *data, size_t size, uint8_t digest[20]) {
    uint32_t state[5] = {0x67452301u, 0xEFCDAB89u, 0x98BADCFEu, 0x10325476u, 0xC3D2E1F0u};
    uint8_t tail[128] = {0};
    size_t rest = size;
    for (; rest >= 64; rest -= 64, data += 64)
        sha1_block(state, data);

    /* Padding: a set bit, zeros, the length in bits; it needs a second block when fewer than 9 bytes are free. */
    if (rest)
        memcpy(tail, data, rest);
    tail[rest] = 0x80;
    size_t end = rest < 56 ? 64 : 128;
    store_u64(tail + end - 8, (uint64_t)size * 8);
    sha1_block(state, tail);
    if (end == 128)
        sha1_block(state, tail + 64);

    for (int i = 0; i < 5; i++)
        store_u32(digest + 4 * i, state[i]);
}

#endif
