"""RELOAD structures as bytes: one plain read and one plain write function per structure, in the order of the RFC.

Reading is strict, so that encode(decode(x)) == x: a Boolean is 0 or 1, nested lengths agree, a vector ends where its
last item ends. A selector nobody knows ends in WireError (RFC 6940 6.3.1.1), except where the text lets it be passed
over: then the item is kept as bytes for whoever passes it on or steps over it.
Writing refuses what reading would refuse, and what it would silently leave out.
"""

from cpython.bytes cimport PyBytes_AS_STRING, PyBytes_FromStringAndSize, PyBytes_GET_SIZE
from cpython.dict cimport PyDict_CheckExact, PyDict_GetItemWithError
from cpython.exc cimport PyErr_Clear, PyErr_ExceptionMatches, PyErr_Occurred
from cpython.object cimport PyObject
from libc.stdint cimport UINT64_MAX, uint8_t, uint16_t, uint32_t, uint64_t
from libc.stdlib cimport free, realloc
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
    Header,
    Reader,
    read_header,
    read_u8,
    read_u16,
    read_u24,
    read_u32,
    read_u64,
    reader,
    sub_reader,
    take,
)

from types import MemberDescriptorType

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
    long long PyLong_AsLongLongAndOverflow(object number, int* overflow) noexcept
    PyObject* PyTuple_GET_ITEM(object found, Py_ssize_t at)
    PyObject* PyTuple_New(Py_ssize_t count) except NULL
    void PyTuple_SET_ITEM(PyObject* found, Py_ssize_t at, PyObject* item)
    int _PyTuple_Resize(PyObject** found, Py_ssize_t count) except -1
    void Py_XDECREF(PyObject* value)
    void PyObject_GC_Track(PyObject* value)
    void PyObject_GC_UnTrack(PyObject* value)
    bint PyObject_GC_IsTracked(PyObject* value)
    long PyLong_AsLong(object number) except? -1
    object PyNumber_Index(object number)

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
    VERSION_AT = 10             # in the forwarding header
    FRAGMENT_AT = 12
    LENGTH_AT = 16
    MAX_RESOURCE_ID = 254       # the type has room for 255, the prose says 254 (6.3.1.1)
    MIN_NODE_ID = 16            # node-id-length (11.1)
    MAX_NODE_ID = 20

cdef uint8_t VERSION = _VERSION
cdef uint32_t FRAGMENT_LAST = 0x40000000

include "codec_structs.pxi"
include "codec_bytes.pxi"
include "codec_message.pxi"
include "codec_methods.pxi"
include "codec_storage.pxi"
include "codec_queries.pxi"
include "codec_usages.pxi"


# --- which structure is meant -----------------------------------------------------------------------

cdef enum:
    BODY_CODES = 0x23           # the last code with a structure of its own, and one


cdef struct BodyForm:
    PyTypeObject* cls
    ReadFunction read
    WriteFunction write


cdef class _Form:
    """The two functions of a structure."""

    cdef ReadFunction read
    cdef WriteFunction write


cdef dict FORMS = {}            # class -> _Form
cdef BodyForm[BODY_CODES] BODIES
"""By message code; that of an error is at 0, which is no code. Without functions: the body stays bytes."""


cdef int form(cls, void* fields, size_t size, ReadFunction read, WriteFunction write) except -1:
    cdef _Form f = _Form.__new__(_Form)
    f.read, f.write = read, write
    FORMS[cls] = f
    return lay_out(cls, fields, size)


cdef void body(uint32_t code, PyTypeObject* cls, ReadFunction read, WriteFunction write) noexcept:
    cdef BodyForm* at = &BODIES[0 if code == ERROR_CODE else code]
    at.cls, at.read, at.write = cls, read, write


cdef _Form form_of(cls):
    cdef _Form f = FORMS.get(cls)
    if f is None:
        raise TypeError(f"{getattr(cls, '__name__', cls)} is no RELOAD structure")
    return f


