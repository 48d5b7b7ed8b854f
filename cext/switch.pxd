cimport cython
from libc.stdint cimport uint8_t, uint32_t, uint64_t

from xor_fast.cext.ids cimport Id
from xor_fast.cext.link cimport Link
from xor_fast.cext.passage cimport COUNTS, Outcome, Passage, Rules
from xor_fast.cext.returning cimport Returns
from xor_fast.cext.ring cimport Ring
from xor_fast.cext.table cimport Table
from xor_fast.cext.wire cimport Buffer, Changes, Destination


@cython.final
cdef class Switch:
    cdef readonly Ring ring
    cdef readonly bytes node_id
    cdef Rules rules
    cdef Id own
    cdef Id wildcard
    cdef size_t id_length

    cdef Table table
    cdef Buffer inbox
    cdef int inbox_count
    cdef int via_lists
    cdef Returns returns
    cdef uint64_t counts[COUNTS]

    cdef bint read_frames(self, Link* link, const uint8_t* data, size_t size, double now) noexcept nogil
    cdef bint finish_partial(self, Link* link, const uint8_t** data, size_t* size, double now) noexcept nogil
    cdef size_t frame_size(self, const uint8_t* frame, size_t known) noexcept nogil
    cdef void take_frame(self, Link* link, const uint8_t* frame, size_t size, double now) noexcept nogil

    cdef void pass_on(self, Link* source, const uint8_t* message, size_t size, double now) noexcept nogil
    cdef void pass_checked(
        self, Link* source, const uint8_t* message, size_t size, double now, bint is_held
    ) noexcept nogil
    cdef Outcome route(self, Passage* p) noexcept nogil
    cdef bint expand(self, Passage* p, const Destination* entry) noexcept nogil
    cdef size_t shorten(self, Passage* p, const Link* source, Changes* c) noexcept nogil
    cdef Outcome route_by_ring(self, Passage* p, const Id* target) noexcept nogil
    cdef Outcome forward(self, Passage* p, Link* source, double now) noexcept nogil
    cdef Outcome put(self, Passage* p, uint8_t ttl, const Link* via, double now) noexcept nogil
    cdef bint keep(self, int link, int verdict, const uint8_t* message, size_t size) noexcept nogil
    cdef int read_own(self, bytes message, Passage* p) except -1
