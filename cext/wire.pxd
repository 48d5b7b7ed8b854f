"""The one checked read path of all parsers, and the growing writer; used by `codec` and `switch`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy


cdef struct Reader:
    const uint8_t* at       # next byte
    size_t left             # bytes that may still be read
    size_t offset           # of `at` from the start of the outermost input


cdef inline bint take(Reader* r, size_t count, const uint8_t** out) noexcept nogil:
    """Step over `count` bytes; False, and nothing moves, when they are not there. Every read goes through here."""
    if count > r.left:
        return False
    out[0] = r.at
    r.at += count
    r.left -= count
    r.offset += count
    return True


cdef inline bint read_u8(Reader* r, uint8_t* out) noexcept nogil:
    cdef const uint8_t* p
    if not take(r, 1, &p):
        return False
    out[0] = p[0]
    return True


cdef inline bint read_u16(Reader* r, uint16_t* out) noexcept nogil:
    cdef const uint8_t* p
    if not take(r, 2, &p):
        return False
    out[0] = <uint16_t>((<uint32_t>p[0] << 8) | p[1])
    return True


cdef inline bint read_u24(Reader* r, uint32_t* out) noexcept nogil:
    cdef const uint8_t* p
    if not take(r, 3, &p):
        return False
    out[0] = (<uint32_t>p[0] << 16) | (<uint32_t>p[1] << 8) | p[2]
    return True


cdef inline bint read_u32(Reader* r, uint32_t* out) noexcept nogil:
    cdef const uint8_t* p
    if not take(r, 4, &p):
        return False
    out[0] = (<uint32_t>p[0] << 24) | (<uint32_t>p[1] << 16) | (<uint32_t>p[2] << 8) | p[3]
    return True


cdef inline bint read_u64(Reader* r, uint64_t* out) noexcept nogil:
    cdef uint32_t high, low
    if r.left < 8:
        return False
    read_u32(r, &high)
    read_u32(r, &low)
    out[0] = (<uint64_t>high << 32) | low
    return True


cdef inline bint sub_reader(Reader* r, size_t count, Reader* inner) noexcept nogil:
    """A reader of the next `count` bytes, which `r` steps over: a length field can never reach past its container."""
    cdef const uint8_t* p
    cdef size_t offset = r.offset
    if not take(r, count, &p):
        return False
    inner.at = p
    inner.left = count
    inner.offset = offset
    return True