cdef inline BodyForm* body_form(uint32_t code) noexcept:
    """NULL for a body that stays bytes."""
    cdef BodyForm* at = NULL
    if code < BODY_CODES:
        at = &BODIES[code]
    elif code == ERROR_CODE:
        at = &BODIES[0]
    return NULL if at == NULL or at.read == NULL else at


# --- whole messages (6.3) ---------------------------------------------------------------------------

cdef inline bint code_is_usable(uint32_t code) noexcept:
    """0 is never assigned, 0x8000 to 0xFFFE are reserved (6.3.3)."""
    return 0 < code < 0x8000 or code == ERROR_CODE


cdef object read_body(Reader* r, uint32_t code, const Context* context):
    """All of `r` as the body of a message with this code, which is usable."""
    cdef BodyForm* at = body_form(code)
    if at == NULL:
        return fixed(r, r.left, "MessageContents")
    value = at.read(r, context)
    ended(r, "MessageContents")
    return value


cdef int write_body(Writer* w, uint32_t code, object value) except -1:
    cdef BodyForm* at = body_form(code)
    if not code_is_usable(code):
        refused(w, "MessageContents", "a reserved message code")
    if isinstance(value, bytes):
        return put_fixed(w, value, "MessageContents")
    if at == NULL or Py_TYPE(value) is not at.cls:
        raise TypeError(f"{type(value).__name__} is not the body of message code 0x{code:x}")
    return at.write(w, value)


cdef int write_contents(Writer* w, object code, object body, object extensions) except -1:
    cdef size_t start
    cdef uint32_t number_of_code = <uint32_t>put(w, code, 2, "MessageContents")
    start = begin(w, 4)
    write_body(w, number_of_code, body)
    end(w, start, 4, "MessageContents")
    return put_items(w, extensions, 4, write_message_extension, "MessageContents")


cdef object read_message(Reader* r, const Context* context):
    cdef Reader inner
    cdef uint16_t code
    at = &MESSAGE
    made = blank(at.cls)
    header = read_forwarding_header(r, context)
    fill(made, at.header, header)
    if not is_whole(field(header, FORWARDING_HEADER.fragment)):
        raise WireError(FRAGMENT_AT, "Message", "a fragment, not a whole message")
    code = u16(r, "MessageContents")
    if not code_is_usable(code):
        broken(r, "MessageContents", "a reserved message code", 2)
    bounded(r, u32(r, "MessageContents"), &inner, "MessageContents")
    fill(made, at.code, code)
    fill(made, at.body, read_body(&inner, code, context))
    fill(made, at.extensions, items(r, 4, read_message_extension, context, "MessageContents"))
    fill(made, at.security, read_security_block(r, context))
    return made


cdef int write_message(Writer* w, object value) except -1:
    cdef size_t start = w.size
    at = &MESSAGE
    expect(value, at.cls)
    header = field(value, at.header)
    write_forwarding_header(w, header)
    if not is_whole(field(header, FORWARDING_HEADER.fragment)):
        refused(w, "Message", "a fragment, not a whole message")
    write_contents(w, field(value, at.code), field(value, at.body), field(value, at.extensions))
    write_security_block(w, field(value, at.security))
    return set_length(w, start)


# --- the structures ---------------------------------------------------------------------------------

form(Destination, &DESTINATION, sizeof(DESTINATION), read_destination, write_destination)
form(ForwardingOption, &FORWARDING_OPTION, sizeof(FORWARDING_OPTION), read_forwarding_option, write_forwarding_option)
form(ForwardingHeader, &FORWARDING_HEADER, sizeof(FORWARDING_HEADER), read_forwarding_header, write_forwarding_header)
form(MessageExtension, &MESSAGE_EXTENSION, sizeof(MESSAGE_EXTENSION), read_message_extension, write_message_extension)
form(ErrorResponse, &ERROR_RESPONSE, sizeof(ERROR_RESPONSE), read_error_response, write_error_response)
form(GenericCertificate, &GENERIC_CERTIFICATE, sizeof(GENERIC_CERTIFICATE),
     read_generic_certificate, write_generic_certificate)
