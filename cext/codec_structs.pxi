# Part of codec.pyx: where the fields of each struct of xor_fast.messages lie, and how they are read and set.
#
# Calling a struct's class, and asking for its fields by name, would cost more than all the rest of the codec. A field
# of a msgspec struct is a slot, and its member descriptor says at which offset; `lay_out` asks for them at import. A
# struct that is filled in part only is safe: its other slots are NULL, which its deallocation knows.

cdef extern from "Python.h":
    ctypedef struct PyTypeObject:
        Py_ssize_t tp_basicsize
    void* PyObject_Malloc(size_t size)
    object PyObject_Init(PyObject* memory, PyTypeObject* cls)
    PyTypeObject* Py_TYPE(object value)
    void Py_INCREF(PyObject* value)

cdef extern from "structmember.h":
    ctypedef struct PyMemberDef:
        Py_ssize_t offset
    ctypedef struct PyMemberDescrObject:
        PyMemberDef* d_member


cdef inline object blank(PyTypeObject* cls):
    """A struct without any field yet; for read functions only, who fill all of them."""
    cdef PyObject* memory = <PyObject*>PyObject_Malloc(cls.tp_basicsize)
    cdef PyObject** slot
    cdef PyObject** end
    if memory == NULL:
        raise MemoryError
    slot, end = <PyObject**>(memory + 1), <PyObject**>(<char*>memory + cls.tp_basicsize)
    while slot < end:
        slot[0] = NULL
        slot += 1
    return PyObject_Init(memory, cls)


cdef inline void fill(object made, Py_ssize_t offset, object value) noexcept:
    Py_INCREF(<PyObject*>value)
    (<PyObject**>(<char*><PyObject*>made + offset))[0] = <PyObject*>value


cdef tuple SMALL_NUMBERS = tuple(range(256))


cdef inline void fill_u8(object made, Py_ssize_t offset, uint8_t value) noexcept:
    fill(made, offset, <object>PyTuple_GET_ITEM(SMALL_NUMBERS, value))


cdef inline int expect(object value, PyTypeObject* cls) except -1:
    """Before any `field` of it."""
    if Py_TYPE(value) is not cls:  # what a subclass adds would be left out
        unexpected(value, cls)
    return 0


cdef object unexpected(object value, PyTypeObject* cls):
    raise TypeError(f"{(<object><PyObject*>cls).__name__} expected, not {type(value).__name__}")


cdef inline object field(object value, Py_ssize_t offset):
    cdef PyObject* found = (<PyObject**>(<char*><PyObject*>value + offset))[0]
    if found is NULL:
        unset(value)
    return <object>found


cdef object unset(object value):
    raise TypeError(f"{type(value).__name__}: a field is not set")


cdef int lay_out(cls, void* fields, size_t size) except -1:
    """Class and offsets into one of the structs below, which names the fields in the order of the class."""
    names = cls.__struct_fields__
    config = cls.__struct_config__
    if config.gc or config.weakref or config.dict or size != sizeof(void*) + len(names) * sizeof(Py_ssize_t):
        raise ImportError(f"xor_fast.messages.{cls.__name__} is not as the codec was built for it: build the codec again")
    (<PyTypeObject**>fields)[0] = <PyTypeObject*><PyObject*>cls  # FORMS keeps the class
    for i, name in enumerate(names):
        descriptor = cls.__dict__[name]
        if type(descriptor) is not MemberDescriptorType:
            raise ImportError(f"this version of msgspec keeps {cls.__name__}.{name} in no slot: use another one")
        (<Py_ssize_t*>fields)[1 + i] = (<PyMemberDescrObject*><PyObject*>descriptor).d_member.offset
    return 0


cdef struct DestinationFields:
    PyTypeObject* cls
    Py_ssize_t type, value, compact


cdef struct ForwardingOptionFields:
    PyTypeObject* cls
    Py_ssize_t type, flags, option


cdef struct ForwardingHeaderFields:
    PyTypeObject* cls
    Py_ssize_t overlay, configuration_sequence, ttl, transaction_id, destination_list, via_list, options
    Py_ssize_t max_response_length, fragment, version


cdef struct MessageExtensionFields:
    PyTypeObject* cls
    Py_ssize_t type, critical, extension_contents


cdef struct ErrorResponseFields:
    PyTypeObject* cls
    Py_ssize_t error_code, error_info


cdef struct GenericCertificateFields:
    PyTypeObject* cls
    Py_ssize_t type, certificate


