"""One struct per RELOAD structure, the code points, and no behaviour (RFC 6940 6.3 to 7.4, 10.7 to 10.9, 14).

Field names are the RFC's. Lengths are never fields: the codec writes and checks them.
Opaque vectors are `bytes`; lists are tuples; a NodeId is `bytes` of the overlay's node-id-length.
"""

from enum import IntEnum, IntFlag

import msgspec

WILDCARD_NODE_ID = b"\xff" * 16
RELO_TOKEN = 0xD2454C4F
VERSION = 0x0A
FRAGMENT_WHOLE = 0xC0000000
FRAGMENT_LAST = 0x40000000  # the last piece of a message, or all of it (6.7)
FRAGMENT_OFFSET = 0x00FFFFFF
CONFIG_SEQUENCE_ANY = 0xFFFF  # on a ConfigUpdate only (RFC 6940 6.3.2.1)


class Code(IntEnum):
    """Message codes (RFC 6940 14.8). A request is odd, its answer is the next."""

    PROBE_REQ = 0x1
    PROBE_ANS = 0x2
    ATTACH_REQ = 0x3
    ATTACH_ANS = 0x4
    STORE_REQ = 0x7
    STORE_ANS = 0x8
    FETCH_REQ = 0x9
    FETCH_ANS = 0xA
    FIND_REQ = 0xD
    FIND_ANS = 0xE
    JOIN_REQ = 0xF
    JOIN_ANS = 0x10
    LEAVE_REQ = 0x11
    LEAVE_ANS = 0x12
    UPDATE_REQ = 0x13
    UPDATE_ANS = 0x14
    ROUTE_QUERY_REQ = 0x15
    ROUTE_QUERY_ANS = 0x16
    PING_REQ = 0x17
    PING_ANS = 0x18
    STAT_REQ = 0x19
    STAT_ANS = 0x1A
    APP_ATTACH_REQ = 0x1D
    APP_ATTACH_ANS = 0x1E
    CONFIG_UPDATE_REQ = 0x21
    CONFIG_UPDATE_ANS = 0x22
    EXP_A_REQ = 0x23  # this and the next three: experiments only
    EXP_A_ANS = 0x24
    EXP_B_REQ = 0x25
    EXP_B_ANS = 0x26
    ERROR = 0xFFFF


class DestinationType(IntEnum):
    NODE = 1
    RESOURCE = 2
    OPAQUE_ID = 3


class ForwardingOptionType(IntEnum):
    EXP_FORWARD = 1  # experiments only


class OptionFlags(IntFlag):
    """Flags of a ForwardingOption (RFC 6940 6.3.2.3)."""

    FORWARD_CRITICAL = 0x01
    DESTINATION_CRITICAL = 0x02
    RESPONSE_COPY = 0x04


class MessageExtensionType(IntEnum):
    EXP_EXT = 1  # experiments only


class AddressType(IntEnum):
    IPV4 = 1
    IPV6 = 2


class OverlayLinkType(IntEnum):
    DTLS_UDP_SR = 1
    DTLS_UDP_SR_NO_ICE = 3
    TLS_TCP_FH_NO_ICE = 4
    EXP_LINK = 5  # experiments only


class CandidateType(IntEnum):
    HOST = 1
    SRFLX = 2
    RELAY = 4


class CertificateType(IntEnum):
    """From RFC 6091; only X.509 is used (RFC 6940 6.3.4)."""

    X509 = 0
    OPENPGP = 1


class SignerIdentityType(IntEnum):
    CERT_HASH = 1
    CERT_HASH_NODE_ID = 2
    NONE = 3


class HashAlgorithm(IntEnum):
    """From the TLS registry (RFC 5246 7.4.1.4.1)."""

    NONE = 0
    MD5 = 1
    SHA1 = 2
    SHA224 = 3
    SHA256 = 4
    SHA384 = 5
    SHA512 = 6


class SignatureAlgorithm(IntEnum):
    """From the TLS registry (RFC 5246 7.4.1.4.1)."""

    ANONYMOUS = 0
    RSA = 1
    DSA = 2
    ECDSA = 3