form(SignerIdentity, &SIGNER_IDENTITY, sizeof(SIGNER_IDENTITY), read_signer_identity, write_signer_identity)
form(Signature, &SIGNATURE, sizeof(SIGNATURE), read_signature, write_signature)
form(SecurityBlock, &SECURITY_BLOCK, sizeof(SECURITY_BLOCK), read_security_block, write_security_block)
form(JoinReq, &JOIN_REQ, sizeof(JOIN_REQ), read_join_req, write_join_req)
form(JoinAns, &JOIN_ANS, sizeof(JOIN_ANS), read_join_ans, write_join_ans)
form(LeaveReq, &LEAVE_REQ, sizeof(LEAVE_REQ), read_leave_req, write_leave_req)
form(LeaveAns, &LEAVE_ANS, sizeof(LEAVE_ANS), read_leave_ans, write_nothing)
form(UpdateReq, &UPDATE_REQ, sizeof(UPDATE_REQ), read_chord_update, write_chord_update)
form(UpdateAns, &UPDATE_ANS, sizeof(UPDATE_ANS), read_update_ans, write_nothing)
form(RouteQueryReq, &ROUTE_QUERY_REQ, sizeof(ROUTE_QUERY_REQ), read_route_query_req, write_route_query_req)
form(RouteQueryAns, &ROUTE_QUERY_ANS, sizeof(ROUTE_QUERY_ANS), read_chord_route_query_ans, write_chord_route_query_ans)
form(ProbeReq, &PROBE_REQ, sizeof(PROBE_REQ), read_probe_req, write_probe_req)
form(ProbeInformation, &PROBE_INFORMATION, sizeof(PROBE_INFORMATION), read_probe_information, write_probe_information)
form(ProbeAns, &PROBE_ANS, sizeof(PROBE_ANS), read_probe_ans, write_probe_ans)
form(IpAddressPort, &IP_ADDRESS_PORT, sizeof(IP_ADDRESS_PORT), read_ip_address_port, write_ip_address_port)
form(IceExtension, &ICE_EXTENSION, sizeof(ICE_EXTENSION), read_ice_extension, write_ice_extension)
form(IceCandidate, &ICE_CANDIDATE, sizeof(ICE_CANDIDATE), read_ice_candidate, write_ice_candidate)
form(AttachReqAns, &ATTACH_REQ_ANS, sizeof(ATTACH_REQ_ANS), read_attach, write_attach)
form(AppAttachReqAns, &APP_ATTACH_REQ_ANS, sizeof(APP_ATTACH_REQ_ANS), read_app_attach, write_app_attach)
form(PingReq, &PING_REQ, sizeof(PING_REQ), read_ping_req, write_ping_req)
form(PingAns, &PING_ANS, sizeof(PING_ANS), read_ping_ans, write_ping_ans)
form(ConfigUpdateReq, &CONFIG_UPDATE_REQ, sizeof(CONFIG_UPDATE_REQ), read_config_update_req, write_config_update_req)
form(ConfigUpdateAns, &CONFIG_UPDATE_ANS, sizeof(CONFIG_UPDATE_ANS), read_config_update_ans, write_nothing)
form(DataValue, &DATA_VALUE, sizeof(DATA_VALUE), read_data_value, write_data_value)
form(ArrayEntry, &ARRAY_ENTRY, sizeof(ARRAY_ENTRY), read_array_entry, write_array_entry)
form(DictionaryEntry, &DICTIONARY_ENTRY, sizeof(DICTIONARY_ENTRY), read_dictionary_entry, write_dictionary_entry)
form(StoredData, &STORED_DATA, sizeof(STORED_DATA), read_stored_data, write_stored_data)
form(StoreKindData, &STORE_KIND_DATA, sizeof(STORE_KIND_DATA), read_store_kind_data, write_store_kind_data)
form(StoreReq, &STORE_REQ, sizeof(STORE_REQ), read_store_req, write_store_req)
form(StoreKindResponse, &STORE_KIND_RESPONSE, sizeof(STORE_KIND_RESPONSE),
     read_store_kind_response, write_store_kind_response)
