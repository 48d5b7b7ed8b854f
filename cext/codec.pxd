"""What a C-level user of the codec needs: the growing writer, and one reader and writer signature for every structure."""

from libc.stdint cimport uint8_t

from xor_fast.cext.wire cimport Reader


cdef class Writer:
    cdef uint8_t* data
    cdef size_t size            # bytes written
    cdef size_t capacity
    cdef size_t node_id_length  # of the first Node-ID written, 0 before: one overlay has one length (RFC 6940 11.1)


cdef class Context:
    """What a structure does not say about itself: the length of Node-IDs, and the data model of each Kind."""

    cdef size_t node_id_length
    cdef object kinds           # Mapping[int, DataModel] or None


ctypedef object (*ReadFunction)(Reader* r, Context context)
ctypedef int (*WriteFunction)(Writer w, object value) except -1