class DataModel(IntEnum):
    SINGLE = 1
    ARRAY = 2
    DICTIONARY = 3


class ProbeInformationType(IntEnum):
    RESPONSIBLE_SET = 1
    NUM_RESOURCES = 2
    UPTIME = 3
    EXP_PROBE = 4  # experiments only


class ConfigUpdateType(IntEnum):
    CONFIG = 1
    KIND = 2


class ChordUpdateType(IntEnum):
    PEER_READY = 1
    NEIGHBORS = 2
    FULL = 3


class ChordLeaveType(IntEnum):
    FROM_SUCC = 1
    FROM_PRED = 2


class Body(msgspec.Struct, frozen=True, gc=False):
    """Base of everything below: immutable, compared by value."""


# --- forwarding header (6.3.2) ----------------------------------------------------------------------


class Destination(Body, frozen=True, gc=False):
    """type: a DestinationType; value: Node-ID, Resource-ID or opaque id without inner length byte. Of a type nobody
    knows (4 to 127), value holds all.

    compact marks the 16-bit form of an opaque id, so that it is written back as it came.
    """

    type: int
    value: bytes
    compact: bool = False


class ForwardingOption(Body, frozen=True, gc=False):
    type: int
    flags: int
    option: bytes


class ForwardingHeader(Body, frozen=True, gc=False):
    """Without relo_token and the length fields, which the codec writes and checks."""

    overlay: int
    configuration_sequence: int
    ttl: int
    transaction_id: int
    destination_list: tuple[Destination, ...]
    via_list: tuple[Destination, ...] = ()
    options: tuple[ForwardingOption, ...] = ()
    max_response_length: int = 0
    fragment: int = FRAGMENT_WHOLE
    version: int = VERSION


# --- security block (6.3.4) -------------------------------------------------------------------------


class GenericCertificate(Body, frozen=True, gc=False):
    type: int
    certificate: bytes


class SignerIdentity(Body, frozen=True, gc=False):
    """identity_type: a SignerIdentityType. For CERT_HASH and CERT_HASH_NODE_ID the two fields after it."""

    identity_type: int
    hash_alg: int = 0
    certificate_hash: bytes = b""


class Signature(Body, frozen=True, gc=False):
    hash_algorithm: int
    signature_algorithm: int
    identity: SignerIdentity
    signature_value: bytes


UNSIGNED = Signature(0, 0, SignerIdentity(SignerIdentityType.NONE), b"")  # of synthetic values (7.4.2.2)


class SecurityBlock(Body, frozen=True, gc=False):
    certificates: tuple[GenericCertificate, ...]
    signature: Signature


class MessageExtension(Body, frozen=True, gc=False):
    type: int
    critical: bool
    extension_contents: bytes


# --- requests and answers ---------------------------------------------------------------------------


class ErrorResponse(Body, frozen=True, gc=False):
    error_code: int
    error_info: bytes = b""


class UnknownKinds(Body, frozen=True, gc=False):
    """The error_info of Error_Unknown_Kind (7.4.1.2): at most 63 Kind-IDs."""

    kinds: tuple[int, ...]


class JoinReq(Body, frozen=True, gc=False):
    joining_peer_id: bytes
    overlay_specific_data: bytes = b""


class JoinAns(Body, frozen=True, gc=False):
    overlay_specific_data: bytes = b""


class LeaveReq(Body, frozen=True, gc=False):
    """overlay_specific_data is an encoded ChordLeaveData in CHORD-RELOAD (10.9)."""

    leaving_peer_id: bytes
    overlay_specific_data: bytes = b""


class LeaveAns(Body, frozen=True, gc=False):
    pass


class ChordLeaveData(Body, frozen=True, gc=False):
    """type: a ChordLeaveType; peers: the sender's successors (FROM_SUCC) or predecessors (FROM_PRED)."""

    type: int
    peers: tuple[bytes, ...]