form(StoreAns, &STORE_ANS, sizeof(STORE_ANS), read_store_ans, write_store_ans)
form(ArrayRange, &ARRAY_RANGE, sizeof(ARRAY_RANGE), read_array_range, write_array_range)
form(StoredDataSpecifier, &STORED_DATA_SPECIFIER, sizeof(STORED_DATA_SPECIFIER),
     read_stored_data_specifier, write_stored_data_specifier)
form(FetchReq, &FETCH_REQ, sizeof(FETCH_REQ), read_fetch_req, write_fetch_req)
form(FetchKindResponse, &FETCH_KIND_RESPONSE, sizeof(FETCH_KIND_RESPONSE),
     read_fetch_kind_response, write_fetch_kind_response)
form(FetchAns, &FETCH_ANS, sizeof(FETCH_ANS), read_fetch_ans, write_fetch_ans)
form(StatReq, &STAT_REQ, sizeof(STAT_REQ), read_stat_req, write_stat_req)
form(MetaData, &META_DATA, sizeof(META_DATA), read_meta_data, write_meta_data)
form(ArrayEntryMeta, &ARRAY_ENTRY_META, sizeof(ARRAY_ENTRY_META), read_array_entry_meta, write_array_entry_meta)
form(DictionaryEntryMeta, &DICTIONARY_ENTRY_META, sizeof(DICTIONARY_ENTRY_META),
     read_dictionary_entry_meta, write_dictionary_entry_meta)
form(StoredMetaData, &STORED_META_DATA, sizeof(STORED_META_DATA), read_stored_meta_data, write_stored_meta_data)
form(StatKindResponse, &STAT_KIND_RESPONSE, sizeof(STAT_KIND_RESPONSE),
     read_stat_kind_response, write_stat_kind_response)
form(StatAns, &STAT_ANS, sizeof(STAT_ANS), read_stat_ans, write_stat_ans)
form(FindReq, &FIND_REQ, sizeof(FIND_REQ), read_find_req, write_find_req)
form(FindKindData, &FIND_KIND_DATA, sizeof(FIND_KIND_DATA), read_find_kind_data, write_find_kind_data)
form(FindAns, &FIND_ANS, sizeof(FIND_ANS), read_find_ans, write_find_ans)
form(UnknownKinds, &UNKNOWN_KINDS, sizeof(UNKNOWN_KINDS), read_unknown_kinds, write_unknown_kinds)
form(TurnServer, &TURN_SERVER, sizeof(TURN_SERVER), read_turn_server, write_turn_server)
form(ChordLeaveData, &CHORD_LEAVE_DATA, sizeof(CHORD_LEAVE_DATA), read_chord_leave_data, write_chord_leave_data)
form(XmppLocation, &XMPP_LOCATION, sizeof(XMPP_LOCATION), read_xmpp_location, write_xmpp_location)
form(Message, &MESSAGE, sizeof(MESSAGE), read_message, write_message)

