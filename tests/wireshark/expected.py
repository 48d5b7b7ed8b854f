"""What a dissector has to show of a message: the names of Wireshark's fields in order, with our values.

A row of ROWS tells how one structure is shown: `container attribute=path ...`. A path names the fields from outer to
inner; of a list the first is around the list and the others around each item; `*` is a structure with a row of its own.
"""

from collections.abc import Callable, Iterator
from typing import Any

from msgspec.structs import replace

from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.messages import Body, CertificateType, Code, DataModel

Expected = tuple[str, int | bytes | str | None]  # name and value; None: it has fields inside and no value

TURN_SERVICE, CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER = 2, 3, 16
# Those the dissector knows; the others it is told of (capture.py).
MODELS = {
    TURN_SERVICE: DataModel.SINGLE,
    CERTIFICATE_BY_NODE: DataModel.ARRAY,
    CERTIFICATE_BY_USER: DataModel.ARRAY,
    5: DataModel.DICTIONARY,
    0xF0000001: DataModel.SINGLE,
    0xF0000002: DataModel.ARRAY,
    0xFFFFFFFD: DataModel.DICTIONARY,
}
GENERATION_TOO_LOW, UNKNOWN_KIND = 0x5, 0xC
OPENED_ERRORS: dict[int, type[Body]] = {GENERATION_TOO_LOW: m.StoreAns, UNKNOWN_KIND: m.UnknownKinds}


class Certificate(Body, frozen=True, gc=False):
    """A certificate that is taken apart."""

    der: bytes


