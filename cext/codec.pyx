"""RELOAD structures as bytes: one plain read and one plain write function per structure, in the order of the RFC.

Reading is strict, so that encode(decode(x)) == x: a Boolean is 0 or 1, nested lengths agree, a vector ends where its last
item ends. A selector nobody knows ends in WireError (RFC 6940 6.3.1.1), except where the structure carries its own length
and calls itself extensible: then the item is kept as bytes for whoever passes it on or steps over it.
Writing refuses what reading would refuse, and what it would silently leave out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches, PyErr_Occurred
from cpython.mem cimport PyMem_Free, PyMem_Realloc
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xor_fast.cext.wire cimport Reader, read_u8, read_u16, read_u24, read_u32, read_u64, sub_reader, take

from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import (
    RELO_TOKEN as _RELO_TOKEN,
    UNSIGNED,
    VERSION as _VERSION,
    AppAttachReqAns,
    ArrayEntry,
    ArrayRange,
    AttachReqAns,
    ChordLeaveData,
    Code,
    DataValue,
    Destination,
    DictionaryEntry,
    ErrorResponse,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    ForwardingHeader,
    ForwardingOption,
    GenericCertificate,
    IceCandidate,
    IceExtension,
    IpAddressPort,
    JoinAns,
    JoinReq,
    LeaveAns,
    LeaveReq,
    Message,
    MessageExtension,
    PingAns,
    PingReq,
    RouteQueryAns,
    RouteQueryReq,
    SecurityBlock,
    Signature,
    SignerIdentity,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    UpdateAns,
    UpdateReq,
    XmppLocation,
)

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object number) noexcept

# The code points the branches below decide by; their names and sections are in xor_fast.messages.
cdef enum:
    NODE = 1
    RESOURCE = 2
    OPAQUE_ID = 3
    COMPACT_BIT = 0x80
    IPV4 = 1
    IPV6 = 2
    CERT_HASH = 1
    CERT_HASH_NODE_ID = 2
    IDENTITY_NONE = 3
    HOST = 1
    SRFLX = 2
    RELAY = 4
    PEER_READY = 1
    NEIGHBORS = 2
    FULL = 3
    FROM_SUCC = 1
    FROM_PRED = 2
    UNKNOWN_KIND = 0
    SINGLE = 1
    ARRAY = 2
    DICTIONARY = 3
    LOCATION_ADDRESS = 1
    LOCATION_ROUTE = 2
    ERROR_CODE = 0xFFFF
    MAX_RESOURCE_ID = 254       # the type has room for 255, the prose says 254 (6.3.1.1)
    MIN_NODE_ID = 16
    MAX_NODE_ID = 20

cdef uint32_t RELO_TOKEN = _RELO_TOKEN
cdef uint8_t VERSION = _VERSION
cdef uint32_t FRAGMENT_ALWAYS = 0x80000000
cdef uint32_t FRAGMENT_LAST = 0x40000000
cdef uint32_t FRAGMENT_OFFSET = 0x00FFFFFF


# --- reading ----------------------------------------------------------------------------------------

cdef object broken(Reader* r, str structure, str rule):
    raise WireError(r.offset, structure, rule)


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


cdef inline bint boolean(Reader* r, str structure) except -1:
    """One byte, 1 or 0 and nothing else (6.3.1.1)."""
    cdef uint8_t n = u8(r, structure)
    if n > 1:
        broken(r, structure, "a Boolean is 0 or 1")
    return n


cdef inline size_t length_of(Reader* r, int width, str structure) except? <size_t>-1:
    if width == 1:
        return u8(r, structure)
    if width == 2:
        return u16(r, structure)
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


cdef tuple items(Reader* r, int width, ReadFunction read, Context context, str structure):
    """Item<0..N>: a list whose length in bytes stands in `width` bytes; the last item ends with the list."""
    cdef Reader inner
    cdef list found = []
    bounded(r, length_of(r, width, structure), &inner, structure)
    while inner.left:
        found.append(read(&inner, context))
    return tuple(found)


# --- writing ----------------------------------------------------------------------------------------

cdef class Writer:
    """Bytes that grow."""

    def __dealloc__(self):
        PyMem_Free(self.data)


cdef bytes taken(Writer w):
    return PyBytes_FromStringAndSize(<char*>w.data, <Py_ssize_t>w.size)


cdef object refused(Writer w, str structure, str rule):
    raise WireError(w.size, structure, rule)


cdef inline uint8_t* room(Writer w, size_t count) except NULL:
    """The next `count` bytes, which now count as written."""
    cdef size_t capacity
    cdef void* data
    if count > w.capacity - w.size:
        capacity = 2 * (w.size + count) + 512
        data = PyMem_Realloc(w.data, capacity)
        if data is NULL:
            raise MemoryError
        w.data = <uint8_t*>data
        w.capacity = capacity
    w.size += count
    return w.data + w.size - count


cdef inline void big_endian(uint8_t* p, uint64_t n, int width) noexcept:
    cdef int i
    for i in range(width):
        p[i] = <uint8_t>(n >> (8 * (width - 1 - i)))


cdef inline int put(Writer w, object value, int width, str structure) except -1:
    """An unsigned integer, most significant byte first (6.3)."""
    cdef uint64_t n = PyLong_AsUnsignedLongLong(value)
    if n == UINT64_MAX and PyErr_Occurred():
        if not PyErr_ExceptionMatches(OverflowError):
            return -1
        PyErr_Clear()
        refused(w, structure, "an integer is negative or too large")
    if width < 8 and n >> (8 * width):
        refused(w, structure, "an integer is negative or too large")
    big_endian(room(w, width), n, width)
    return 0


cdef inline int put_boolean(Writer w, object value) except -1:
    room(w, 1)[0] = 1 if value else 0
    return 0


cdef inline int put_fixed(Writer w, object value, str structure) except -1:
    if not isinstance(value, bytes):
        raise TypeError(f"{structure}: bytes expected, not {type(value).__name__}")
    cdef size_t count = <size_t>PyBytes_GET_SIZE(value)
    memcpy(room(w, count), PyBytes_AS_STRING(value), count)
    return 0


cdef inline size_t begin(Writer w, int width) except? <size_t>-1:
    """Leave room for a length; `end` writes it."""
    room(w, width)
    return w.size


cdef inline int end(Writer w, size_t start, int width, str structure) except -1:
    cdef size_t count = w.size - start
    if count >> (8 * width):
        refused(w, structure, f"longer than a length of {8 * width} bits can say")
    big_endian(w.data + start - width, count, width)
    return 0


cdef inline int put_opaque(Writer w, object value, int width, str structure) except -1:
    cdef size_t start = begin(w, width)
    put_fixed(w, value, structure)
    return end(w, start, width, structure)


cdef int put_items(Writer w, object values, int width, WriteFunction write, str structure) except -1:
    cdef size_t start = begin(w, width)
    for value in values:
        write(w, value)
    return end(w, start, width, structure)


# --- common definitions (6.3.1.1) -------------------------------------------------------------------

cdef object read_node_id(Reader* r, Context context):
    return fixed(r, context.node_id_length, "NodeId")


cdef int write_node_id(Writer w, object value) except -1:
    cdef size_t count = len(value)
    if not MIN_NODE_ID <= count <= MAX_NODE_ID:
        refused(w, "NodeId", "a Node-ID has 16 to 20 bytes")
    if w.node_id_length and count != w.node_id_length:
        refused(w, "NodeId", "Node-IDs of two lengths in one message")
    w.node_id_length = count
    return put_fixed(w, value, "NodeId")


cdef object read_resource_id(Reader* r):
    cdef size_t count = u8(r, "ResourceId")
    if count > MAX_RESOURCE_ID:
        broken(r, "ResourceId", "longer than 254 bytes")
    return fixed(r, count, "ResourceId")


cdef int write_resource_id(Writer w, object value) except -1:
    if len(value) > MAX_RESOURCE_ID:
        refused(w, "ResourceId", "longer than 254 bytes")
    return put_opaque(w, value, 1, "ResourceId")


cdef object read_ip_address_port(Reader* r, Context context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "IpAddressPort")
    bounded(r, u8(r, "IpAddressPort"), &inner, "IpAddressPort")
    if type == 0:
        broken(r, "IpAddressPort", "type 0 is invalid")
    if type > IPV6:  # "can still parse the IpAddressPort field and then discard it"
        return IpAddressPort(type, fixed(&inner, inner.left, "IpAddressPort"), 0)
    address = fixed(&inner, 4 if type == IPV4 else 16, "IpAddressPort")
    port = u16(&inner, "IpAddressPort")
    ended(&inner, "IpAddressPort")
    return IpAddressPort(type, address, port)


cdef int write_ip_address_port(Writer w, object value) except -1:
    cdef size_t start
    type, address = value.type, value.address
    if not type:
        refused(w, "IpAddressPort", "type 0 is invalid")
    put(w, type, 1, "IpAddressPort")
    start = begin(w, 1)
    put_fixed(w, address, "IpAddressPort")
    if type <= IPV6:
        if len(address) != (4 if type == IPV4 else 16):
            refused(w, "IpAddressPort", "the address does not have the length of its type")
        put(w, value.port, 2, "IpAddressPort")
    elif value.port:
        refused(w, "IpAddressPort", "an unknown type has no port of its own")
    return end(w, start, 1, "IpAddressPort")


# --- forwarding header (6.3.2) ----------------------------------------------------------------------

cdef object read_destination(Reader* r, Context context):
    cdef Reader inner
    cdef uint8_t type
    if r.left and r.at[0] & COMPACT_BIT:  # the 16-bit form has neither type nor length (6.3.2.2)
        return Destination(OPAQUE_ID, fixed(r, 2, "Destination"), True)
    type = u8(r, "Destination")
    bounded(r, u8(r, "Destination"), &inner, "Destination")
    if type == 0:
        broken(r, "Destination", "type 0 is invalid")
    elif type == NODE:
        value = read_node_id(&inner, context)
    elif type == RESOURCE:
        value = read_resource_id(&inner)
    elif type == OPAQUE_ID:
        value = opaque(&inner, 1, "Destination")
    else:  # "allows an implementation which does not understand a given DestinationType to skip over it"
        value = fixed(&inner, inner.left, "Destination")
    ended(&inner, "Destination")
    return Destination(type, value, False)


cdef int write_destination(Writer w, object value) except -1:
    cdef size_t start
    type, data = value.type, value.value
    if value.compact:
        if type != OPAQUE_ID or len(data) != 2 or not data[0] & COMPACT_BIT:
            refused(w, "Destination", "the 16-bit form is an opaque id of two bytes with the top bit set")
        return put_fixed(w, data, "Destination")
    if not 0 < type < COMPACT_BIT:
        refused(w, "Destination", "a type is 1 to 127")
    put(w, type, 1, "Destination")
    start = begin(w, 1)
    if type == NODE:
        write_node_id(w, data)
    elif type == RESOURCE:
        write_resource_id(w, data)
    elif type == OPAQUE_ID:
        put_opaque(w, data, 1, "Destination")
    else:
        put_fixed(w, data, "Destination")
    return end(w, start, 1, "Destination")


cdef object read_forwarding_option(Reader* r, Context context):
    cdef uint8_t type = u8(r, "ForwardingOption")
    cdef uint8_t flags = u8(r, "ForwardingOption")
    if type == 0:
        broken(r, "ForwardingOption", "type 0 is invalid")
    return ForwardingOption(type, flags, opaque(r, 2, "ForwardingOption"))


cdef int write_forwarding_option(Writer w, object value) except -1:
    if not value.type:
        refused(w, "ForwardingOption", "type 0 is invalid")
    put(w, value.type, 1, "ForwardingOption")
    put(w, value.flags, 1, "ForwardingOption")
    return put_opaque(w, value.option, 2, "ForwardingOption")


cdef struct FixedHeader:
    uint32_t overlay
    uint16_t configuration_sequence
    uint8_t ttl
    uint32_t fragment
    uint64_t transaction_id
    uint32_t max_response_length
    uint16_t via_list_length
    uint16_t destination_list_length
    uint16_t options_length


cdef int read_fixed_header(Reader* r, FixedHeader* h) except -1:
    """The 38 bytes before the lists. `r` must hold exactly one message: its length field says so."""
    cdef size_t whole = r.left
    if u32(r, "ForwardingHeader") != RELO_TOKEN:
        broken(r, "ForwardingHeader", "not a RELOAD message")
    h.overlay = u32(r, "ForwardingHeader")
    h.configuration_sequence = u16(r, "ForwardingHeader")
    if u8(r, "ForwardingHeader") != VERSION:
        broken(r, "ForwardingHeader", "the version is not 1.0")
    h.ttl = u8(r, "ForwardingHeader")
    h.fragment = u32(r, "ForwardingHeader")
    if not h.fragment & FRAGMENT_ALWAYS:
        broken(r, "ForwardingHeader", "the high bit of fragment is not set")
    if not h.fragment & FRAGMENT_LAST or h.fragment & FRAGMENT_OFFSET:
        broken(r, "ForwardingHeader", "a fragment, not a whole message")
    if u32(r, "ForwardingHeader") != whole:
        broken(r, "ForwardingHeader", "length is not the size of the message")
    h.transaction_id = u64(r, "ForwardingHeader")
    h.max_response_length = u32(r, "ForwardingHeader")
    h.via_list_length = u16(r, "ForwardingHeader")
    h.destination_list_length = u16(r, "ForwardingHeader")
    h.options_length = u16(r, "ForwardingHeader")
    return 0


cdef tuple listed(Reader* r, size_t count, ReadFunction read, Context context):
    """One of the three lists of the header: their lengths stand apart from them."""
    cdef Reader inner
    cdef list found = []
    bounded(r, count, &inner, "ForwardingHeader")
    while inner.left:
        found.append(read(&inner, context))
    return tuple(found)


cdef object read_forwarding_header(Reader* r, Context context):
    cdef FixedHeader h
    read_fixed_header(r, &h)
    via_list = listed(r, h.via_list_length, read_destination, context)
    destination_list = listed(r, h.destination_list_length, read_destination, context)
    options = listed(r, h.options_length, read_forwarding_option, context)
    return ForwardingHeader(
        h.overlay, h.configuration_sequence, h.ttl, h.transaction_id, destination_list, via_list, options,
        h.max_response_length, h.fragment, VERSION,
    )


cdef int put_list(Writer w, size_t length_at, object values, WriteFunction write) except -1:
    """A list of the header, and its length at its own place ahead of all three."""
    cdef size_t start = w.size
    for value in values:
        write(w, value)
    if (w.size - start) >> 16:
        refused(w, "ForwardingHeader", "a list longer than 65,535 bytes")
    big_endian(w.data + length_at, w.size - start, 2)
    return 0


cdef int write_forwarding_header(Writer w, object value) except -1:
    """The length field counts the header alone; `assemble` puts the length of the message there."""
    cdef size_t start = w.size
    if value.version != VERSION:
        refused(w, "ForwardingHeader", "the version is not 1.0")
    if not value.fragment & FRAGMENT_ALWAYS:
        refused(w, "ForwardingHeader", "the high bit of fragment is not set")
    put(w, RELO_TOKEN, 4, "ForwardingHeader")
    put(w, value.overlay, 4, "ForwardingHeader")
    put(w, value.configuration_sequence, 2, "ForwardingHeader")
    put(w, value.version, 1, "ForwardingHeader")
    put(w, value.ttl, 1, "ForwardingHeader")
    put(w, value.fragment, 4, "ForwardingHeader")
    put(w, 0, 4, "ForwardingHeader")
    put(w, value.transaction_id, 8, "ForwardingHeader")
    put(w, value.max_response_length, 4, "ForwardingHeader")
    room(w, 6)
    put_list(w, start + 32, value.via_list, write_destination)
    put_list(w, start + 34, value.destination_list, write_destination)
    put_list(w, start + 36, value.options, write_forwarding_option)
    return set_length(w, start)


cdef int set_length(Writer w, size_t start) except -1:
    if (w.size - start) >> 32:
        refused(w, "ForwardingHeader", "longer than a length of 32 bits can say")
    big_endian(w.data + start + 16, w.size - start, 4)
    return 0


# --- message contents (6.3.3) -----------------------------------------------------------------------

cdef object read_message_extension(Reader* r, Context context):
    cdef uint16_t type = u16(r, "MessageExtension")
    if type == 0:
        broken(r, "MessageExtension", "type 0 is invalid")
    critical = boolean(r, "MessageExtension")
    return MessageExtension(type, True if critical else False, opaque(r, 4, "MessageExtension"))


cdef int write_message_extension(Writer w, object value) except -1:
    if not value.type:
        refused(w, "MessageExtension", "type 0 is invalid")
    put(w, value.type, 2, "MessageExtension")
    put_boolean(w, value.critical)
    return put_opaque(w, value.extension_contents, 4, "MessageExtension")


cdef object read_error_response(Reader* r, Context context):
    cdef uint16_t error_code = u16(r, "ErrorResponse")
    return ErrorResponse(error_code, opaque(r, 2, "ErrorResponse"))


cdef int write_error_response(Writer w, object value) except -1:
    put(w, value.error_code, 2, "ErrorResponse")
    return put_opaque(w, value.error_info, 2, "ErrorResponse")


# --- security block (6.3.4) -------------------------------------------------------------------------

cdef object read_generic_certificate(Reader* r, Context context):
    cdef uint8_t type = u8(r, "GenericCertificate")
    return GenericCertificate(type, opaque(r, 2, "GenericCertificate"))


cdef int write_generic_certificate(Writer w, object value) except -1:
    put(w, value.type, 1, "GenericCertificate")
    return put_opaque(w, value.certificate, 2, "GenericCertificate")


cdef object read_signer_identity(Reader* r, Context context):
    cdef Reader inner
    cdef uint8_t identity_type = u8(r, "SignerIdentity")
    cdef uint8_t hash_alg = 0
    hash_value = b""
    bounded(r, u16(r, "SignerIdentity"), &inner, "SignerIdentity")
    if identity_type == CERT_HASH or identity_type == CERT_HASH_NODE_ID:
        hash_alg = u8(&inner, "SignerIdentity")
        hash_value = opaque(&inner, 1, "SignerIdentity")
    elif identity_type != IDENTITY_NONE:
        broken(r, "SignerIdentity", "an unknown type")
    ended(&inner, "SignerIdentity")
    return SignerIdentity(identity_type, hash_alg, hash_value)


cdef int write_signer_identity(Writer w, object value) except -1:
    cdef size_t start
    identity_type = value.identity_type
    put(w, identity_type, 1, "SignerIdentity")
    start = begin(w, 2)
    if identity_type == CERT_HASH or identity_type == CERT_HASH_NODE_ID:
        put(w, value.hash_alg, 1, "SignerIdentity")
        put_opaque(w, value.certificate_hash, 1, "SignerIdentity")
    elif identity_type != IDENTITY_NONE:
        refused(w, "SignerIdentity", "an unknown type")
    elif value.hash_alg or value.certificate_hash:
        refused(w, "SignerIdentity", "type none has no hash")
    return end(w, start, 2, "SignerIdentity")


cdef object read_signature(Reader* r, Context context):
    # TLS 1.2 puts the hash before the signature algorithm (RFC 5246 7.4.1.4.1).
    cdef uint8_t hash_algorithm = u8(r, "Signature")
    cdef uint8_t signature_algorithm = u8(r, "Signature")
    identity = read_signer_identity(r, context)
    return Signature(hash_algorithm, signature_algorithm, identity, opaque(r, 2, "Signature"))


cdef int write_signature(Writer w, object value) except -1:
    put(w, value.hash_algorithm, 1, "Signature")
    put(w, value.signature_algorithm, 1, "Signature")
    write_signer_identity(w, value.identity)
    return put_opaque(w, value.signature_value, 2, "Signature")


cdef object read_security_block(Reader* r, Context context):
    certificates = items(r, 2, read_generic_certificate, context, "SecurityBlock")
    return SecurityBlock(certificates, read_signature(r, context))


cdef int write_security_block(Writer w, object value) except -1:
    put_items(w, value.certificates, 2, write_generic_certificate, "SecurityBlock")
    return write_signature(w, value.signature)


# --- topology (6.4.2) -------------------------------------------------------------------------------

cdef object read_join_req(Reader* r, Context context):
    joining_peer_id = read_node_id(r, context)
    return JoinReq(joining_peer_id, opaque(r, 2, "JoinReq"))


cdef int write_join_req(Writer w, object value) except -1:
    write_node_id(w, value.joining_peer_id)
    return put_opaque(w, value.overlay_specific_data, 2, "JoinReq")


cdef object read_join_ans(Reader* r, Context context):
    return JoinAns(opaque(r, 2, "JoinAns"))


cdef int write_join_ans(Writer w, object value) except -1:
    return put_opaque(w, value.overlay_specific_data, 2, "JoinAns")


cdef object read_leave_req(Reader* r, Context context):
    leaving_peer_id = read_node_id(r, context)
    return LeaveReq(leaving_peer_id, opaque(r, 2, "LeaveReq"))


cdef int write_leave_req(Writer w, object value) except -1:
    write_node_id(w, value.leaving_peer_id)
    return put_opaque(w, value.overlay_specific_data, 2, "LeaveReq")


cdef object read_leave_ans(Reader* r, Context context):
    return LeaveAns()


cdef object read_update_ans(Reader* r, Context context):
    return UpdateAns()


cdef int write_nothing(Writer w, object value) except -1:
    return 0


cdef object read_route_query_req(Reader* r, Context context):
    send_update = boolean(r, "RouteQueryReq")
    destination = read_destination(r, context)
    return RouteQueryReq(True if send_update else False, destination, opaque(r, 2, "RouteQueryReq"))


cdef int write_route_query_req(Writer w, object value) except -1:
    put_boolean(w, value.send_update)
    write_destination(w, value.destination)
    return put_opaque(w, value.overlay_specific_data, 2, "RouteQueryReq")


# --- connections (6.5) ------------------------------------------------------------------------------

cdef object read_ice_extension(Reader* r, Context context):
    name = opaque(r, 2, "IceExtension")
    return IceExtension(name, opaque(r, 2, "IceExtension"))


cdef int write_ice_extension(Writer w, object value) except -1:
    put_opaque(w, value.name, 2, "IceExtension")
    return put_opaque(w, value.value, 2, "IceExtension")


cdef object read_ice_candidate(Reader* r, Context context):
    cdef uint8_t overlay_link, type
    cdef uint32_t priority
    addr_port = read_ip_address_port(r, context)
    overlay_link = u8(r, "IceCandidate")
    if overlay_link == 0:
        broken(r, "IceCandidate", "overlay link type 0 is invalid")
    foundation = opaque(r, 1, "IceCandidate")
    priority = u32(r, "IceCandidate")
    type = u8(r, "IceCandidate")
    rel_addr_port = None
    if type == SRFLX or type == RELAY:
        rel_addr_port = read_ip_address_port(r, context)
    elif type != HOST:  # 3 is reserved, and nobody says whether rel_addr_port follows it (6.5.1.1)
        broken(r, "IceCandidate", "an unknown candidate type")
    extensions = items(r, 2, read_ice_extension, context, "IceCandidate")
    return IceCandidate(addr_port, overlay_link, foundation, priority, type, rel_addr_port, extensions)


cdef int write_ice_candidate(Writer w, object value) except -1:
    type, rel_addr_port = value.type, value.rel_addr_port
    if type != HOST and type != SRFLX and type != RELAY:
        refused(w, "IceCandidate", "an unknown candidate type")
    if (type == HOST) != (rel_addr_port is None):
        refused(w, "IceCandidate", "rel_addr_port stands for srflx and relay, and for them alone")
    if not value.overlay_link:
        refused(w, "IceCandidate", "overlay link type 0 is invalid")
    write_ip_address_port(w, value.addr_port)
    put(w, value.overlay_link, 1, "IceCandidate")
    put_opaque(w, value.foundation, 1, "IceCandidate")
    put(w, value.priority, 4, "IceCandidate")
    put(w, type, 1, "IceCandidate")
    if rel_addr_port is not None:
        write_ip_address_port(w, rel_addr_port)
    return put_items(w, value.extensions, 2, write_ice_extension, "IceCandidate")


cdef object read_attach(Reader* r, Context context):
    ufrag = opaque(r, 1, "AttachReqAns")
    password = opaque(r, 1, "AttachReqAns")
    role = opaque(r, 1, "AttachReqAns")
    candidates = items(r, 2, read_ice_candidate, context, "AttachReqAns")
    send_update = boolean(r, "AttachReqAns")
    return AttachReqAns(ufrag, password, role, candidates, True if send_update else False)


cdef int write_attach(Writer w, object value) except -1:
    put_opaque(w, value.ufrag, 1, "AttachReqAns")
    put_opaque(w, value.password, 1, "AttachReqAns")
    put_opaque(w, value.role, 1, "AttachReqAns")
    put_items(w, value.candidates, 2, write_ice_candidate, "AttachReqAns")
    return put_boolean(w, value.send_update)


cdef object read_app_attach(Reader* r, Context context):
    cdef uint16_t application
    ufrag = opaque(r, 1, "AppAttachReq")
    password = opaque(r, 1, "AppAttachReq")
    application = u16(r, "AppAttachReq")
    role = opaque(r, 1, "AppAttachReq")
    return AppAttachReqAns(ufrag, password, application, role, items(r, 2, read_ice_candidate, context, "AppAttachReq"))


cdef int write_app_attach(Writer w, object value) except -1:
    put_opaque(w, value.ufrag, 1, "AppAttachReq")
    put_opaque(w, value.password, 1, "AppAttachReq")
    put(w, value.application, 2, "AppAttachReq")
    put_opaque(w, value.role, 1, "AppAttachReq")
    return put_items(w, value.candidates, 2, write_ice_candidate, "AppAttachReq")


cdef object read_ping_req(Reader* r, Context context):
    return PingReq(opaque(r, 2, "PingReq"))


cdef int write_ping_req(Writer w, object value) except -1:
    return put_opaque(w, value.padding, 2, "PingReq")


cdef object read_ping_ans(Reader* r, Context context):
    cdef uint64_t response_id = u64(r, "PingAns")
    return PingAns(response_id, u64(r, "PingAns"))


cdef int write_ping_ans(Writer w, object value) except -1:
    put(w, value.response_id, 8, "PingAns")
    return put(w, value.time, 8, "PingAns")


# --- storage (7) ------------------------------------------------------------------------------------

cdef object read_data_value(Reader* r, Context context):
    exists = boolean(r, "DataValue")
    return DataValue(True if exists else False, opaque(r, 4, "DataValue"))


cdef int write_data_value(Writer w, object value) except -1:
    put_boolean(w, value.exists)
    return put_opaque(w, value.value, 4, "DataValue")


cdef object read_array_entry(Reader* r, Context context):
    cdef uint32_t index = u32(r, "ArrayEntry")
    return ArrayEntry(index, read_data_value(r, context))


cdef int write_array_entry(Writer w, object value) except -1:
    put(w, value.index, 4, "ArrayEntry")
    return write_data_value(w, value.value)


cdef object read_dictionary_entry(Reader* r, Context context):
    key = opaque(r, 2, "DictionaryEntry")
    return DictionaryEntry(key, read_data_value(r, context))


cdef int write_dictionary_entry(Writer w, object value) except -1:
    put_opaque(w, value.key, 2, "DictionaryEntry")
    return write_data_value(w, value.value)


cdef int write_stored_data_value(Writer w, object value) except -1:
    """The data model is not on the wire (7.2)."""
    cls = type(value)
    if cls is DictionaryEntry:
        return write_dictionary_entry(w, value)
    if cls is DataValue:
        return write_data_value(w, value)
    if cls is ArrayEntry:
        return write_array_entry(w, value)
    raise TypeError(f"StoredDataValue: {cls.__name__} is none of the three data models")


cdef int model_of(Context context, uint32_t kind) except -1:
    """The DataModel of a Kind, or UNKNOWN_KIND."""
    if context.kinds is None:
        return UNKNOWN_KIND
    model = context.kinds.get(kind)
    return UNKNOWN_KIND if model is None else model


cdef object read_stored_data(Reader* r, Context context, int model):
    cdef Reader inner
    cdef uint64_t storage_time
    cdef uint32_t lifetime
    bounded(r, u32(r, "StoredData"), &inner, "StoredData")
    storage_time = u64(&inner, "StoredData")
    lifetime = u32(&inner, "StoredData")
    if model == DICTIONARY:
        value = read_dictionary_entry(&inner, context)
    elif model == SINGLE:
        value = read_data_value(&inner, context)
    elif model == ARRAY:
        value = read_array_entry(&inner, context)
    else:  # where the value ends and the signature starts is known to those who know the Kind
        return StoredData(storage_time, lifetime, fixed(&inner, inner.left, "StoredData"), UNSIGNED)
    signature = read_signature(&inner, context)
    ended(&inner, "StoredData")
    return StoredData(storage_time, lifetime, value, signature)


cdef object read_stored_data_alone(Reader* r, Context context):
    return read_stored_data(r, context, UNKNOWN_KIND)


cdef int write_stored_data(Writer w, object value) except -1:
    cdef size_t start = begin(w, 4)
    data, signature = value.value, value.signature
    put(w, value.storage_time, 8, "StoredData")
    put(w, value.lifetime, 4, "StoredData")
    if isinstance(data, bytes):
        if signature != UNSIGNED:
            refused(w, "StoredData", "the value of an unknown Kind holds its own signature")
        put_fixed(w, data, "StoredData")
    else:
        write_stored_data_value(w, data)
        write_signature(w, signature)
    return end(w, start, 4, "StoredData")


cdef tuple stored_values(Reader* r, Context context, uint32_t kind, str structure):
    cdef Reader inner
    cdef int model = model_of(context, kind)
    cdef list values = []
    bounded(r, u32(r, structure), &inner, structure)
    while inner.left:
        values.append(read_stored_data(&inner, context, model))
    return tuple(values)


cdef object read_store_kind_data(Reader* r, Context context):
    cdef uint32_t kind = u32(r, "StoreKindData")
    cdef uint64_t generation_counter = u64(r, "StoreKindData")
    return StoreKindData(kind, generation_counter, stored_values(r, context, kind, "StoreKindData"))


cdef int write_store_kind_data(Writer w, object value) except -1:
    put(w, value.kind, 4, "StoreKindData")
    put(w, value.generation_counter, 8, "StoreKindData")
    return put_items(w, value.values, 4, write_stored_data, "StoreKindData")


cdef object read_store_req(Reader* r, Context context):
    cdef uint8_t replica_number
    resource = read_resource_id(r)
    replica_number = u8(r, "StoreReq")
    return StoreReq(resource, replica_number, items(r, 4, read_store_kind_data, context, "StoreReq"))


cdef int write_store_req(Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    put(w, value.replica_number, 1, "StoreReq")
    return put_items(w, value.kind_data, 4, write_store_kind_data, "StoreReq")


cdef object read_store_kind_response(Reader* r, Context context):
    cdef uint32_t kind = u32(r, "StoreKindResponse")
    cdef uint64_t generation_counter = u64(r, "StoreKindResponse")
    return StoreKindResponse(kind, generation_counter, items(r, 2, read_node_id, context, "StoreKindResponse"))


cdef int write_store_kind_response(Writer w, object value) except -1:
    put(w, value.kind, 4, "StoreKindResponse")
    put(w, value.generation_counter, 8, "StoreKindResponse")
    return put_items(w, value.replicas, 2, write_node_id, "StoreKindResponse")


cdef object read_store_ans(Reader* r, Context context):
    return StoreAns(items(r, 2, read_store_kind_response, context, "StoreAns"))


cdef int write_store_ans(Writer w, object value) except -1:
    return put_items(w, value.kind_responses, 2, write_store_kind_response, "StoreAns")


cdef object read_array_range(Reader* r, Context context):
    # Declared int32, yet 0xffffffff is the last element: unsigned, as the index of an ArrayEntry (7.4.2.1).
    cdef uint32_t first = u32(r, "ArrayRange")
    return ArrayRange(first, u32(r, "ArrayRange"))


cdef int write_array_range(Writer w, object value) except -1:
    put(w, value.first, 4, "ArrayRange")
    return put(w, value.last, 4, "ArrayRange")


cdef object read_dictionary_key(Reader* r, Context context):
    return opaque(r, 2, "DictionaryKey")


cdef int write_dictionary_key(Writer w, object value) except -1:
    return put_opaque(w, value, 2, "DictionaryKey")


cdef object read_stored_data_specifier(Reader* r, Context context):
    cdef Reader inner
    cdef uint32_t kind = u32(r, "StoredDataSpecifier")
    cdef uint64_t generation = u64(r, "StoredDataSpecifier")
    cdef int model = model_of(context, kind)
    bounded(r, u16(r, "StoredDataSpecifier"), &inner, "StoredDataSpecifier")
    if model == DICTIONARY:
        specifier = items(&inner, 2, read_dictionary_key, context, "StoredDataSpecifier")
    elif model == ARRAY:
        specifier = items(&inner, 2, read_array_range, context, "StoredDataSpecifier")
    elif model == SINGLE:
        specifier = None
    else:
        specifier = fixed(&inner, inner.left, "StoredDataSpecifier")
    ended(&inner, "StoredDataSpecifier")
    return StoredDataSpecifier(kind, generation, specifier)


cdef int write_specifier_item(Writer w, object value) except -1:
    if isinstance(value, bytes):
        return write_dictionary_key(w, value)
    return write_array_range(w, value)


cdef int write_stored_data_specifier(Writer w, object value) except -1:
    cdef size_t start
    specifier = value.model_specifier
    put(w, value.kind, 4, "StoredDataSpecifier")
    put(w, value.generation, 8, "StoredDataSpecifier")
    start = begin(w, 2)
    if isinstance(specifier, bytes):
        put_fixed(w, specifier, "StoredDataSpecifier")
    elif specifier is not None:
        put_items(w, specifier, 2, write_specifier_item, "StoredDataSpecifier")
    return end(w, start, 2, "StoredDataSpecifier")


cdef object read_fetch_req(Reader* r, Context context):
    resource = read_resource_id(r)
    return FetchReq(resource, items(r, 2, read_stored_data_specifier, context, "FetchReq"))


cdef int write_fetch_req(Writer w, object value) except -1:
    write_resource_id(w, value.resource)
    return put_items(w, value.specifiers, 2, write_stored_data_specifier, "FetchReq")


cdef object read_fetch_kind_response(Reader* r, Context context):
    cdef uint32_t kind = u32(r, "FetchKindResponse")
    cdef uint64_t generation = u64(r, "FetchKindResponse")
    return FetchKindResponse(kind, generation, stored_values(r, context, kind, "FetchKindResponse"))


cdef int write_fetch_kind_response(Writer w, object value) except -1:
    put(w, value.kind, 4, "FetchKindResponse")
    put(w, value.generation, 8, "FetchKindResponse")
    return put_items(w, value.values, 4, write_stored_data, "FetchKindResponse")


cdef object read_fetch_ans(Reader* r, Context context):
    return FetchAns(items(r, 4, read_fetch_kind_response, context, "FetchAns"))


cdef int write_fetch_ans(Writer w, object value) except -1:
    return put_items(w, value.kind_responses, 4, write_fetch_kind_response, "FetchAns")


# --- CHORD-RELOAD (10.7 to 10.9) --------------------------------------------------------------------

cdef object read_chord_update(Reader* r, Context context):
    cdef uint32_t uptime = u32(r, "ChordUpdate")
    cdef uint8_t type = u8(r, "ChordUpdate")
    predecessors = successors = fingers = ()
    if type < PEER_READY or type > FULL:
        broken(r, "ChordUpdate", "an unknown type")
    if type >= NEIGHBORS:
        predecessors = items(r, 2, read_node_id, context, "ChordUpdate")
        successors = items(r, 2, read_node_id, context, "ChordUpdate")
    if type == FULL:
        fingers = items(r, 2, read_node_id, context, "ChordUpdate")
    return UpdateReq(uptime, type, predecessors, successors, fingers)


cdef int write_chord_update(Writer w, object value) except -1:
    type = value.type
    if not PEER_READY <= type <= FULL:
        refused(w, "ChordUpdate", "an unknown type")
    put(w, value.uptime, 4, "ChordUpdate")
    put(w, type, 1, "ChordUpdate")
    if type >= NEIGHBORS:
        put_items(w, value.predecessors, 2, write_node_id, "ChordUpdate")
        put_items(w, value.successors, 2, write_node_id, "ChordUpdate")
    elif value.predecessors or value.successors:
        refused(w, "ChordUpdate", "type peer_ready lists no peers")
    if type == FULL:
        put_items(w, value.fingers, 2, write_node_id, "ChordUpdate")
    elif value.fingers:
        refused(w, "ChordUpdate", "only type full lists fingers")
    return 0


cdef object read_chord_route_query_ans(Reader* r, Context context):
    return RouteQueryAns(read_node_id(r, context))


cdef int write_chord_route_query_ans(Writer w, object value) except -1:
    return write_node_id(w, value.next_peer)


cdef object read_chord_leave_data(Reader* r, Context context):
    cdef uint8_t type = u8(r, "ChordLeaveData")
    if type != FROM_SUCC and type != FROM_PRED:
        broken(r, "ChordLeaveData", "an unknown type")
    return ChordLeaveData(type, items(r, 2, read_node_id, context, "ChordLeaveData"))


cdef int write_chord_leave_data(Writer w, object value) except -1:
    if value.type != FROM_SUCC and value.type != FROM_PRED:
        refused(w, "ChordLeaveData", "an unknown type")
    put(w, value.type, 1, "ChordLeaveData")
    return put_items(w, value.peers, 2, write_node_id, "ChordLeaveData")


# --- XMPP usage (XEP-0415 4.2) ----------------------------------------------------------------------

cdef object read_xmpp_location(Reader* r, Context context):
    cdef Reader inner
    cdef uint8_t type = u8(r, "XmppLocation")
    cdef uint8_t priority
    bounded(r, u16(r, "XmppLocation"), &inner, "XmppLocation")
    if type == 0:
        broken(r, "XmppLocation", "type 0 is not a location")
    elif type == LOCATION_ADDRESS:
        location = XmppLocation(type, opaque(&inner, 2, "XmppLocation"), 0, ())
    elif type == LOCATION_ROUTE:
        priority = u8(&inner, "XmppLocation")
        destination_list = items(&inner, 2, read_destination, context, "XmppLocation")
        location = XmppLocation(type, b"", priority, destination_list)
    else:  # "This type can be extended"
        location = XmppLocation(type, fixed(&inner, inner.left, "XmppLocation"), 0, ())
    ended(&inner, "XmppLocation")
    return location


cdef int write_xmpp_location(Writer w, object value) except -1:
    cdef size_t start
    type, address = value.type, value.address
    if not type:
        refused(w, "XmppLocation", "type 0 is not a location")
    if type == LOCATION_ROUTE and address:
        refused(w, "XmppLocation", "a route has no address")
    if type != LOCATION_ROUTE and (value.priority or value.destination_list):
        refused(w, "XmppLocation", "only a route has priority and destination_list")
    put(w, type, 1, "XmppLocation")
    start = begin(w, 2)
    if type == LOCATION_ADDRESS:
        put_opaque(w, address, 2, "XmppLocation")
    elif type == LOCATION_ROUTE:
        put(w, value.priority, 1, "XmppLocation")
        put_items(w, value.destination_list, 2, write_destination, "XmppLocation")
    else:
        put_fixed(w, address, "XmppLocation")
    return end(w, start, 2, "XmppLocation")


# --- which structure is meant -----------------------------------------------------------------------

cdef class Form:
    """A structure and its two functions."""

    cdef object cls
    cdef ReadFunction read
    cdef WriteFunction write


cdef dict FORMS = {}   # class -> Form
cdef dict BODIES = {}  # message code -> Form; the body of a code that is not here stays bytes


cdef void form(cls, ReadFunction read, WriteFunction write):
    cdef Form f = Form.__new__(Form)
    f.cls, f.read, f.write = cls, read, write
    FORMS[cls] = f


cdef Form form_of(cls):
    cdef Form f = FORMS.get(cls)
    if f is None:
        raise TypeError(f"{getattr(cls, '__name__', cls)} is no RELOAD structure")
    return f


# --- whole messages (6.3) ---------------------------------------------------------------------------

cdef inline bint code_is_usable(uint32_t code) noexcept:
    """0 is never assigned, 0x8000 to 0xFFFE are reserved (6.3.3)."""
    return 0 < code < 0x8000 or code == ERROR_CODE


cdef object read_body(Reader* r, uint32_t code, Context context):
    """All of `r` as the body of a message with this code."""
    cdef Form f
    if not code_is_usable(code):
        broken(r, "MessageContents", "a reserved message code")
    f = BODIES.get(code)
    if f is None:
        return fixed(r, r.left, "MessageContents")
    body = f.read(r, context)
    ended(r, "MessageContents")
    return body


cdef int write_body(Writer w, object code, object body) except -1:
    cdef Form f
    if not code_is_usable(code):
        refused(w, "MessageContents", "a reserved message code")
    if isinstance(body, bytes):
        return put_fixed(w, body, "MessageContents")
    f = BODIES.get(code)
    if f is None or type(body) is not f.cls:
        raise TypeError(f"{type(body).__name__} is not the body of message code 0x{code:x}")
    return f.write(w, body)


cdef int write_contents(Writer w, object code, object body, object extensions) except -1:
    cdef size_t start
    put(w, code, 2, "MessageContents")
    start = begin(w, 4)
    write_body(w, code, body)
    end(w, start, 4, "MessageContents")
    return put_items(w, extensions, 4, write_message_extension, "MessageContents")


cdef object read_message(Reader* r, Context context):
    cdef Reader inner
    cdef uint16_t code
    header = read_forwarding_header(r, context)
    code = u16(r, "MessageContents")
    bounded(r, u32(r, "MessageContents"), &inner, "MessageContents")
    body = read_body(&inner, code, context)
    extensions = items(r, 4, read_message_extension, context, "MessageContents")
    return Message(header, code, body, extensions, read_security_block(r, context))


cdef int write_message(Writer w, object value) except -1:
    cdef size_t start = w.size
    write_forwarding_header(w, value.header)
    write_contents(w, value.code, value.body, value.extensions)
    write_security_block(w, value.security)
    return set_length(w, start)


form(Destination, read_destination, write_destination)
form(ForwardingOption, read_forwarding_option, write_forwarding_option)
form(ForwardingHeader, read_forwarding_header, write_forwarding_header)
form(MessageExtension, read_message_extension, write_message_extension)
form(ErrorResponse, read_error_response, write_error_response)
form(GenericCertificate, read_generic_certificate, write_generic_certificate)
form(SignerIdentity, read_signer_identity, write_signer_identity)
form(Signature, read_signature, write_signature)
form(SecurityBlock, read_security_block, write_security_block)
form(JoinReq, read_join_req, write_join_req)
form(JoinAns, read_join_ans, write_join_ans)
form(LeaveReq, read_leave_req, write_leave_req)
form(LeaveAns, read_leave_ans, write_nothing)
form(UpdateReq, read_chord_update, write_chord_update)
form(UpdateAns, read_update_ans, write_nothing)
form(RouteQueryReq, read_route_query_req, write_route_query_req)
form(RouteQueryAns, read_chord_route_query_ans, write_chord_route_query_ans)
form(IpAddressPort, read_ip_address_port, write_ip_address_port)
form(IceExtension, read_ice_extension, write_ice_extension)
form(IceCandidate, read_ice_candidate, write_ice_candidate)
form(AttachReqAns, read_attach, write_attach)
form(AppAttachReqAns, read_app_attach, write_app_attach)
form(PingReq, read_ping_req, write_ping_req)
form(PingAns, read_ping_ans, write_ping_ans)
form(DataValue, read_data_value, write_data_value)
form(ArrayEntry, read_array_entry, write_array_entry)
form(DictionaryEntry, read_dictionary_entry, write_dictionary_entry)
form(StoredData, read_stored_data_alone, write_stored_data)
form(StoreKindData, read_store_kind_data, write_store_kind_data)
form(StoreReq, read_store_req, write_store_req)
form(StoreKindResponse, read_store_kind_response, write_store_kind_response)
form(StoreAns, read_store_ans, write_store_ans)
form(ArrayRange, read_array_range, write_array_range)
form(StoredDataSpecifier, read_stored_data_specifier, write_stored_data_specifier)
form(FetchReq, read_fetch_req, write_fetch_req)
form(FetchKindResponse, read_fetch_kind_response, write_fetch_kind_response)
form(FetchAns, read_fetch_ans, write_fetch_ans)
form(ChordLeaveData, read_chord_leave_data, write_chord_leave_data)
form(XmppLocation, read_xmpp_location, write_xmpp_location)
form(Message, read_message, write_message)

BODIES[int(Code.ATTACH_REQ)] = FORMS[AttachReqAns]
BODIES[int(Code.ATTACH_ANS)] = FORMS[AttachReqAns]
BODIES[int(Code.STORE_REQ)] = FORMS[StoreReq]
BODIES[int(Code.STORE_ANS)] = FORMS[StoreAns]
BODIES[int(Code.FETCH_REQ)] = FORMS[FetchReq]
BODIES[int(Code.FETCH_ANS)] = FORMS[FetchAns]
BODIES[int(Code.JOIN_REQ)] = FORMS[JoinReq]
BODIES[int(Code.JOIN_ANS)] = FORMS[JoinAns]
BODIES[int(Code.LEAVE_REQ)] = FORMS[LeaveReq]
BODIES[int(Code.LEAVE_ANS)] = FORMS[LeaveAns]
BODIES[int(Code.UPDATE_REQ)] = FORMS[UpdateReq]
BODIES[int(Code.UPDATE_ANS)] = FORMS[UpdateAns]
BODIES[int(Code.ROUTE_QUERY_REQ)] = FORMS[RouteQueryReq]
BODIES[int(Code.ROUTE_QUERY_ANS)] = FORMS[RouteQueryAns]
BODIES[int(Code.PING_REQ)] = FORMS[PingReq]
BODIES[int(Code.PING_ANS)] = FORMS[PingAns]
BODIES[int(Code.APP_ATTACH_REQ)] = FORMS[AppAttachReqAns]
BODIES[int(Code.APP_ATTACH_ANS)] = FORMS[AppAttachReqAns]
BODIES[int(Code.ERROR)] = FORMS[ErrorResponse]


# --- the doors --------------------------------------------------------------------------------------

cdef Context context_of(size_t node_id_length, object kinds):
    cdef Context context
    if not MIN_NODE_ID <= node_id_length <= MAX_NODE_ID:
        raise ConfigError(f"node-id-length is 16 to 20 bytes, not {node_id_length} (RFC 6940 11.1)")
    context = Context.__new__(Context)
    context.node_id_length = node_id_length
    context.kinds = kinds
    return context


cdef inline Reader reader_of(bytes data):
    cdef Reader r
    r.at = <const uint8_t*>PyBytes_AS_STRING(data)
    r.left = <size_t>PyBytes_GET_SIZE(data)
    r.offset = 0
    return r


def decode_message(bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    message = read_message(&r, context_of(node_id_length, kinds))
    ended(&r, "Message")
    return message


def encode_message(message):
    cdef Writer w = Writer.__new__(Writer)
    write_message(w, message)
    return taken(w)


def decode_body(uint32_t code, bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    return read_body(&r, code, context_of(node_id_length, kinds))


def encode_body(code, body):
    cdef Writer w = Writer.__new__(Writer)
    write_body(w, code, body)
    return taken(w)


def decode_struct(cls, bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    cdef Form f = form_of(cls)
    value = f.read(&r, context_of(node_id_length, kinds))
    ended(&r, cls.__name__)
    return value


def encode_struct(value):
    cdef Writer w = Writer.__new__(Writer)
    cdef Form f = form_of(type(value))
    f.write(w, value)
    return taken(w)


def encode_contents(code, body, extensions=()):
    cdef Writer w = Writer.__new__(Writer)
    write_contents(w, code, body, extensions)
    return taken(w)


def assemble(header, bytes contents not None, security):
    cdef Writer w = Writer.__new__(Writer)
    write_forwarding_header(w, header)
    put_fixed(w, contents, "MessageContents")
    write_security_block(w, security)
    set_length(w, 0)
    return taken(w)


cdef int skip(Reader* r, size_t count, str structure) except -1:
    cdef const uint8_t* p
    if not take(r, count, &p):
        broken(r, structure, "cut short")
    return 0


def signature_input(bytes data not None):
    cdef Reader r = reader_of(data)
    cdef FixedHeader h
    cdef const uint8_t* contents
    cdef const uint8_t* identity
    cdef size_t contents_size, identity_size
    cdef Writer w = Writer.__new__(Writer)
    read_fixed_header(&r, &h)
    skip(&r, <size_t>h.via_list_length + h.destination_list_length + h.options_length, "ForwardingHeader")
    contents, contents_size = r.at, r.left
    skip(&r, 2, "MessageContents")
    skip(&r, u32(&r, "MessageContents"), "MessageContents")
    skip(&r, u32(&r, "MessageContents"), "MessageContents")
    contents_size -= r.left
    skip(&r, u16(&r, "SecurityBlock"), "SecurityBlock")
    skip(&r, 2, "Signature")
    identity, identity_size = r.at, r.left
    skip(&r, 1, "SignerIdentity")
    skip(&r, u16(&r, "SignerIdentity"), "SignerIdentity")
    identity_size -= r.left
    big_endian(room(w, 4), h.overlay, 4)
    big_endian(room(w, 8), h.transaction_id, 8)
    memcpy(room(w, contents_size), contents, contents_size)
    memcpy(room(w, identity_size), identity, identity_size)
    return taken(w)


def value_signature_input(resource_id, kind, storage_time, value, identity):
    cdef Writer w = Writer.__new__(Writer)
    write_resource_id(w, resource_id)
    put(w, kind, 4, "KindId")
    put(w, storage_time, 8, "StoredData")
    if type(value) is ArrayEntry:  # the storing peer chooses the index of an appended entry (7.4.1.1, notes 3.3)
        put(w, 0, 4, "ArrayEntry")
        value = value.value
    write_stored_data_value(w, value)
    write_signer_identity(w, identity)
    return taken(w)
