"""The one checked read path of all parsers, the growing buffer, the forwarding header and Destinations (RFC 6940 6.3.2)
and frames (6.6.2), for `codec` and `switch`."""

from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
from libc.string cimport memcpy

from xor_fast.cext.ids cimport Id, load_u16, load_u32, load_u64, store_id, store_u16, store_u24, store_u32

# --- reading ----------------------------------------------------------------------------------------


cdef struct Reader:
    const uint8_t* at       # next byte
    size_t left             # bytes that may still be read
    size_t offset           # of `at` from the start of the outermost input


cdef inline Reader reader(const uint8_t* data, size_t size, size_t offset) noexcept nogil:
    """`offset`: where `data` stands in the outermost input, for error messages."""
    cdef Reader r
    r.at = data
    r.left = size
    r.offset = offset
    return r


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


# --- writing ----------------------------------------------------------------------------------------

cdef enum:
    KEPT_CAPACITY = 1 << 16     # a buffer that a burst made larger than this gives its memory back once empty


cdef struct Buffer:
    uint8_t* data
    size_t size
    size_t capacity


cdef inline uint8_t* extend(Buffer* b, size_t count) noexcept nogil:
    """Room for `count` more bytes, counted in at once; NULL, and nothing changes, without memory."""
    cdef size_t capacity
    cdef uint8_t* data
    if count > b.capacity - b.size:
        capacity = b.capacity * 2 if b.capacity else 512
        if capacity - b.size < count:
            capacity = b.size + count
        data = <uint8_t*>realloc(b.data, capacity)
        if data == NULL:
            return NULL
        b.data = data
        b.capacity = capacity
    data = b.data + b.size
    b.size += count
    return data


cdef inline void release(Buffer* b) noexcept nogil:
    free(b.data)
    b.data = NULL
    b.size = b.capacity = 0


cdef inline void empty(Buffer* b) noexcept nogil:
    b.size = 0
    if b.capacity > KEPT_CAPACITY:
        release(b)


# --- frames (6.6.2) ---------------------------------------------------------------------------------

cdef enum:
    DATA_FRAME = 128
    ACK_FRAME = 129
    DATA_HEADER_SIZE = 8        # type, sequence, 24-bit length
    ACK_SIZE = 9                # type, ack_sequence, received


cdef inline void write_data_header(uint8_t* out, uint32_t sequence, uint32_t size) noexcept nogil:
    out[0] = DATA_FRAME
    store_u32(out + 1, sequence)
    store_u24(out + 5, size)


cdef inline void write_ack(uint8_t* out, uint32_t ack_sequence, uint32_t received) noexcept nogil:
    out[0] = ACK_FRAME
    store_u32(out + 1, ack_sequence)
    store_u32(out + 5, received)


# --- Destinations (6.3.2.2) -------------------------------------------------------------------------

cdef enum:
    NODE = 1
    RESOURCE = 2
    OPAQUE_ID = 3


cdef struct Destination:
    uint8_t type                # the compact form is an OPAQUE_ID too
    const uint8_t* value        # without inner length byte
    size_t size                 # of value
    const uint8_t* encoded      # the entry as it stands in its list
    size_t encoded_size


cdef inline bint read_destination(Reader* r, Destination* d) noexcept nogil:
    """False when it is cut short, is of type 0, or its two lengths disagree. Types not known are stepped over."""
    cdef uint8_t length
    d.encoded = r.at
    if not read_u8(r, &d.type):
        return False
    if d.type & 0x80:
        # The compact form: two bytes in all, the first bit included in the id.
        d.type = OPAQUE_ID
        if not take(r, 1, &d.value):
            return False
        d.value = d.encoded
        d.size = d.encoded_size = 2
        return True
    if d.type == 0 or not read_u8(r, &length) or not take(r, length, &d.value):
        return False
    d.size = length
    d.encoded_size = 2 + d.size
    if d.type == RESOURCE or d.type == OPAQUE_ID:
        # Both carry a length of their own inside (notes 1.3).
        if length == 0 or d.value[0] != length - 1:
            return False
        d.value += 1
        d.size -= 1
    return True


cdef inline size_t write_node(uint8_t* out, const Id* node_id, size_t id_length) noexcept nogil:
    """One entry of a list; its size."""
    out[0] = NODE
    out[1] = <uint8_t>id_length
    store_id(node_id, out + 2, id_length)
    return 2 + id_length


