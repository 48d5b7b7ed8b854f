from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE


cdef extern from "sha1.h" nogil:
    void sha1(const uint8_t* data, size_t size, uint8_t* digest) noexcept


def resource_id(bytes name not None):
    cdef uint8_t digest[20]
    sha1(<const uint8_t*>PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name), digest)
    return PyBytes_FromStringAndSize(<char*>digest, 16)


def overlay_hash(bytes name not None):
    cdef uint8_t digest[20]
    sha1(<const uint8_t*>PyBytes_AS_STRING(name), <size_t>PyBytes_GET_SIZE(name), digest)
    return load_u32(digest + 16)


def distance(bytes a not None, bytes b not None):
    cdef Id x, y, difference
    cdef size_t length = read_id(a, &x)
    same_length(length, read_id(b, &y))
    difference = subtract(&y, &x)
    return id_bytes(&difference, length)


def between(bytes a not None, bytes x not None, bytes b not None):
    cdef Id start, middle, end
    cdef size_t length = read_id(a, &start)
    same_length(length, read_id(x, &middle))
    same_length(length, read_id(b, &end))
    return within(&start, &middle, &end)


def add_power(bytes a not None, int exponent):
    cdef Id x, power, total
    cdef size_t length = read_id(a, &x)
    if exponent < 0 or <size_t>exponent >= 8 * length:
        raise ValueError(f"exponent is {exponent}; it has to be 0 to {8 * length - 1} for an id of {length} bytes")
    # Bits are counted from the end of the id, which is left-justified in 160 bits.
    power = power_of_two(<uint32_t>exponent + 8 * <uint32_t>(MAX_ID_LENGTH - length))
    total = add(&x, &power)
    return id_bytes(&total, length)


def finger_start(bytes a not None, int i):
    cdef int bits = 8 * <int>PyBytes_GET_SIZE(a)
    if i < 1 or i > bits:
        raise ValueError(f"finger is {i}; fingers count from 1 to {bits} (RFC 6940 10.7.4.2)")
    return add_power(a, bits - i)


def successor_id(bytes a not None):
    return add_power(a, 0)


cdef size_t read_id(bytes data, Id* out) except 0:
    cdef size_t length = <size_t>PyBytes_GET_SIZE(data)
    if length < MIN_ID_LENGTH or length > MAX_ID_LENGTH:
        raise ValueError(f"an id has {MIN_ID_LENGTH} to {MAX_ID_LENGTH} bytes, not {length} (RFC 6940 6.3.1.1)")
    out[0] = load_id(<const uint8_t*>PyBytes_AS_STRING(data), length)
    return length


cdef bytes id_bytes(const Id* x, size_t length):
    cdef uint8_t raw[20]
    store_id(x, raw, length)
    return PyBytes_FromStringAndSize(<char*>raw, <Py_ssize_t>length)


cdef int same_length(size_t a, size_t b) except -1:
    if a != b:
        raise ValueError(f"ids of {a} and of {b} bytes do not lie on one ring")
    return 0


cdef Id add(const Id* a, const Id* b) noexcept nogil:
    cdef Id total
    cdef uint64_t carry
    total.tail = a.tail + b.tail
    carry = total.tail < a.tail
    total.low = a.low + b.low + carry
    carry = total.low < a.low or (carry and total.low == a.low)
    total.high = a.high + b.high + carry
    return total


cdef Id subtract(const Id* a, const Id* b) noexcept nogil:
    cdef Id difference
    cdef uint64_t borrow = a.tail < b.tail
    difference.tail = a.tail - b.tail
    difference.low = a.low - b.low - borrow
    borrow = a.low < b.low or (borrow and a.low == b.low)
    difference.high = a.high - b.high - borrow
    return difference


cdef Id power_of_two(uint32_t bit) noexcept nogil:
    """2^bit among the 160 bits of an Id."""
    cdef Id x
    x.high = <uint64_t>1 << (bit - 96) if bit >= 96 else 0
    x.low = <uint64_t>1 << (bit - 32) if 32 <= bit < 96 else 0
    x.tail = <uint32_t>1 << bit if bit < 32 else 0
    return x
