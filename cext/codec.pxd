"""What the codec is made of: a growing writer, what a structure does not say about itself, and the two functions of each
structure."""

from cpython.object cimport PyObject

from xor_fast.cext.wire cimport Buffer, Reader


cdef class _Writer:
    cdef Buffer buffer
    cdef size_t node_id_length  # of the first Node-ID written, 0 before: one overlay has one length (RFC 6940 11.1)


cdef struct Context:
    size_t node_id_length
    PyObject* kinds             # Mapping[int, DataModel] held by the caller, or None
    int model                   # of the values that are being read: it follows from their Kind alone (7.2)


ctypedef object (*ReadFunction)(Reader* r, const Context* context)
ctypedef int (*WriteFunction)(_Writer w, object value) except -1
