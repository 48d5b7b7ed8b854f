"""Whole messages, bodies and single structures for other compiled modules, and what the codec is made of: a writer that
grows, what a structure does not say about itself, and the two functions of each structure."""

from cpython.object cimport PyObject
from libc.stdint cimport uint8_t, uint32_t

from xor_fast.cext.wire cimport Reader

# As codec.pyi describes them.
cpdef object decode_message(bytes data, size_t node_id_length=*, object kinds=*)
cpdef bytes encode_message(object message)
cpdef object decode_body(uint32_t code, bytes data, size_t node_id_length=*, object kinds=*)
cpdef bytes encode_body(object code, object body)
cpdef object decode_struct(object cls, bytes data, size_t node_id_length=*, object kinds=*)
cpdef bytes encode_struct(object value)


cdef struct Writer:
    uint8_t* data               # `first`, or memory of its own
    size_t size
    size_t capacity
    size_t node_id_length       # of the first Node-ID written, 0 before: one overlay has one length (RFC 6940 11.1)
    uint8_t[2048] first         # most messages need no more


cdef struct Context:
    size_t node_id_length
    PyObject* kinds             # Mapping[int, DataModel] held by the caller, or None
    int model                   # of the values that are being read: it follows from their Kind alone (7.2)


ctypedef object (*ReadFunction)(Reader* r, const Context* context)
ctypedef int (*WriteFunction)(Writer* w, object value) except -1