ROWS_OF_TEXT: dict[type | tuple[type, Any], str] = {
    m.ForwardingHeader: "forwarding overlay=forwarding.overlay"
    " configuration_sequence=forwarding.configuration_sequence version=forwarding.version ttl=forwarding.ttl"
    " fragment=forwarding.fragment transaction_id=forwarding.trans_id"
    " max_response_length=forwarding.max_response_length via_list=forwarding.via_list?/destination/*"
    " destination_list=forwarding.destination_list?/destination/* options=forwarding.options?/forwarding.option/*",
    (m.Destination, 1): "- type=forwarding.destination.type value=destination.data.nodeid",
    (m.Destination, 2): "- type=forwarding.destination.type value=destination.data.resourceid/opaque.data",
    (m.Destination, 3): "- type=forwarding.destination.type value=destination.data.compressed_id/opaque.data",
    (m.Destination, "compact"): "- value=forwarding.destination.compressed_id",
    m.Destination: "- type=forwarding.destination.type",
    m.ForwardingOption: "- type=forwarding.option.type flags=forwarding.option.flags option=opaque.data",
    m.MessageExtension: "message_extension type=message_extension.type critical=message_extension.critical"
    " extension_contents=opaque.data",
    # --- security block
    m.SecurityBlock: "security_block certificates=certificates/* signature=*",
    m.GenericCertificate: "genericcertificate type=certificate.type certificate=certificate/opaque.data",
    (m.GenericCertificate, Certificate): "genericcertificate type=certificate.type certificate=*",
    Certificate: "- der=certificate",
    m.Signature: "signature hash_algorithm=signatureandhashalgorithm/hash_algorithm"
    " signature_algorithm=signature_algorithm identity=signature.identity/*"
    " signature_value=signature.value/opaque.data",
    (m.SignerIdentity, 1): "- identity_type=signature.identity.type hash_alg=signeridentityvalue.hash_alg"
    " certificate_hash=signature.identity.value.certificate_hash/opaque.data",
    (m.SignerIdentity, 2): "- identity_type=signature.identity.type hash_alg=signeridentityvalue.hash_alg"
    " certificate_hash=signature.identity.value.certificate_node_id_hash/opaque.data",
    (m.SignerIdentity, 3): "- identity_type=signature.identity.type",
    # --- connections and the overlay
    m.ProbeReq: "probereq requested_info=probereq.requested_info/probe_information.type",
    m.ProbeAns: "probeans probe_info=probe_info/*",
    (m.ProbeInformation, 1): "probe_information type=probe_information.type value=responsible_set",
    (m.ProbeInformation, 2): "probe_information type=probe_information.type value=num_resources",
    (m.ProbeInformation, 3): "probe_information type=probe_information.type value=uptime",
    m.ProbeInformation: "probe_information type=probe_information.type",
    (m.IpAddressPort, 1): "- type=ipaddressport.type address=ipv4addrport/ipv4addr port=port",
    (m.IpAddressPort, 2): "- type=ipaddressport.type address=ipv6addrport/ipv6addr port=port",
    m.IpAddressPort: "- type=ipaddressport.type",
    m.IceCandidate: "icecandidate addr_port=icecandidate.addr_port/* overlay_link=overlaylink.type"
    " foundation=icecandidate.foundation/opaque.string type=icecandidate.type"
    " rel_addr_port=icecandidate.relay_addr/* extensions=iceextensions/*",
    m.IceExtension: "iceextension name=iceextension.name/opaque.data value=iceextension.value/opaque.data",
    m.AttachReqAns: "attachreqans ufrag=ufrag/opaque.string password=password/opaque.string role=role/opaque.string"
    " candidates=icecandidates/* send_update=sendupdate",
    m.AppAttachReqAns: "- ufrag=ufrag/opaque.string password=password/opaque.string application=application"
    " role=role/opaque.string candidates=icecandidates/*",
    m.PingReq: "pingreq padding=padding/opaque.data",
    m.PingAns: "pingans response_id=ping.response_id time=ping.time",
    m.JoinReq: "joinreq joining_peer_id=joinreq.joining_peer_id"
    " overlay_specific_data=overlay_specific_data/opaque.data",
    m.JoinAns: "joinans overlay_specific_data=overlay_specific_data/opaque.data",
    m.LeaveReq: "leavereq leaving_peer_id=leavereq.leaving_peer_id overlay_specific_data=overlay_specific_data/*",
    m.LeaveAns: "-",
    (m.ChordLeaveData, 1): "chordleavedata type=chordleavedata.type peers=chordleavedata.successors/nodeid",
    (m.ChordLeaveData, 2): "chordleavedata type=chordleavedata.type peers=chordleavedata.predecessors/nodeid",
    (m.UpdateReq, 1): "chordupdate uptime=uptime type=chordupdate.type",
    (m.UpdateReq, 2): "chordupdate uptime=uptime type=chordupdate.type"
    " predecessors=chordupdate.predecessors/nodeid successors=chordupdate.successors/nodeid",
    (m.UpdateReq, 3): "chordupdate uptime=uptime type=chordupdate.type predecessors=chordupdate.predecessors/nodeid"
    " successors=chordupdate.successors/nodeid fingers=chordupdate.fingers/nodeid",
    m.UpdateAns: "-",
    m.RouteQueryReq: "routequeryreq send_update=sendupdate destination=routequeryreq.destination/*"
    " overlay_specific_data=overlay_specific_data/opaque.data",
    m.RouteQueryAns: "chordroutequeryans next_peer=chordroutequeryans.nodeid",
    (m.ConfigUpdateReq, 1): "configupdatereq type=configupdatereq.type config_data=configupdatereq.config_data/xml",
    (m.ConfigUpdateReq, 2): "configupdatereq type=configupdatereq.type"
    " kinds=configupdatereq.kinds/configupdatereq.kinddescription/xml",
    m.ConfigUpdateReq: "configupdatereq type=configupdatereq.type",
    m.ConfigUpdateAns: "-",
    m.ErrorResponse: "error_response error_code=error_response.code error_info=error_response_info/opaque.string",
    (m.ErrorResponse, GENERATION_TOO_LOW): "error_response error_code=error_response.code error_info=*",
    (m.ErrorResponse, UNKNOWN_KIND): "error_response error_code=error_response.code error_info=*",
    m.UnknownKinds: "- kinds=kindid_list/kindid",
    # --- storage
    m.StoreReq: "storereq resource=resource/opaque.data replica_number=store.replica_number"
    " kind_data=store.kind_data/*",
    m.StoreKindData: "kinddata kind=kinddata.kind generation_counter=generation_counter"
    " values=kinddata.values_length/*",
    m.StoreAns: "storeans kind_responses=storeans.kind_responses/*",
    m.StoreKindResponse: "storekindresponse kind=kinddata.kind generation_counter=generation_counter"
    " replicas=storekindresponse.replicas/nodeid",
    m.FetchReq: "fetchreq resource=resource/opaque.data specifiers=fetchreq.specifiers/*",
    m.StatReq: "statreq resource=resource/opaque.data specifiers=fetchreq.specifiers/*",
    m.StoredDataSpecifier: "storeddataspecifier kind=kinddata.kind generation=generation_counter",
    (m.StoredDataSpecifier, DataModel.ARRAY): "storeddataspecifier kind=kinddata.kind generation=generation_counter"
    " model_specifier=storeddataspecifier.indices/arrayrange",
    m.FetchAns: "fetchans kind_responses=*",
    m.FetchKindResponse: "kinddata kind=kinddata.kind generation=generation_counter values=kinddata.values_length/*",
    m.StatAns: "statans kind_responses=*",
    m.StatKindResponse: "statkindresponse kind=kinddata.kind generation=generation_counter"
    " values=kinddata.values_length/*",
    m.StoredData: "storeddata storage_time=storeddata.storage_time lifetime=storeddata.lifetime value=value/*"
    " signature=*",
    (m.StoredData, bytes): "storeddata storage_time=storeddata.storage_time lifetime=storeddata.lifetime",
    m.StoredMetaData: "storedmetadata storage_time=storeddata.storage_time lifetime=storeddata.lifetime"
    " metadata=value/*",
    (m.StoredMetaData, bytes): "storedmetadata storage_time=storeddata.storage_time lifetime=storeddata.lifetime",
    m.DataValue: "- exists=datavalue.exists value=datavaluevalue/opaque.data",
    (m.DataValue, Body): "- exists=datavalue.exists value=*",
    m.ArrayEntry: "- index=arrayentry.index value=arrayentry.value/*",
    m.DictionaryEntry: "- key=dictionarykey/opaque.data value=dictionary.value/*",
    m.MetaData: "- exists=datavalue.exists value_length=metadata.value_length hash_algorithm=hash_algorithm"
    " hash_value=metadata.hash_value/opaque.data",
    m.ArrayEntryMeta: "- index=arrayentry.index value=arrayentry.value/*",
    m.DictionaryEntryMeta: "- key=dictionarykey/opaque.data value=dictionary.value/*",
    m.TurnServer: "turnserver iteration=turnserver.iteration server_address=turnserver.server_address/*",
    m.FindReq: "findreq resource=resource/opaque.data kinds=kindid_list/kindid",
    m.FindAns: "findans results=*",
    m.FindKindData: "findkinddata kind=kinddata.kind closest=findkindata.closest/opaque.data",
}