body(Code.PROBE_REQ, PROBE_REQ.cls, read_probe_req, write_probe_req)
body(Code.PROBE_ANS, PROBE_ANS.cls, read_probe_ans, write_probe_ans)
body(Code.ATTACH_REQ, ATTACH_REQ_ANS.cls, read_attach, write_attach)
body(Code.ATTACH_ANS, ATTACH_REQ_ANS.cls, read_attach, write_attach)
body(Code.STORE_REQ, STORE_REQ.cls, read_store_req, write_store_req)
body(Code.STORE_ANS, STORE_ANS.cls, read_store_ans, write_store_ans)
body(Code.FETCH_REQ, FETCH_REQ.cls, read_fetch_req, write_fetch_req)
body(Code.FETCH_ANS, FETCH_ANS.cls, read_fetch_ans, write_fetch_ans)
body(Code.FIND_REQ, FIND_REQ.cls, read_find_req, write_find_req)
body(Code.FIND_ANS, FIND_ANS.cls, read_find_ans, write_find_ans)
body(Code.JOIN_REQ, JOIN_REQ.cls, read_join_req, write_join_req)
body(Code.JOIN_ANS, JOIN_ANS.cls, read_join_ans, write_join_ans)
body(Code.LEAVE_REQ, LEAVE_REQ.cls, read_leave_req, write_leave_req)
body(Code.LEAVE_ANS, LEAVE_ANS.cls, read_leave_ans, write_nothing)
body(Code.UPDATE_REQ, UPDATE_REQ.cls, read_chord_update, write_chord_update)
body(Code.UPDATE_ANS, UPDATE_ANS.cls, read_update_ans, write_nothing)
body(Code.ROUTE_QUERY_REQ, ROUTE_QUERY_REQ.cls, read_route_query_req, write_route_query_req)
body(Code.ROUTE_QUERY_ANS, ROUTE_QUERY_ANS.cls, read_chord_route_query_ans, write_chord_route_query_ans)
body(Code.PING_REQ, PING_REQ.cls, read_ping_req, write_ping_req)
body(Code.PING_ANS, PING_ANS.cls, read_ping_ans, write_ping_ans)
body(Code.STAT_REQ, STAT_REQ.cls, read_stat_req, write_stat_req)
body(Code.STAT_ANS, STAT_ANS.cls, read_stat_ans, write_stat_ans)
body(Code.APP_ATTACH_REQ, APP_ATTACH_REQ_ANS.cls, read_app_attach, write_app_attach)
body(Code.APP_ATTACH_ANS, APP_ATTACH_REQ_ANS.cls, read_app_attach, write_app_attach)
body(Code.CONFIG_UPDATE_REQ, CONFIG_UPDATE_REQ.cls, read_config_update_req, write_config_update_req)
body(Code.CONFIG_UPDATE_ANS, CONFIG_UPDATE_ANS.cls, read_config_update_ans, write_nothing)
body(Code.ERROR, ERROR_RESPONSE.cls, read_error_response, write_error_response)


# --- the doors --------------------------------------------------------------------------------------

cdef int set_context(Context* context, size_t node_id_length, object kinds) except -1:
    if not MIN_NODE_ID <= node_id_length <= MAX_NODE_ID:
        raise ConfigError(f"node-id-length is 16 to 20 bytes, not {node_id_length} (RFC 6940 11.1)")
    context.node_id_length = node_id_length
    context.model = UNKNOWN_KIND
    context.kinds = <PyObject*>kinds
    return 0


cdef inline int open_reader(bytes data, Reader* r) except -1:
    if data is None:
        raise TypeError("bytes expected, not None")
    r[0] = reader(<const uint8_t*>PyBytes_AS_STRING(data), <size_t>PyBytes_GET_SIZE(data), 0)
    return 0


cpdef object decode_message(bytes data, size_t node_id_length=16, object kinds=None):
    cdef Reader r
    cdef Context context
    open_reader(data, &r)
    set_context(&context, node_id_length, kinds)
    message = read_message(&r, &context)
    ended(&r, "Message")
    return message


cpdef bytes encode_message(object message):
    return encoded(write_message, message)


cpdef object decode_body(uint32_t code, bytes data, size_t node_id_length=16, object kinds=None):
    cdef Reader r
    cdef Context context
    open_reader(data, &r)
    set_context(&context, node_id_length, kinds)
    if not code_is_usable(code):
        broken(&r, "MessageContents", "a reserved message code")
    return read_body(&r, code, &context)


cpdef bytes encode_body(object code, object body):
    cdef Writer w
    start(&w)
    try:
        write_body(&w, <uint32_t>number(&w, code, 2, "MessageContents"), body)
        return written(&w)
    finally:
        finish(&w)


cpdef object decode_struct(object cls, bytes data, size_t node_id_length=16, object kinds=None):
    cdef Reader r
    cdef Context context
    cdef _Form f = form_of(cls)
    open_reader(data, &r)
    set_context(&context, node_id_length, kinds)
    value = f.read(&r, &context)
    ended(&r, cls.__name__)
    return value


