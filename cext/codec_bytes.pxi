# Part of codec.pyx: numbers, opaque bytes and lists, read and written (RFC 6940 6.3.1).

# --- reading ----------------------------------------------------------------------------------------

cdef object broken(Reader* r, str structure, str rule, size_t back=0):
    """Refuse the field that is read next, or the one `back` bytes ago."""
    raise WireError(r.offset - back, structure, rule)


cdef inline uint8_t u8(Reader* r, str structure) except? 0xFF:
    cdef uint8_t n = 0
    if not read_u8(r, &n):
        broken(r, structure, "cut short")
    return n


cdef inline uint16_t u16(Reader* r, str structure) except? 0xFFFF:
    cdef uint16_t n = 0
    if not read_u16(r, &n):
        broken(r, structure, "cut short")
    return n


cdef inline uint32_t u24(Reader* r, str structure) except? 0xFFFFFFFF:
    cdef uint32_t n = 0
    if not read_u24(r, &n):
        broken(r, structure, "cut short")
    return n


cdef inline uint32_t u32(Reader* r, str structure) except? 0xFFFFFFFF:
    cdef uint32_t n = 0
    if not read_u32(r, &n):
        broken(r, structure, "cut short")
    return n


cdef inline uint64_t u64(Reader* r, str structure) except? 0xFFFFFFFFFFFFFFFF:
    cdef uint64_t n = 0
    if not read_u64(r, &n):
        broken(r, structure, "cut short")
    return n


cdef inline uint8_t type_of(Reader* r, str structure) except 0:
    """A type of one byte; 0 is never one (6.3.1.1)."""
    cdef uint8_t n = u8(r, structure)
    if n == 0:
        broken(r, structure, "type 0 is invalid", 1)
    return n


cdef inline object boolean(Reader* r, str structure):
    """One byte, 1 or 0 and nothing else (6.3.1.1)."""
    cdef uint8_t n = u8(r, structure)
    if n > 1:
        broken(r, structure, "a Boolean is 0 or 1", 1)
    return True if n else False


cdef inline size_t length_of(Reader* r, int width, str structure) except? <size_t>-1:
    if width == 1:
        return u8(r, structure)
    if width == 2:
        return u16(r, structure)
    if width == 3:
        return u24(r, structure)
    return u32(r, structure)


cdef inline bytes fixed(Reader* r, size_t count, str structure):
    cdef const uint8_t* p = NULL
    if not take(r, count, &p):
        broken(r, structure, "cut short")
    return PyBytes_FromStringAndSize(<const char*>p, <Py_ssize_t>count)


cdef inline bytes opaque(Reader* r, int width, str structure):
    """opaque<0..N>, its length in `width` bytes (6.3.1)."""
    return fixed(r, length_of(r, width, structure), structure)


cdef inline int bounded(Reader* r, size_t count, Reader* inner, str structure) except -1:
    inner.left = 0
    if not sub_reader(r, count, inner):
        broken(r, structure, "a length reaches past its container")
    return 0


cdef inline int ended(Reader* r, str structure) except -1:
    """Declared lengths bound each structure: what is left over belongs to nothing (6.3.1)."""
    if r.left:
        broken(r, structure, "bytes left over")
    return 0


cdef tuple all_of(Reader* inner, ReadFunction read, const Context* context):
    """What fills `inner`. The tuple doubles as it fills: what is allocated stays in proportion to what was there to be
    read, whatever its smallest item."""
    cdef PyObject* found
    cdef Py_ssize_t count = 0, capacity = 4
    if not inner.left:
        return ()
    first = read(inner, context)
    if not inner.left:  # by far the commonest list
        return (first,)
    second = read(inner, context)
    if not inner.left:
        return (first, second)
    found = PyTuple_New(capacity)
    PyObject_GC_UnTrack(found)  # nobody may come upon it half empty
    try:
        append(&found, &capacity, &count, first)
        append(&found, &capacity, &count, second)
        while inner.left:
            append(&found, &capacity, &count, read(inner, context))
        _PyTuple_Resize(&found, count)
        if not PyObject_GC_IsTracked(found):
            PyObject_GC_Track(found)
        return <tuple>found
    finally:
        Py_XDECREF(found)


cdef inline int append(PyObject** found, Py_ssize_t* capacity, Py_ssize_t* count, object item) except -1:
    if count[0] == capacity[0]:
        capacity[0] *= 2
        _PyTuple_Resize(found, capacity[0])
        PyObject_GC_UnTrack(found[0])
    Py_INCREF(<PyObject*>item)
    PyTuple_SET_ITEM(found[0], count[0], <PyObject*>item)
    count[0] += 1
    return 0


cdef tuple items(Reader* r, int width, ReadFunction read, const Context* context, str structure):
    """Item<0..N>: a list whose length in bytes stands in `width` bytes; the last item ends with the list."""
    cdef Reader inner
    bounded(r, length_of(r, width, structure), &inner, structure)
    return all_of(&inner, read, context)