def _row(text: str) -> tuple[tuple[str, ...], tuple[tuple[str, tuple[str, ...]], ...]]:
    container, *members = text.split()
    pairs = [member.split("=") for member in members]
    return () if container == "-" else (container,), tuple((name, tuple(path.split("/"))) for name, path in pairs)


ROWS: dict[type | tuple[type, Any], Any] = {key: _row(text) for key, text in ROWS_OF_TEXT.items()}
SELECTORS: dict[type, Callable[[Any], Any]] = {
    m.Destination: lambda value: "compact" if value.compact else value.type,
    m.SignerIdentity: lambda value: value.identity_type,
    m.GenericCertificate: lambda value: type(value.certificate),
    m.ErrorResponse: lambda value: value.error_code,
    m.StoredData: lambda value: type(value.value),
    m.StoredMetaData: lambda value: type(value.metadata),
    m.StoredDataSpecifier: lambda value: MODELS.get(value.kind),
    m.DataValue: lambda value: bytes if isinstance(value.value, bytes) else Body,
}
APP_ATTACH = {Code.APP_ATTACH_REQ: "appattachreq", Code.APP_ATTACH_ANS: "appattachans"}
NAMES = {
    name.rstrip("?") for outer, members in ROWS.values() for path in (outer, *dict(members).values()) for name in path
}
NAMES |= {"message.code", "message.extensions", *APP_ATTACH.values()}
NAMES |= {f"reload_framing.{name}" for name in ("type", "sequence", "ack_sequence", "received")}