# --- forwarding header (6.3.2) ----------------------------------------------------------------------

cdef enum:
    RELO_TOKEN = 0xD2454C4F
    FIXED_SIZE = 38             # of the forwarding header, ahead of its three lists
    FRAGMENT_BIT = 0x80000000   # set in every message, "for historical reasons"
    FRAGMENT_OFFSET = 0x00FFFFFF


cdef struct Header:
    uint32_t token
    uint32_t overlay
    uint16_t configuration_sequence
    uint8_t version
    uint8_t ttl
    uint32_t fragment
    uint32_t length
    uint64_t transaction_id
    uint32_t max_response_length
    size_t via_size             # of the three lists, which follow the fixed part in this order
    size_t destination_size
    size_t options_size
    size_t size                 # of the whole header


cdef inline bint read_header(Reader* r, Header* h) noexcept nogil:
    """False when the fixed part or its three lists do not fit into what is there; checks no value."""
    cdef const uint8_t* p
    if not take(r, FIXED_SIZE, &p):
        return False
    h.token = load_u32(p)
    h.overlay = load_u32(p + 4)
    h.configuration_sequence = load_u16(p + 8)
    h.version = p[10]
    h.ttl = p[11]
    h.fragment = load_u32(p + 12)
    h.length = load_u32(p + 16)
    h.transaction_id = load_u64(p + 20)
    h.max_response_length = load_u32(p + 28)
    h.via_size = load_u16(p + 32)
    h.destination_size = load_u16(p + 34)
    h.options_size = load_u16(p + 36)
    h.size = FIXED_SIZE + h.via_size + h.destination_size + h.options_size
    return take(r, h.size - FIXED_SIZE, &p)


cdef inline size_t forwarded_size(size_t size, const Id* via, size_t id_length, size_t stripped) noexcept nogil:
    """What `write_forwarded` will write."""
    return size - stripped + (2 + id_length if via != NULL else 0)


cdef inline void write_forwarded(
    uint8_t* out, const uint8_t* message, size_t size, const Header* h,
    uint8_t ttl, const Id* via, size_t id_length, size_t stripped,
) noexcept nogil:
    """The message as it is sent on: its ttl, `via` appended to the via list unless NULL, the first `stripped` bytes of
    the destination list left out, length recomputed (notes 1.12); all else byte for byte (6.1.2)."""
    cdef size_t grown = 2 + id_length if via != NULL else 0
    cdef size_t after_via = FIXED_SIZE + h.via_size
    cdef size_t rest = after_via + stripped
    memcpy(out, message, after_via)
    out[11] = ttl
    store_u32(out + 16, <uint32_t>(size - stripped + grown))
    store_u16(out + 32, <uint16_t>(h.via_size + grown))
    store_u16(out + 34, <uint16_t>(h.destination_size - stripped))
    out += after_via
    if via != NULL:
        write_node(out, via, id_length)
        out += grown
    memcpy(out, message + rest, size - rest)


cdef struct Changes:
    # Of the lists of a message on its way, when more than one entry is added or left out.
    size_t via_kept             # bytes of the via list that stay
    const uint8_t* added        # at its end
    size_t added_size
    size_t stripped             # bytes of the destination list that go
    const uint8_t* inserted     # at its start instead
    size_t inserted_size


cdef inline size_t changed_size(size_t size, const Header* h, const Changes* c) noexcept nogil:
    """What `write_changed` will write."""
    return size - h.via_size + c.via_kept + c.added_size - c.stripped + c.inserted_size


cdef inline void write_changed(
    uint8_t* out, const uint8_t* message, size_t size, const Header* h, uint8_t ttl, const Changes* c
) noexcept nogil:
    cdef size_t rest = FIXED_SIZE + h.via_size + c.stripped
    memcpy(out, message, FIXED_SIZE + c.via_kept)
    out[11] = ttl
    store_u32(out + 16, <uint32_t>changed_size(size, h, c))
    store_u16(out + 32, <uint16_t>(c.via_kept + c.added_size))
    store_u16(out + 34, <uint16_t>(h.destination_size - c.stripped + c.inserted_size))
    out += FIXED_SIZE + c.via_kept
    memcpy(out, c.added, c.added_size)
    out += c.added_size
    memcpy(out, c.inserted, c.inserted_size)
    memcpy(out + c.inserted_size, message + rest, size - rest)
