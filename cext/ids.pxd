"""Ids as numbers in registers: an id of 16 to 20 bytes is a left-justified 160-bit number, so one comparison and one
subtraction serve all lengths, and their order is memcmp's (RFC 6940 10.1)."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t


cdef extern from "big_endian.h" nogil:
    uint16_t load_u16(const uint8_t* p) noexcept
    uint32_t load_u24(const uint8_t* p) noexcept
    uint32_t load_u32(const uint8_t* p) noexcept
    uint64_t load_u64(const uint8_t* p) noexcept
    void store_u16(uint8_t* p, uint16_t value) noexcept
    void store_u24(uint8_t* p, uint32_t value) noexcept
    void store_u32(uint8_t* p, uint32_t value) noexcept
    void store_u64(uint8_t* p, uint64_t value) noexcept


cdef enum:
    MIN_ID_LENGTH = 16
    MAX_ID_LENGTH = 20


cdef struct Id:
    uint64_t high
    uint64_t low
    uint32_t tail           # bytes 16 to 19, left-justified; 0 for ids of 16 bytes


cdef inline Id load_id(const uint8_t* p, size_t length) noexcept nogil:
    """`length` has been checked: MIN_ID_LENGTH to MAX_ID_LENGTH."""
    cdef Id x
    cdef size_t i
    x.high = load_u64(p)
    x.low = load_u64(p + 8)
    x.tail = 0
    for i in range(16, length):
        x.tail |= <uint32_t>p[i] << (8 * (19 - i))
    return x


cdef inline void store_id(const Id* x, uint8_t* p, size_t length) noexcept nogil:
    cdef size_t i
    store_u64(p, x.high)
    store_u64(p + 8, x.low)
    for i in range(16, length):
        p[i] = <uint8_t>(x.tail >> (8 * (19 - i)))


cdef inline bint equal(const Id* a, const Id* b) noexcept nogil:
    return a.high == b.high and a.low == b.low and a.tail == b.tail


cdef inline bint less(const Id* a, const Id* b) noexcept nogil:
    if a.high != b.high:
        return a.high < b.high
    if a.low != b.low:
        return a.low < b.low
    return a.tail < b.tail


cdef inline bint within(const Id* a, const Id* x, const Id* b) noexcept nogil:
    """Is x in the clockwise interval (a, b]? The whole ring when a == b."""
    if less(a, b):
        return less(a, x) and not less(b, x)
    return less(a, x) or not less(b, x)


# The length of the id; ValueError when it is none.
cdef size_t read_id(bytes data, Id* out) except 0
cdef bytes id_bytes(const Id* x, size_t length)