def _range(value: m.ArrayRange) -> str:
    """As the dissector writes it: integers are signed (int32 in 7.4.2.1), and the last of all is the end."""
    first, last = ((number ^ 0x80000000) - 0x80000000 for number in (value.first, value.last))
    return f"ArrayRange [{first}-{'end' if last == -1 else last}]"


class Expectation:
    """What is to be shown in an overlay with this node-id-length and with the Kinds of MODELS."""

    def __init__(self, node_id_length: int) -> None:
        self._node_id_length = node_id_length
        self.used: set[type | tuple[type, Any]] = set()

    def of_message(self, message: m.Message) -> Iterator[Expected]:
        yield from self._structure(message.header, 0)
        yield "message.code", message.code
        if message.code in APP_ATTACH:
            yield APP_ATTACH[Code(message.code)], None
        if isinstance(message.body, Body):  # bytes: of a code without a structure
            yield from self._structure(message.body, 0)
        yield from self._member(message.extensions, ("message.extensions", "*"), 0)
        yield from self._structure(message.security, 0)

    def _structure(self, value: Body, kind: int) -> Iterator[Expected]:
        kind = getattr(value, "kind", kind)
        value = self._opened(value, kind)
        cls = type(value)
        select = SELECTORS.get(cls, lambda value: getattr(value, "type", None))
        key = (cls, select(value))
        row = key if key in ROWS else cls
        self.used.add(row)
        outer, members = ROWS[row]
        for name in outer:
            yield name, None
        for attribute, path in members:
            yield from self._member(getattr(value, attribute), path, kind)

    def _member(self, value: Any, path: tuple[str, ...], kind: int) -> Iterator[Expected]:
        if isinstance(value, tuple):
            around, inside = (path[0], path[1:]) if path[0] != "*" else (None, path)
            if around and (value or not around.endswith("?")):  # ?: an empty list is not shown at all
                yield around.rstrip("?"), None
            for item in value:
                yield from self._member(item, inside, kind)
            return
        if value is None:
            return
        for name in path[:-1]:
            yield name, None
        if isinstance(value, m.ArrayRange):
            yield path[-1], _range(value)
        elif isinstance(value, Body):
            yield from self._structure(value, kind)
        elif value != b"":  # of no bytes nothing is shown
            yield path[-1], value

    def _opened(self, value: Any, kind: int) -> Any:
        """The value with what lies in an opaque field of it, where the dissector looks into that too."""
        match value:
            case m.GenericCertificate(type=CertificateType.X509):
                return replace(value, certificate=Certificate(value.certificate))
            case m.LeaveReq():
                data = codec.decode_struct(m.ChordLeaveData, value.overlay_specific_data, self._node_id_length)
                return replace(value, overlay_specific_data=data)
            case m.ErrorResponse(error_code=error) if error in OPENED_ERRORS:
                info = codec.decode_struct(OPENED_ERRORS[error], value.error_info, self._node_id_length)
                return replace(value, error_info=info)
            case m.DataValue(value=bytes(content)) if kind == TURN_SERVICE:
                return replace(value, value=codec.decode_struct(m.TurnServer, content) if content else None)
            case m.DataValue(value=bytes(content)) if kind in (CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER):
                return replace(value, value=Certificate(content) if content else None)
        return value