# --- writing ----------------------------------------------------------------------------------------

cdef inline void start(Writer* w) noexcept:
    w.data = w.first
    w.size = w.node_id_length = 0
    w.capacity = sizeof(w.first)


cdef inline void finish(Writer* w) noexcept:
    if w.data != w.first:
        free(w.data)


cdef inline bytes written(Writer* w):
    return PyBytes_FromStringAndSize(<char*>w.data, <Py_ssize_t>w.size)


cdef object refused(Writer* w, str structure, str rule):
    raise WireError(w.size, structure, rule)


cdef int grow(Writer* w, size_t count) except -1:
    """Room for `count` more bytes at least."""
    cdef size_t capacity = max(2 * w.capacity, w.size + count)
    cdef uint8_t* data = <uint8_t*>realloc(NULL if w.data == w.first else w.data, capacity)
    if data == NULL:
        raise MemoryError
    if w.data == w.first:
        memcpy(data, w.first, w.size)
    w.data, w.capacity = data, capacity
    return 0


cdef inline uint8_t* room(Writer* w, size_t count) except NULL:
    """The next `count` bytes, which now count as written."""
    if count > w.capacity - w.size:
        grow(w, count)
    w.size += count
    return w.data + w.size - count


cdef inline void big_endian(uint8_t* p, uint64_t n, int width) noexcept:
    """The most significant byte first (6.3)."""
    if width == 1:
        p[0] = <uint8_t>n
    elif width == 2:
        store_u16(p, <uint16_t>n)
    elif width == 3:
        store_u24(p, <uint32_t>n)
    elif width == 4:
        store_u32(p, <uint32_t>n)
    else:
        store_u64(p, n)


cdef inline uint64_t number(Writer* w, object value, int width, str structure) except? 0xFFFFFFFFFFFFFFFF:
    """`value` as an unsigned integer of 1, 2, 4 or 8 bytes."""
    cdef int overflow
    cdef long long n = PyLong_AsLongLongAndOverflow(value, &overflow)
    if n < 0 or (width < 8 and n >> (8 * width)):
        return large_number(w, value, width, structure)
    return <uint64_t>n


cdef uint64_t large_number(Writer* w, object value, int width, str structure) except? 0xFFFFFFFFFFFFFFFF:
    """What is more than 63 bits long, or no unsigned integer of this width at all."""
    cdef uint64_t n = UINT64_MAX
    if not PyErr_Occurred():
        n = PyLong_AsUnsignedLongLong(PyNumber_Index(value))
    if n == UINT64_MAX and PyErr_Occurred():
        if not PyErr_ExceptionMatches(OverflowError):
            return UINT64_MAX
        PyErr_Clear()
        refused(w, structure, "an integer is negative or too large")
    if width < 8:
        refused(w, structure, "an integer is negative or too large")
    return n


cdef inline uint64_t put(Writer* w, object value, int width, str structure) except? 0xFFFFFFFFFFFFFFFF:
    """Written, and returned for whoever has to decide by it."""
    cdef uint64_t n = number(w, value, width, structure)
    big_endian(room(w, width), n, width)
    return n


cdef inline int put_boolean(Writer* w, object value) except -1:
    if value is not True and value is not False:
        raise TypeError(f"True or False expected, not {value!r}")
    room(w, 1)[0] = value is True
    return 0


cdef inline size_t size_of(object value, str structure) except? <size_t>-1:
    """Of bytes, whatever a subclass says."""
    if not isinstance(value, bytes):
        raise TypeError(f"{structure}: bytes expected, not {type(value).__name__}")
    return <size_t>PyBytes_GET_SIZE(value)


cdef inline int put_fixed(Writer* w, object value, str structure) except -1:
    cdef size_t count = size_of(value, structure)
    memcpy(room(w, count), PyBytes_AS_STRING(value), count)
    return 0


cdef inline size_t begin(Writer* w, int width) except? <size_t>-1:
    """Leave room for a length; `end` writes it."""
    room(w, width)
    return w.size


cdef inline int end(Writer* w, size_t start, int width, str structure) except -1:
    cdef size_t count = w.size - start
    if <uint64_t>count >> (8 * width):
        refused(w, structure, f"longer than a length of {8 * width} bits can say")
    big_endian(w.data + start - width, count, width)
    return 0


cdef inline int put_opaque(Writer* w, object value, int width, str structure) except -1:
    cdef size_t start = begin(w, width)
    put_fixed(w, value, structure)
    return end(w, start, width, structure)


cdef int put_items(Writer* w, object values, int width, WriteFunction write, str structure) except -1:
    cdef size_t start = begin(w, width)
    for value in values:
        write(w, value)
    return end(w, start, width, structure)
