/* Loads and stores in network order, for unaligned places. Named so that it does not hide <endian.h>. */
#ifndef XOR_FAST_BIG_ENDIAN_H
#define XOR_FAST_BIG_ENDIAN_H

#include <stdint.h>

/* Written with shifts: compilers make one load and one byte swap of it on every machine. */
static inline uint16_t load_u16(const uint8_t *p) { return (uint16_t)((uint32_t)p[0] << 8 | p[1]); }

static inline uint32_t load_u24(const uint8_t *p) { return (uint32_t)p[0] << 16 | (uint32_t)p[1] << 8 | p[2]; }

static inline uint32_t load_u32(const uint8_t *p) {
    return (uint32_t)p[0] << 24 | (uint32_t)p[1] << 16 | (uint32_t)p[2] << 8 | p[3];
}

static inline uint64_t load_u64(const uint8_t *p) { return (uint64_t)load_u32(p) << 32 | load_u32(p + 4); }

static inline void store_u16(uint8_t *p, uint16_t value) {
    p[0] = (uint8_t)(value >> 8);
    p[1] = (uint8_t)value;
}

static inline void store_u24(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)(value >> 16);
    p[1] = (uint8_t)(value >> 8);
    p[2] = (uint8_t)value;
}

static inline void store_u32(uint8_t *p, uint32_t value) {
    p[0] = (uint8_t)(value >> 24);
    p[1] = (uint8_t)(value >> 16);
    p[2] = (uint8_t)(value >> 8);
    p[3] = (uint8_t)value;
}

static inline void store_u64(uint8_t *p, uint64_t value) {
    store_u32(p, (uint32_t)(value >> 32));
    store_u32(p + 4, (uint32_t)value);
}

#endif
