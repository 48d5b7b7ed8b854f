from libc.stdint cimport uint8_t, uint16_t, uint32_t, uint64_t

from xor_fast.cext.ids cimport Id
from xor_fast.cext.link cimport Link
from xor_fast.cext.ring cimport Ring
from xor_fast.cext.wire cimport Buffer, Header


# What is counted; names and order as in NAMES of switch.pyx.
cdef enum:
    RECEIVED
    ACKED
    DELIVERED
    FORWARDED
    ORIGINATED
    BYTES_IN
    BYTES_OUT
    DROP_STALE_LINK
    DROP_FRAME_TYPE
    DROP_FRAME_SIZE
    DROP_TOKEN
    DROP_HEADER
    DROP_LENGTH
    DROP_OVERLAY
    DROP_VERSION
    DROP_FRAGMENT_BIT
    DROP_TTL_TOO_LARGE
    DROP_TOO_LARGE
    DROP_BAD_LIST
    DROP_LONG_LIST
    DROP_RESOURCE_PLACE
    DROP_NO_DESTINATION
    DROP_DUPLICATE_DESTINATION
    DROP_BAD_OPTION
    DROP_OPAQUE_ID
    DROP_DESTINATION_TYPE
    DROP_FOREIGN_NODE
    DROP_NO_ROUTE
    DROP_TTL_ZERO
    DROP_FORWARD_CRITICAL
    DROP_LINK_FULL
    DROP_OUTBOX_FULL
    DROP_INBOX_FULL
    DROP_ACK
    DROP_NO_MEMORY
    COUNTS


# What became of a message, as the place of its counter.
ctypedef int Outcome


cdef struct Passage:
    # One message on its way through.
    const uint8_t* message
    size_t size
    Header header
    bint is_request
    bint is_critical        # it has an option that no forwarder may ignore
    size_t via_count
    size_t stripped         # bytes of own entries at the start of the destination list
    Link* target            # where it goes on to; NULL: to ourselves


cdef class Switch:
    cdef readonly Ring ring
    cdef readonly bytes node_id
    cdef public uint32_t overlay
    cdef public uint8_t initial_ttl
    cdef public uint32_t max_message_size
    cdef Id own
    cdef Id wildcard
    cdef size_t id_length

    cdef Link** slots
    cdef uint8_t* generations
    cdef int next_slot
    cdef int* live              # slots in use, oldest link first
    cdef int live_count
    cdef int* index             # open addressing from Node-ID to slot, -1 where free
    cdef size_t index_size      # a power of two, above twice live_count
    cdef int* dirty_slots
    cdef int dirty_count
    cdef Buffer inbox
    cdef int inbox_count
    cdef uint64_t counts[COUNTS]

    cdef Link* link_at(self, int number) noexcept nogil
    cdef Link* find(self, const Id* node_id) noexcept nogil
    cdef int reindex(self) except -1

    cdef bint read_frames(self, Link* link, const uint8_t* data, size_t size, double now) noexcept nogil
    cdef bint finish_partial(self, Link* link, const uint8_t** data, size_t* size, double now) noexcept nogil
    cdef size_t frame_size(self, const uint8_t* frame, size_t known) noexcept nogil
    cdef void take_frame(self, Link* link, const uint8_t* frame, size_t size, double now) noexcept nogil

    cdef void pass_on(self, Link* source, const uint8_t* message, size_t size, double now) noexcept nogil
    cdef Outcome check(self, Passage* p) noexcept nogil
    cdef Outcome check_header(self, Passage* p) noexcept nogil
    cdef Outcome check_list(self, const uint8_t* entries, size_t size, bint is_via, bint is_unique, size_t* count) noexcept nogil
    cdef Outcome check_options(self, Passage* p) noexcept nogil
    cdef Outcome route(self, Passage* p) noexcept nogil
    cdef Outcome route_by_ring(self, Passage* p, const Id* target) noexcept nogil
    cdef Outcome forward(self, Passage* p, Link* source, double now) noexcept nogil
    cdef Outcome put(self, Passage* p, uint8_t ttl, const Id* via, double now) noexcept nogil
    cdef bint keep(self, int link, int verdict, const uint8_t* message, size_t size) noexcept nogil
    cdef void touch(self, Link* link) noexcept nogil
    cdef int read_own(self, bytes message, Passage* p) except -1
