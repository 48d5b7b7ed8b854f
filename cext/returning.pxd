"""The ways back that this node keeps for requests it passed on with a shorter via list (RFC 6940 6.1.2, 6.1.3).

A table of them, used in a circle. What stands in the via list is an opaque id: where in the table, and a code that only
who has the secret can make, so that nobody can write a way for us to follow, nor follow one that was meant for others
(notes 2.3, 2.4). Plain C functions, compiled into `switch`.
"""

from libc.stdint cimport uint8_t, uint64_t
from libc.stdlib cimport calloc, free, realloc
from libc.string cimport memcpy

from xor_fast.cext.ids cimport Id, load_u32, store_u32
from xor_fast.cext.wire cimport Destination, Reader, read_destination, reader, write_node


cdef extern from "sha1.h" nogil:
    void sha1(const uint8_t* data, size_t size, uint8_t* digest) noexcept


cdef enum:
    SECRET_SIZE = 32
    NUMBER_SIZE = 4             # of an opaque id: the low bytes of how many were issued before
    CODE_SIZE = 12              # then the code
    OPAQUE_SIZE = NUMBER_SIZE + CODE_SIZE


cdef struct Saved:
    double until                # 0.0: never used
    uint8_t opaque[OPAQUE_SIZE]
    uint8_t* way                # destination list entries, in the order of the way back
    size_t size


cdef struct Returns:
    Saved* table
    size_t count                # a power of two
    size_t max_size             # of a way
    uint64_t issued
    double lifetime
    uint8_t secret[SECRET_SIZE + 8]


cdef inline bint open_returns(
    Returns* r, size_t count, size_t max_size, double lifetime, const uint8_t* secret
) noexcept nogil:
    r.table = <Saved*>calloc(count, sizeof(Saved))
    r.count = count
    r.max_size = max_size
    r.lifetime = lifetime
    memcpy(r.secret, secret, SECRET_SIZE)
    return r.table != NULL


cdef inline void close_returns(Returns* r) noexcept nogil:
    cdef size_t i
    if r.table != NULL:
        for i in range(r.count):
            free(r.table[i].way)
        free(r.table)
        r.table = NULL


cdef inline Saved* save_way(
    Returns* r, const Id* previous, size_t id_length, const uint8_t* via, size_t via_size, double now
) noexcept nogil:
    """Keep the way to the previous hop and back along the via list, for as long as a request lives. NULL: there is no
    room, since none may be given up before its time, or it is too long."""
    cdef Saved* saved = &r.table[r.issued % r.count]
    cdef Reader entries = reader(via, via_size, 0)
    cdef Destination entry
    cdef uint8_t digest[20]
    cdef uint8_t* out
    cdef size_t size = 2 + id_length + via_size
    if saved.until > now or size > r.max_size:
        return NULL
    out = <uint8_t*>realloc(saved.way, size)
    if out == NULL:
        return NULL
    saved.way = out
    saved.size = size
    saved.until = now + r.lifetime
    write_node(out, previous, id_length)
    out += size
    while read_destination(&entries, &entry):
        out -= entry.encoded_size
        memcpy(out, entry.encoded, entry.encoded_size)
    # A hash with the secret ahead is a sound code here: what is hashed has one length, and most of the digest is cut off.
    store_u32(r.secret + SECRET_SIZE, <unsigned int>(r.issued >> 32))
    store_u32(r.secret + SECRET_SIZE + 4, <unsigned int>r.issued)
    sha1(r.secret, SECRET_SIZE + 8, digest)
    store_u32(saved.opaque, <unsigned int>r.issued)
    memcpy(saved.opaque + NUMBER_SIZE, digest, CODE_SIZE)
    r.issued += 1
    return saved


cdef inline const Saved* saved_way(const Returns* r, const uint8_t* opaque, size_t size, double now) noexcept nogil:
    """NULL: we have not issued this id, or its time is over."""
    cdef const Saved* saved
    cdef uint8_t difference = 0
    cdef size_t i
    if r.table == NULL or size != OPAQUE_SIZE:
        return NULL
    saved = &r.table[load_u32(opaque) % r.count]
    for i in range(<size_t>OPAQUE_SIZE):  # in a time that tells nothing of the code
        difference |= saved.opaque[i] ^ opaque[i]
    return saved if difference == 0 and saved.until > now else NULL
