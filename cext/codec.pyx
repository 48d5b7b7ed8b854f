"""RELOAD structures as bytes: one plain read and one plain write function per structure, in the order of the RFC.

Reading is strict, so that encode(decode(x)) == x: a Boolean is 0 or 1, nested lengths agree, a vector ends where its last
item ends. A selector nobody knows ends in WireError (RFC 6940 6.3.1.1), except where the structure carries its own length
and calls itself extensible: then the item is kept as bytes for whoever passes it on or steps over it.
Writing refuses what reading would refuse, and what it would silently leave out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches, PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.string cimport memcpy

from xor_fast.cext.ids cimport store_u16, store_u24, store_u32, store_u64
from xor_fast.cext.wire cimport (
    FIXED_SIZE,
    FRAGMENT_BIT,
    FRAGMENT_OFFSET,
    NODE,
    OPAQUE_ID,
    RELO_TOKEN,
    RESOURCE,
    Buffer,
    Header,
    Reader,
    extend,
    read_header,
    read_u8,
    read_u16,
    read_u24,
    read_u32,
    read_u64,
    reader,
    release,
    sub_reader,
    take,
)

from xor_fast.errors import ConfigError, WireError
from xor_fast.messages import (
    UNSIGNED,
    VERSION as _VERSION,
    AppAttachReqAns,
    ArrayEntry,
    ArrayEntryMeta,
    ArrayRange,
    AttachReqAns,
    ChordLeaveData,
    Code,
    ConfigUpdateAns,
    ConfigUpdateReq,
    DataValue,
    Destination,
    DictionaryEntry,
    DictionaryEntryMeta,
    ErrorResponse,
    FetchAns,
    FetchKindResponse,
    FetchReq,
    FindAns,
    FindKindData,
    FindReq,
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
    MetaData,
    PingAns,
    PingReq,
    ProbeAns,
    ProbeInformation,
    ProbeReq,
    RouteQueryAns,
    RouteQueryReq,
    SecurityBlock,
    Signature,
    SignerIdentity,
    StatAns,
    StatKindResponse,
    StatReq,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoredMetaData,
    StoreKindData,
    StoreKindResponse,
    StoreReq,
    TurnServer,
    UnknownKinds,
    UpdateAns,
    UpdateReq,
    XmppLocation,
)

cdef extern from "Python.h":
    unsigned long long PyLong_AsUnsignedLongLong(object number) noexcept

# The code points the branches below decide by; their names and sections are in xor_fast.messages.
cdef enum:
    COMPACT_BIT = 0x80
    IPV4 = 1
    IPV6 = 2
    CERT_HASH = 1
    CERT_HASH_NODE_ID = 2
    IDENTITY_NONE = 3
    HOST = 1
    SRFLX = 2
    RELAY = 4
    UPTIME = 3                  # the last ProbeInformationType with a meaning (6.4.2.5.1)
    CONFIG = 1
    KIND = 2
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
    MIN_NODE_ID = 16            # node-id-length (11.1)
    MAX_NODE_ID = 20

cdef uint8_t VERSION = _VERSION
cdef uint32_t FRAGMENT_LAST = 0x40000000

include "codec_bytes.pxi"
include "codec_message.pxi"
include "codec_methods.pxi"
include "codec_storage.pxi"
include "codec_queries.pxi"
include "codec_usages.pxi"


# --- which structure is meant -----------------------------------------------------------------------

cdef class _Form:
    """A structure and its two functions."""

    cdef object cls
    cdef ReadFunction read
    cdef WriteFunction write


cdef dict FORMS = {}   # class -> _Form
cdef dict BODIES = {}  # message code -> _Form; the body of a code that is not here stays bytes


cdef void form(cls, ReadFunction read, WriteFunction write):
    cdef _Form f = _Form.__new__(_Form)
    f.cls, f.read, f.write = cls, read, write
    FORMS[cls] = f


cdef _Form form_of(cls):
    cdef _Form f = FORMS.get(cls)
    if f is None:
        raise TypeError(f"{getattr(cls, '__name__', cls)} is no RELOAD structure")
    return f


# --- whole messages (6.3) ---------------------------------------------------------------------------

cdef inline bint code_is_usable(uint32_t code) noexcept:
    """0 is never assigned, 0x8000 to 0xFFFE are reserved (6.3.3)."""
    return 0 < code < 0x8000 or code == ERROR_CODE


cdef object read_body(Reader* r, uint32_t code, const Context* context):
    """All of `r` as the body of a message with this code."""
    cdef _Form f
    if not code_is_usable(code):
        broken(r, "MessageContents", "a reserved message code")
    f = BODIES.get(code)
    if f is None:
        return fixed(r, r.left, "MessageContents")
    body = f.read(r, context)
    ended(r, "MessageContents")
    return body


cdef int write_body(_Writer w, object code, object body) except -1:
    cdef _Form f
    if not code_is_usable(code):
        refused(w, "MessageContents", "a reserved message code")
    if isinstance(body, bytes):
        return put_fixed(w, body, "MessageContents")
    f = BODIES.get(code)
    if f is None or type(body) is not f.cls:
        raise TypeError(f"{type(body).__name__} is not the body of message code 0x{code:x}")
    return f.write(w, body)


cdef int write_contents(_Writer w, object code, object body, object extensions) except -1:
    cdef size_t start
    put(w, code, 2, "MessageContents")
    start = begin(w, 4)
    write_body(w, code, body)
    end(w, start, 4, "MessageContents")
    return put_items(w, extensions, 4, write_message_extension, "MessageContents")


cdef object read_message(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint16_t code
    header = read_forwarding_header(r, context)
    if not is_whole(header.fragment):
        broken(r, "Message", "a fragment, not a whole message")
    code = u16(r, "MessageContents")
    bounded(r, u32(r, "MessageContents"), &inner, "MessageContents")
    body = read_body(&inner, code, context)
    extensions = items(r, 4, read_message_extension, context, "MessageContents")
    return Message(header, code, body, extensions, read_security_block(r, context))


cdef int write_message(_Writer w, object value) except -1:
    cdef size_t start = w.buffer.size
    write_forwarding_header(w, value.header)
    if not is_whole(value.header.fragment):
        refused(w, "Message", "a fragment, not a whole message")
    write_contents(w, value.code, value.body, value.extensions)
    write_security_block(w, value.security)
    return set_length(w, start)


# --- the structures ---------------------------------------------------------------------------------

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
form(ProbeReq, read_probe_req, write_probe_req)
form(ProbeInformation, read_probe_information, write_probe_information)
form(ProbeAns, read_probe_ans, write_probe_ans)
form(IpAddressPort, read_ip_address_port, write_ip_address_port)
form(IceExtension, read_ice_extension, write_ice_extension)
form(IceCandidate, read_ice_candidate, write_ice_candidate)
form(AttachReqAns, read_attach, write_attach)
form(AppAttachReqAns, read_app_attach, write_app_attach)
form(PingReq, read_ping_req, write_ping_req)
form(PingAns, read_ping_ans, write_ping_ans)
form(ConfigUpdateReq, read_config_update_req, write_config_update_req)
form(ConfigUpdateAns, read_config_update_ans, write_nothing)
form(DataValue, read_data_value, write_data_value)
form(ArrayEntry, read_array_entry, write_array_entry)
form(DictionaryEntry, read_dictionary_entry, write_dictionary_entry)
form(StoredData, read_stored_data, write_stored_data)
form(StoreKindData, read_store_kind_data, write_store_kind_data)
form(StoreReq, read_store_req, write_store_req)
form(StoreKindResponse, read_store_kind_response, write_store_kind_response)
form(StoreAns, read_store_ans, write_store_ans)
form(ArrayRange, read_array_range, write_array_range)
form(StoredDataSpecifier, read_stored_data_specifier, write_stored_data_specifier)
form(FetchReq, read_fetch_req, write_fetch_req)
form(FetchKindResponse, read_fetch_kind_response, write_fetch_kind_response)
form(FetchAns, read_fetch_ans, write_fetch_ans)
form(StatReq, read_stat_req, write_stat_req)
form(MetaData, read_meta_data, write_meta_data)
form(ArrayEntryMeta, read_array_entry_meta, write_array_entry_meta)
form(DictionaryEntryMeta, read_dictionary_entry_meta, write_dictionary_entry_meta)
form(StoredMetaData, read_stored_meta_data, write_stored_meta_data)
form(StatKindResponse, read_stat_kind_response, write_stat_kind_response)
form(StatAns, read_stat_ans, write_stat_ans)
form(FindReq, read_find_req, write_find_req)
form(FindKindData, read_find_kind_data, write_find_kind_data)
form(FindAns, read_find_ans, write_find_ans)
form(UnknownKinds, read_unknown_kinds, write_unknown_kinds)
form(TurnServer, read_turn_server, write_turn_server)
form(ChordLeaveData, read_chord_leave_data, write_chord_leave_data)
form(XmppLocation, read_xmpp_location, write_xmpp_location)
form(Message, read_message, write_message)

BODIES[int(Code.PROBE_REQ)] = FORMS[ProbeReq]
BODIES[int(Code.PROBE_ANS)] = FORMS[ProbeAns]
BODIES[int(Code.ATTACH_REQ)] = FORMS[AttachReqAns]
BODIES[int(Code.ATTACH_ANS)] = FORMS[AttachReqAns]
BODIES[int(Code.STORE_REQ)] = FORMS[StoreReq]
BODIES[int(Code.STORE_ANS)] = FORMS[StoreAns]
BODIES[int(Code.FETCH_REQ)] = FORMS[FetchReq]
BODIES[int(Code.FETCH_ANS)] = FORMS[FetchAns]
BODIES[int(Code.FIND_REQ)] = FORMS[FindReq]
BODIES[int(Code.FIND_ANS)] = FORMS[FindAns]
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
BODIES[int(Code.STAT_REQ)] = FORMS[StatReq]
BODIES[int(Code.STAT_ANS)] = FORMS[StatAns]
BODIES[int(Code.APP_ATTACH_REQ)] = FORMS[AppAttachReqAns]
BODIES[int(Code.APP_ATTACH_ANS)] = FORMS[AppAttachReqAns]
BODIES[int(Code.CONFIG_UPDATE_REQ)] = FORMS[ConfigUpdateReq]
BODIES[int(Code.CONFIG_UPDATE_ANS)] = FORMS[ConfigUpdateAns]
BODIES[int(Code.ERROR)] = FORMS[ErrorResponse]


# --- the doors --------------------------------------------------------------------------------------

cdef int set_context(Context* context, size_t node_id_length, object kinds) except -1:
    if not MIN_NODE_ID <= node_id_length <= MAX_NODE_ID:
        raise ConfigError(f"node-id-length is 16 to 20 bytes, not {node_id_length} (RFC 6940 11.1)")
    context.node_id_length = node_id_length
    context.model = UNKNOWN_KIND
    context.kinds = <PyObject*>kinds
    return 0


cdef inline Reader reader_of(bytes data) noexcept:
    return reader(<const uint8_t*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), 0)


def decode_message(bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    cdef Context context
    set_context(&context, node_id_length, kinds)
    message = read_message(&r, &context)
    ended(&r, "Message")
    return message


def encode_message(message):
    cdef _Writer w = _Writer.__new__(_Writer)
    write_message(w, message)
    return taken(w)


def decode_body(uint32_t code, bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    cdef Context context
    set_context(&context, node_id_length, kinds)
    return read_body(&r, code, &context)


def encode_body(code, body):
    cdef _Writer w = _Writer.__new__(_Writer)
    write_body(w, code, body)
    return taken(w)


def decode_struct(cls, bytes data not None, size_t node_id_length=16, kinds=None):
    cdef Reader r = reader_of(data)
    cdef _Form f = form_of(cls)
    cdef Context context
    set_context(&context, node_id_length, kinds)
    value = f.read(&r, &context)
    ended(&r, cls.__name__)
    return value


def encode_struct(value):
    cdef _Writer w = _Writer.__new__(_Writer)
    cdef _Form f = form_of(type(value))
    f.write(w, value)
    return taken(w)


def encode_contents(code, body, extensions=()):
    cdef _Writer w = _Writer.__new__(_Writer)
    write_contents(w, code, body, extensions)
    return taken(w)


def assemble(header, bytes contents not None, security):
    cdef _Writer w = _Writer.__new__(_Writer)
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
    cdef Header h
    cdef const uint8_t* contents
    cdef const uint8_t* identity
    cdef size_t contents_size, identity_size
    cdef _Writer w = _Writer.__new__(_Writer)
    read_sound_header(&r, &h)
    if not is_whole(h.fragment):
        broken(&r, "Message", "a fragment, not a whole message")
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
    cdef _Writer w = _Writer.__new__(_Writer)
    write_resource_id(w, resource_id)
    put(w, kind, 4, "KindId")
    put(w, storage_time, 8, "StoredData")
    if type(value) is ArrayEntry:  # the storing peer chooses the index of an appended entry (7.4.1.1, notes 3.3)
        put(w, 0, 4, "ArrayEntry")
        value = value.value
    write_stored_data_value(w, value)
    write_signer_identity(w, identity)
    return taken(w)
