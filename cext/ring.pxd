cimport cython
from xor_fast.cext.ids cimport Id


@cython.final
cdef class Ring:
    cdef readonly bytes node_id
    cdef public bint joined
    cdef Id* entries            # ascending; the own Node-ID is one of them
    cdef size_t count           # of entries, at least 1
    cdef size_t capacity
    cdef size_t own             # index of the own Node-ID
    cdef size_t id_length

    cdef size_t lower_bound(self, const Id* target) noexcept nogil
    cdef bint is_own_range(self, const Id* target) noexcept nogil
    cdef const Id* next_peer(self, const Id* target, const Id* source) noexcept nogil
    cdef bytes at(self, size_t i)
    cdef int read(self, bytes node_id, Id* out) except -1