class UpdateReq(Body, frozen=True, gc=False):
    """ChordUpdate (10.7); the body of an Update request in CHORD-RELOAD. uptime in seconds."""

    uptime: int
    type: int
    predecessors: tuple[bytes, ...] = ()
    successors: tuple[bytes, ...] = ()
    fingers: tuple[bytes, ...] = ()


class UpdateAns(Body, frozen=True, gc=False):
    pass


class RouteQueryReq(Body, frozen=True, gc=False):
    send_update: bool
    destination: Destination
    overlay_specific_data: bytes = b""


class RouteQueryAns(Body, frozen=True, gc=False):
    """ChordRouteQueryAns (10.8)."""

    next_peer: bytes


class ProbeReq(Body, frozen=True, gc=False):
    """requested_info: ProbeInformationTypes, none to ask for nothing but an answer (6.4.2.5)."""

    requested_info: tuple[int, ...] = ()


class ProbeInformation(Body, frozen=True, gc=False):
    """value: parts of 10^9 of the ring (RESPONSIBLE_SET), a count (NUM_RESOURCES) or seconds (UPTIME). Of a type nobody
    knows, all its bytes."""

    type: int
    value: int | bytes


class ProbeAns(Body, frozen=True, gc=False):
    probe_info: tuple[ProbeInformation, ...] = ()


class IpAddressPort(Body, frozen=True, gc=False):
    """type: an AddressType; address: 4 or 16 bytes. Of a type nobody knows, address holds all and port is 0."""

    type: int
    address: bytes
    port: int


class IceExtension(Body, frozen=True, gc=False):
    name: bytes
    value: bytes


class IceCandidate(Body, frozen=True, gc=False):
    """rel_addr_port stands for SRFLX and RELAY only (6.5.1.1)."""

    addr_port: IpAddressPort
    overlay_link: int
    foundation: bytes
    priority: int
    type: int = CandidateType.HOST
    rel_addr_port: IpAddressPort | None = None
    extensions: tuple[IceExtension, ...] = ()


class AttachReqAns(Body, frozen=True, gc=False):
    """Both the Attach request and its answer (6.5.1.1)."""

    ufrag: bytes
    password: bytes
    role: bytes
    candidates: tuple[IceCandidate, ...]
    send_update: bool


class AppAttachReqAns(Body, frozen=True, gc=False):
    """Both the AppAttach request and its answer (6.5.2)."""

    ufrag: bytes
    password: bytes
    application: int
    role: bytes
    candidates: tuple[IceCandidate, ...]


class PingReq(Body, frozen=True, gc=False):
    padding: bytes = b""


class PingAns(Body, frozen=True, gc=False):
    """time: milliseconds since 1970."""

    response_id: int
    time: int


class ConfigUpdateReq(Body, frozen=True, gc=False):
    """type: a ConfigUpdateType. CONFIG: config_data is a configuration document. KIND: kinds are kind-blocks, XML in
    UTF-8 (6.5.4). Of a type nobody knows, config_data holds all."""

    type: int
    config_data: bytes = b""
    kinds: tuple[bytes, ...] = ()


class ConfigUpdateAns(Body, frozen=True, gc=False):
    pass


# --- storage (7) ------------------------------------------------------------------------------------


class DataValue(Body, frozen=True, gc=False):
    exists: bool
    value: bytes


class ArrayEntry(Body, frozen=True, gc=False):
    index: int
    value: DataValue


class DictionaryEntry(Body, frozen=True, gc=False):
    key: bytes
    value: DataValue


StoredDataValue = DataValue | ArrayEntry | DictionaryEntry | bytes
"""bytes: the Kind is unknown, so the value together with its signature stays as received."""


class StoredData(Body, frozen=True, gc=False):
    """storage_time in ms since 1970, lifetime in s. For an unknown Kind value holds all after lifetime."""

    storage_time: int
    lifetime: int
    value: StoredDataValue
    signature: Signature = UNSIGNED


class StoreKindData(Body, frozen=True, gc=False):
    kind: int
    generation_counter: int
    values: tuple[StoredData, ...]