cpdef bytes encode_struct(object value):
    return encoded(form_of(type(value)).write, value)


cdef bytes encoded(WriteFunction write, object value):
    cdef Writer w
    start(&w)
    try:
        write(&w, value)
        return written(&w)
    finally:
        finish(&w)


def encode_contents(code, body, extensions=()):
    cdef Writer w
    start(&w)
    try:
        write_contents(&w, code, body, extensions)
        return written(&w)
    finally:
        finish(&w)


def assemble(header, bytes contents not None, security):
    cdef Writer w
    start(&w)
    try:
        write_forwarding_header(&w, header)
        if not is_whole(field(header, FORWARDING_HEADER.fragment)):
            refused(&w, "Message", "a fragment, not a whole message")
        put_fixed(&w, contents, "MessageContents")
        write_security_block(&w, security)
        set_length(&w, 0)
        return written(&w)
    finally:
        finish(&w)


cdef int skip(Reader* r, size_t count, str structure) except -1:
    cdef const uint8_t* p
    if not take(r, count, &p):
        broken(r, structure, "cut short")
    return 0


def signature_input(bytes data not None):
    cdef Reader r
    cdef Header h
    cdef const uint8_t* contents
    cdef const uint8_t* identity
    cdef size_t contents_size, identity_size
    open_reader(data, &r)
    read_sound_header(&r, &h)
    if not is_whole(h.fragment):
        raise WireError(FRAGMENT_AT, "Message", "a fragment, not a whole message")
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
    cdef bytes covered = PyBytes_FromStringAndSize(NULL, <Py_ssize_t>(12 + contents_size + identity_size))
    cdef uint8_t* out = <uint8_t*>PyBytes_AS_STRING(covered)
    store_u32(out, h.overlay)
    store_u64(out + 4, h.transaction_id)
    memcpy(out + 12, contents, contents_size)
    memcpy(out + 12 + contents_size, identity, identity_size)
    return covered


cdef int take_stored(Reader* r, list found) except -1:
    """Of each StoredData of a Kind, what follows its lifetime."""
    cdef Reader values, inner
    skip(r, 12, "StoreKindData")  # the Kind-ID and the generation counter
    bounded(r, u32(r, "StoreKindData"), &values, "StoreKindData")
    while values.left:
        bounded(&values, u32(&values, "StoredData"), &inner, "StoredData")
        skip(&inner, 12, "StoredData")
        found.append(fixed(&inner, inner.left, "StoredData"))
    return 0


def stored_as_signed(bytes data not None):
    cdef Reader r, body, kinds
    cdef Header h
    cdef uint16_t code
    cdef list found = []
    open_reader(data, &r)
    read_sound_header(&r, &h)
    code = u16(&r, "MessageContents")
    bounded(&r, u32(&r, "MessageContents"), &body, "MessageContents")
    if code == Code.STORE_REQ:
        skip(&body, u8(&body, "ResourceId"), "ResourceId")
        skip(&body, 1, "StoreReq")
    elif code != Code.FETCH_ANS:
        broken(&r, "MessageContents", "neither a Store nor the answer to a Fetch")
    bounded(&body, u32(&body, "MessageContents"), &kinds, "MessageContents")
    while kinds.left:
        take_stored(&kinds, found)
    return tuple(found)


def value_signature_input(resource_id, kind, storage_time, value, identity):
    cdef Writer w
    start(&w)
    try:
        write_resource_id(&w, resource_id)
        put(&w, kind, 4, "KindId")
        put(&w, storage_time, 8, "StoredData")
        if type(value) is ArrayEntry:  # the storing peer chooses the index of an appended entry (7.4.1.1, notes 3.3)
            put(&w, 0, 4, "ArrayEntry")
            value = value.value
        write_stored_data_value(&w, value)
        write_signer_identity(&w, identity)
        return written(&w)
    finally:
        finish(&w)
