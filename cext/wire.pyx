from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from xor_fast.cext.ids cimport read_id

from xor_fast.errors import WireError


cdef class HeaderView:
    cdef bytes data
    cdef Header header

    @property
    def overlay(self):
        return self.header.overlay

    @property
    def configuration_sequence(self):
        return self.header.configuration_sequence

    @property
    def version(self):
        return self.header.version

    @property
    def ttl(self):
        return self.header.ttl

    @property
    def fragment(self):
        return self.header.fragment

    @property
    def length(self):
        return self.header.length

    @property
    def transaction_id(self):
        return self.header.transaction_id

    @property
    def max_response_length(self):
        return self.header.max_response_length

    @property
    def via_list(self):
        return self.piece(FIXED_SIZE, self.header.via_size)

    @property
    def destination_list(self):
        return self.piece(FIXED_SIZE + self.header.via_size, self.header.destination_size)

    @property
    def options(self):
        return self.piece(self.header.size - self.header.options_size, self.header.options_size)

    @property
    def header_size(self):
        return self.header.size

    cdef bytes piece(self, size_t start, size_t size):
        return PyBytes_FromStringAndSize(PyBytes_AS_STRING(self.data) + start, <Py_ssize_t>size)


def peek(bytes data not None):
    cdef HeaderView view = HeaderView.__new__(HeaderView)
    view.data = data
    parse(data, &view.header)
    return view


def data_frame(uint32_t sequence, bytes message not None):
    cdef size_t size = <size_t>PyBytes_GET_SIZE(message)
    cdef uint8_t header[DATA_HEADER_SIZE]
    if size >= 1 << 24:
        raise ValueError(f"a message of {size} bytes does not fit the 24-bit length of a frame (RFC 6940 6.6.2)")
    write_data_header(header, sequence, <uint32_t>size)
    return PyBytes_FromStringAndSize(<char*>header, DATA_HEADER_SIZE) + message


def ack_frame(uint32_t ack_sequence, uint32_t received):
    cdef uint8_t frame[ACK_SIZE]
    write_ack(frame, ack_sequence, received)
    return PyBytes_FromStringAndSize(<char*>frame, ACK_SIZE)


def split_frames(bytes data not None):
    cdef Reader r = reader_of(data)
    cdef list frames = []
    cdef size_t whole = 0
    cdef uint8_t type
    cdef uint32_t sequence, received, size
    cdef const uint8_t* message
    while read_u8(&r, &type):
        if type == DATA_FRAME:
            if not (read_u32(&r, &sequence) and read_u24(&r, &size) and take(&r, size, &message)):
                break
            frames.append((DATA_FRAME, sequence, PyBytes_FromStringAndSize(<const char*>message, <Py_ssize_t>size)))
        elif type == ACK_FRAME:
            if not (read_u32(&r, &sequence) and read_u32(&r, &received)):
                break
            frames.append((ACK_FRAME, sequence, received))
        else:
            raise WireError(whole, "FramedMessage", f"type {type} is neither data (128) nor ack (129)")
        whole = r.offset
    return frames, whole


def rewrite(bytes message not None, uint8_t ttl, bytes via_node_id, size_t strip=0):
    cdef Header header
    cdef Id via
    cdef const Id* appended = NULL
    cdef size_t id_length = 0
    cdef const uint8_t* data = <const uint8_t*>PyBytes_AS_STRING(message)
    cdef size_t size = <size_t>PyBytes_GET_SIZE(message)
    parse(message, &header)
    if via_node_id is not None:
        id_length = read_id(via_node_id, &via)
        appended = &via
        if header.via_size + 2 + id_length > 0xFFFF:
            raise WireError(32, "ForwardingHeader", "via_list_length would pass 65535")
    cdef size_t stripped = entries_size(message, &header, strip)
    cdef bytes out = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>forwarded_size(size, appended, id_length, stripped))
    write_forwarded(<uint8_t*>PyBytes_AS_STRING(out), data, size, &header, ttl, appended, id_length, stripped)
    return out


cdef Reader reader_of(bytes data) noexcept:
    return reader(<const uint8_t*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), 0)


cdef int parse(bytes data, Header* header) except -1:
    cdef Reader r = reader_of(data)
    if not read_header(&r, header):
        raise WireError(r.offset, "ForwardingHeader", "cut short, or its three lists do not fit")
    if header.token != RELO_TOKEN:
        raise WireError(0, "ForwardingHeader", f"relo_token is 0x{header.token:08x}, not 0xd2454c4f")
    return 0


cdef size_t entries_size(bytes message, const Header* header, size_t count) except? 0:
    """Bytes of the first `count` entries of the destination list."""
    cdef Destination entry
    cdef size_t start = FIXED_SIZE + header.via_size
    cdef Reader r = reader(<const uint8_t*>PyBytes_AS_STRING(message) + start, header.destination_size, start)
    for _ in range(count):
        if not read_destination(&r, &entry):
            raise WireError(r.offset, "Destination", f"fewer than {count} sound entries in the destination list")
    return r.offset - start
