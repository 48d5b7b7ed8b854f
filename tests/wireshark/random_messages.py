"""Random messages all of which a dissector can look into: where RFC 6940 says what lies in an opaque field, it does.

Code points that later documents gave a structure (RFC 7263, 7851, 7904, 8076) are left out, for that is not random.
"""

from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any, TypeVar

from msgspec.structs import replace

from tests.reference import codec as reference
from tests.reference.random_messages import RandomMessages
from tests.wireshark.expected import (
    CERTIFICATE_BY_NODE,
    CERTIFICATE_BY_USER,
    GENERATION_TOO_LOW,
    MODELS,
    TURN_SERVICE,
    UNKNOWN_KIND,
)
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import WireError
from xor_fast.messages import DataModel

T = TypeVar("T")
MOST = 65535  # bytes of a message (`contents` in test_dissector.py)
LATER_OPTIONS = {2}  # extensive_routing_mode
LATER_EXTENSIONS = {2, 3}  # sip_tuning_data, Diagnostic_Ping
LATER_CODES = {0x27}  # path_track_req
LATER_KINDS = {1, 104}  # SIP-REGISTRATION, REDIR


class DissectableMessages(RandomMessages):
    def __init__(self, random: Random, certificates: list[bytes]) -> None:
        super().__init__(random)
        self._certificates = certificates
        self.kind_at_work = 0

    def encoded(self) -> bytes:
        """A message; what is too large for its length fields, or for the dissector, is made anew."""
        while True:
            with suppress(WireError, reference.Invalid):
                message = self.message()
                data = codec.encode_message(message)
                if len(data) <= MOST and message.code not in LATER_CODES:
                    return data

    def message(self) -> m.Message:
        message = super().message()
        match message.body:
            case m.LeaveReq() as leave:
                data = m.ChordLeaveData(1 + self.bits(1), self.few(self.node_id))
                body: m.Body | bytes = replace(leave, overlay_specific_data=reference.encode_struct(data))
            case m.ErrorResponse():
                body = self.error()
            case m.ConfigUpdateReq() as body:
                # Or the dissector takes the document for one that is cut short (`config_data` in test_dissector.py)
                rest = self.cut(len(reference.encode_struct(message.header)))
                signature = replace(message.security.signature, signature_value=rest)
                message = replace(message, security=replace(message.security, signature=signature))
            case body:
                pass
        return replace(message, body=body)

    def error(self) -> m.ErrorResponse:
        choice = self.bits(2)
        if choice == 0:
            responses = self.few(self.store_kind_response)
            return m.ErrorResponse(GENERATION_TOO_LOW, reference.encode_struct(m.StoreAns(responses)))
        if choice == 1:
            kinds = reference.encode_struct(m.UnknownKinds(self.few(self.kind)))
            return m.ErrorResponse(UNKNOWN_KIND, kinds)
        code = self.u16()
        return m.ErrorResponse(code + (code in (GENERATION_TOO_LOW, UNKNOWN_KIND)), self.opaque())

    def option(self) -> m.ForwardingOption:
        option = super().option()
        return replace(option, type=1) if option.type in LATER_OPTIONS else option

    def extension(self) -> m.MessageExtension:
        extension = super().extension()
        return replace(extension, type=1) if extension.type in LATER_EXTENSIONS else extension

    def certificate(self) -> m.GenericCertificate:
        if self.bits(2):
            return m.GenericCertificate(0, self.x509())
        return m.GenericCertificate(self.code_point(), self.opaque())

    def x509(self) -> bytes:
        return self._certificates[self.bits(16) % len(self._certificates)]

    def config_update(self) -> m.ConfigUpdateReq:
        update = super().config_update()
        if update.type == 1:
            return m.ConfigUpdateReq(1, self.xml())
        return m.ConfigUpdateReq(2, b"", self.few(self.xml)) if update.type == 2 else update

    def xml(self) -> bytes:
        return b"<some><x a='%d'/>%s</some>" % (self.u32(), self.opaque().hex().encode())

    # --- Kinds ------------------------------------------------------------------------------------

    def kind(self) -> int:
        choice = self.bits(16) % (len(MODELS) + 1)
        if choice < len(MODELS):
            return list(MODELS)[choice]
        kind = self.u32()
        return kind + 1000 if kind in MODELS or kind in LATER_KINDS else kind

    def of_a_kind(self, cls: Callable[[int, int, Any], T], make: Callable[[DataModel | None], object]) -> T:
        kind = self.kind_at_work = self.kind()
        model = MODELS.get(kind)
        return cls(kind, self.u64(), self.few(lambda: make(model)))

    def data_value(self) -> m.DataValue:
        value = super().data_value()
        if not value.exists:
            return m.DataValue(False, b"")
        if self.kind_at_work == TURN_SERVICE:
            return m.DataValue(True, reference.encode_struct(m.TurnServer(self.bits(8), self.address())))
        if self.kind_at_work in (CERTIFICATE_BY_NODE, CERTIFICATE_BY_USER):
            return m.DataValue(True, self.x509())
        return value

    def specifier(self) -> m.StoredDataSpecifier:
        kind, choice = self.kind(), None
        match MODELS.get(kind):
            case None:
                choice = self.opaque()
            case DataModel.ARRAY:
                choice = self.few(lambda: m.ArrayRange(self.u32(), self.u32()))
            case DataModel.DICTIONARY:
                choice = self.few(self.opaque)
        return m.StoredDataSpecifier(kind, self.u64(), choice)