cdef struct SignerIdentityFields:
    PyTypeObject* cls
    Py_ssize_t identity_type, hash_alg, certificate_hash


cdef struct SignatureFields:
    PyTypeObject* cls
    Py_ssize_t hash_algorithm, signature_algorithm, identity, signature_value


cdef struct SecurityBlockFields:
    PyTypeObject* cls
    Py_ssize_t certificates, signature


cdef struct JoinReqFields:
    PyTypeObject* cls
    Py_ssize_t joining_peer_id, overlay_specific_data


cdef struct JoinAnsFields:
    PyTypeObject* cls
    Py_ssize_t overlay_specific_data


cdef struct LeaveReqFields:
    PyTypeObject* cls
    Py_ssize_t leaving_peer_id, overlay_specific_data


cdef struct LeaveAnsFields:
    PyTypeObject* cls


cdef struct UpdateReqFields:
    PyTypeObject* cls
    Py_ssize_t uptime, type, predecessors, successors, fingers


cdef struct UpdateAnsFields:
    PyTypeObject* cls


cdef struct RouteQueryReqFields:
    PyTypeObject* cls
    Py_ssize_t send_update, destination, overlay_specific_data


cdef struct RouteQueryAnsFields:
    PyTypeObject* cls
    Py_ssize_t next_peer


cdef struct ProbeReqFields:
    PyTypeObject* cls
    Py_ssize_t requested_info


cdef struct ProbeInformationFields:
    PyTypeObject* cls
    Py_ssize_t type, value


cdef struct ProbeAnsFields:
    PyTypeObject* cls
    Py_ssize_t probe_info


cdef struct IpAddressPortFields:
    PyTypeObject* cls
    Py_ssize_t type, address, port


cdef struct IceExtensionFields:
    PyTypeObject* cls
    Py_ssize_t name, value


cdef struct IceCandidateFields:
    PyTypeObject* cls
    Py_ssize_t addr_port, overlay_link, foundation, priority, type, rel_addr_port, extensions


cdef struct AttachReqAnsFields:
    PyTypeObject* cls
    Py_ssize_t ufrag, password, role, candidates, send_update


cdef struct AppAttachReqAnsFields:
    PyTypeObject* cls
    Py_ssize_t ufrag, password, application, role, candidates


cdef struct PingReqFields:
    PyTypeObject* cls
    Py_ssize_t padding


cdef struct PingAnsFields:
    PyTypeObject* cls
    Py_ssize_t response_id, time


cdef struct ConfigUpdateReqFields:
    PyTypeObject* cls
    Py_ssize_t type, config_data, kinds


cdef struct ConfigUpdateAnsFields:
    PyTypeObject* cls


cdef struct DataValueFields:
    PyTypeObject* cls
    Py_ssize_t exists, value


cdef struct ArrayEntryFields:
    PyTypeObject* cls
    Py_ssize_t index, value


cdef struct DictionaryEntryFields:
    PyTypeObject* cls
    Py_ssize_t key, value


cdef struct StoredDataFields:
    PyTypeObject* cls
    Py_ssize_t storage_time, lifetime, value, signature


cdef struct StoreKindDataFields:
    PyTypeObject* cls
    Py_ssize_t kind, generation_counter, values


cdef struct StoreReqFields:
    PyTypeObject* cls
    Py_ssize_t resource, replica_number, kind_data


cdef struct StoreKindResponseFields:
    PyTypeObject* cls
    Py_ssize_t kind, generation_counter, replicas


cdef struct StoreAnsFields:
    PyTypeObject* cls
    Py_ssize_t kind_responses


cdef struct ArrayRangeFields:
    PyTypeObject* cls
    Py_ssize_t first, last


cdef struct StoredDataSpecifierFields:
    PyTypeObject* cls
    Py_ssize_t kind, generation, model_specifier


cdef struct FetchReqFields:
    PyTypeObject* cls
    Py_ssize_t resource, specifiers


cdef struct FetchKindResponseFields:
    PyTypeObject* cls
    Py_ssize_t kind, generation, values


cdef struct FetchAnsFields:
    PyTypeObject* cls
    Py_ssize_t kind_responses


cdef struct StatReqFields:
    PyTypeObject* cls
    Py_ssize_t resource, specifiers


cdef struct MetaDataFields:
    PyTypeObject* cls
    Py_ssize_t exists, value_length, hash_algorithm, hash_value


cdef struct ArrayEntryMetaFields:
    PyTypeObject* cls
    Py_ssize_t index, value


cdef struct DictionaryEntryMetaFields:
    PyTypeObject* cls
    Py_ssize_t key, value