class StoreReq(Body, frozen=True, gc=False):
    resource: bytes
    replica_number: int
    kind_data: tuple[StoreKindData, ...]


class StoreKindResponse(Body, frozen=True, gc=False):
    kind: int
    generation_counter: int
    replicas: tuple[bytes, ...] = ()


class StoreAns(Body, frozen=True, gc=False):
    kind_responses: tuple[StoreKindResponse, ...]


class ArrayRange(Body, frozen=True, gc=False):
    first: int
    last: int


class StoredDataSpecifier(Body, frozen=True, gc=False):
    """model_specifier: None for a single value, ArrayRanges, dictionary keys (none of them: all), or bytes for an
    unknown Kind."""

    kind: int
    generation: int = 0
    model_specifier: tuple[ArrayRange, ...] | tuple[bytes, ...] | bytes | None = ()


class FetchReq(Body, frozen=True, gc=False):
    resource: bytes
    specifiers: tuple[StoredDataSpecifier, ...]


class FetchKindResponse(Body, frozen=True, gc=False):
    kind: int
    generation: int
    values: tuple[StoredData, ...]


class FetchAns(Body, frozen=True, gc=False):
    kind_responses: tuple[FetchKindResponse, ...]


class StatReq(Body, frozen=True, gc=False):
    """As FetchReq (7.4.3.1)."""

    resource: bytes
    specifiers: tuple[StoredDataSpecifier, ...]


class MetaData(Body, frozen=True, gc=False):
    """value_length: bytes of the value; hash_value: the digest of the value behind its 4 length bytes (7.4.3.2)."""

    exists: bool
    value_length: int
    hash_algorithm: int
    hash_value: bytes


class ArrayEntryMeta(Body, frozen=True, gc=False):
    index: int
    value: MetaData


class DictionaryEntryMeta(Body, frozen=True, gc=False):
    key: bytes
    value: MetaData


MetaDataValue = MetaData | ArrayEntryMeta | DictionaryEntryMeta | bytes
"""bytes: the Kind is unknown, so the metadata stay as received."""


class StoredMetaData(Body, frozen=True, gc=False):
    """storage_time in ms since 1970, lifetime in s; no signature (7.4.3.2)."""

    storage_time: int
    lifetime: int
    metadata: MetaDataValue


class StatKindResponse(Body, frozen=True, gc=False):
    kind: int
    generation: int
    values: tuple[StoredMetaData, ...]


class StatAns(Body, frozen=True, gc=False):
    kind_responses: tuple[StatKindResponse, ...]


class FindReq(Body, frozen=True, gc=False):
    resource: bytes
    kinds: tuple[int, ...]


class FindKindData(Body, frozen=True, gc=False):
    """closest: the Resource-ID closest to the asked one; 16 zero bytes, or none, where none is known (7.4.4.2, notes
    5.13)."""

    kind: int
    closest: bytes


class FindAns(Body, frozen=True, gc=False):
    results: tuple[FindKindData, ...]


class TurnServer(Body, frozen=True, gc=False):
    """The value of Kind TURN-SERVICE; iteration is the d its Resource Name was formed with (9)."""

    iteration: int
    server_address: IpAddressPort


# --- XMPP usage (XEP-0415) --------------------------------------------------------------------------


class XmppLocationType(IntEnum):
    ADDRESS = 1
    ROUTE = 2


class XmppLocation(Body, frozen=True, gc=False):
    """ADDRESS: address, a prepared bare JID in UTF-8. ROUTE: priority and destination_list.

    Of a type nobody knows, address holds all: such a location is passed over."""

    type: int
    address: bytes = b""
    priority: int = 0
    destination_list: tuple[Destination, ...] = ()


class Message(Body, frozen=True, gc=False):
    """A whole message. body: the struct for its code, or bytes where the code has none here."""

    header: ForwardingHeader
    code: int
    body: Body | bytes
    extensions: tuple[MessageExtension, ...]
    security: SecurityBlock