cdef struct StoredMetaDataFields:
    PyTypeObject* cls
    Py_ssize_t storage_time, lifetime, metadata


cdef struct StatKindResponseFields:
    PyTypeObject* cls
    Py_ssize_t kind, generation, values


cdef struct StatAnsFields:
    PyTypeObject* cls
    Py_ssize_t kind_responses


cdef struct FindReqFields:
    PyTypeObject* cls
    Py_ssize_t resource, kinds


cdef struct FindKindDataFields:
    PyTypeObject* cls
    Py_ssize_t kind, closest


cdef struct FindAnsFields:
    PyTypeObject* cls
    Py_ssize_t results


cdef struct UnknownKindsFields:
    PyTypeObject* cls
    Py_ssize_t kinds


cdef struct TurnServerFields:
    PyTypeObject* cls
    Py_ssize_t iteration, server_address


cdef struct ChordLeaveDataFields:
    PyTypeObject* cls
    Py_ssize_t type, peers


cdef struct XmppLocationFields:
    PyTypeObject* cls
    Py_ssize_t type, address, priority, destination_list


cdef struct MessageFields:
    PyTypeObject* cls
    Py_ssize_t header, code, body, extensions, security


cdef DestinationFields DESTINATION
cdef ForwardingOptionFields FORWARDING_OPTION
cdef ForwardingHeaderFields FORWARDING_HEADER
cdef MessageExtensionFields MESSAGE_EXTENSION
cdef ErrorResponseFields ERROR_RESPONSE
cdef GenericCertificateFields GENERIC_CERTIFICATE
cdef SignerIdentityFields SIGNER_IDENTITY
cdef SignatureFields SIGNATURE
cdef SecurityBlockFields SECURITY_BLOCK
cdef JoinReqFields JOIN_REQ
cdef JoinAnsFields JOIN_ANS
cdef LeaveReqFields LEAVE_REQ
cdef LeaveAnsFields LEAVE_ANS
cdef UpdateReqFields UPDATE_REQ
cdef UpdateAnsFields UPDATE_ANS
cdef RouteQueryReqFields ROUTE_QUERY_REQ
cdef RouteQueryAnsFields ROUTE_QUERY_ANS
cdef ProbeReqFields PROBE_REQ
cdef ProbeInformationFields PROBE_INFORMATION
cdef ProbeAnsFields PROBE_ANS
cdef IpAddressPortFields IP_ADDRESS_PORT
cdef IceExtensionFields ICE_EXTENSION
cdef IceCandidateFields ICE_CANDIDATE
cdef AttachReqAnsFields ATTACH_REQ_ANS
cdef AppAttachReqAnsFields APP_ATTACH_REQ_ANS
cdef PingReqFields PING_REQ
cdef PingAnsFields PING_ANS
cdef ConfigUpdateReqFields CONFIG_UPDATE_REQ
cdef ConfigUpdateAnsFields CONFIG_UPDATE_ANS
cdef DataValueFields DATA_VALUE
cdef ArrayEntryFields ARRAY_ENTRY
cdef DictionaryEntryFields DICTIONARY_ENTRY
cdef StoredDataFields STORED_DATA
cdef StoreKindDataFields STORE_KIND_DATA
cdef StoreReqFields STORE_REQ
cdef StoreKindResponseFields STORE_KIND_RESPONSE
cdef StoreAnsFields STORE_ANS
cdef ArrayRangeFields ARRAY_RANGE
cdef StoredDataSpecifierFields STORED_DATA_SPECIFIER
cdef FetchReqFields FETCH_REQ
cdef FetchKindResponseFields FETCH_KIND_RESPONSE
cdef FetchAnsFields FETCH_ANS
cdef StatReqFields STAT_REQ
cdef MetaDataFields META_DATA
cdef ArrayEntryMetaFields ARRAY_ENTRY_META
cdef DictionaryEntryMetaFields DICTIONARY_ENTRY_META
cdef StoredMetaDataFields STORED_META_DATA
cdef StatKindResponseFields STAT_KIND_RESPONSE
cdef StatAnsFields STAT_ANS
cdef FindReqFields FIND_REQ
cdef FindKindDataFields FIND_KIND_DATA
cdef FindAnsFields FIND_ANS
cdef UnknownKindsFields UNKNOWN_KINDS
cdef TurnServerFields TURN_SERVER
cdef ChordLeaveDataFields CHORD_LEAVE_DATA
cdef XmppLocationFields XMPP_LOCATION
cdef MessageFields MESSAGE
