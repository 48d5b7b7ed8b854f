"""One RELOAD node: inputs, the way of a local message, and the parts that own each message code.

The drain rule: inputs may pile up within one turn of the driver; before it waits it takes `sends()`, carries out
`actions()` and sleeps until `deadline`. Every input and every wish takes `now`, monotonic seconds.
Wishes end with `done(now, outcome)`; outcome is the value named in their docstring, or a RequestFailed.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from math import inf
from random import Random

from xor_fast import limits
from xor_fast.actions import Action, Address, Notice
from xor_fast.cext import codec
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import SELF, Received, Switch, Verdict, ViaLists
from xor_fast.config import Overlay
from xor_fast.core.appattach import AppAttach, AppConnection
from xor_fast.core.attach import Attach
from xor_fast.core.fragments import Reassembly, header_of, is_fragment
from xor_fast.core.kinds import KindRegistry
from xor_fast.core.lookup import Lookups
from xor_fast.core.ping import PingService, Pong
from xor_fast.core.probe import ProbeService
from xor_fast.core.queries import Queries
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.storage import Storage
from xor_fast.core.timers import Timers
from xor_fast.core.topology import Topology
from xor_fast.core.transactions import NO_LINK, Answer, KeptAnswer, Transactions
from xor_fast.core.tuning import DEFAULTS, Tuning, checked
from xor_fast.core.writer import Fetched, NewValue, Stored, Writer
from xor_fast.errors import ErrorCode, RequestFailed, StateError, TrustError, WireError
from xor_fast.messages import (
    CONFIG_SEQUENCE_ANY,
    ArrayRange,
    Body,
    Code,
    Destination,
    DestinationType,
    ErrorResponse,
    ForwardingHeader,
    ForwardingOption,
    GenericCertificate,
    OptionFlags,
    SecurityBlock,
    StoredData,
)
from xor_fast.trust.certificates import Certificate
from xor_fast.trust.signatures import Identity, Signer, Verifier

__all__ = ["AppConnection", "Fetched", "NewValue", "Node", "Pong", "Stored", "Tuning"]

# Carrying these out twice would differ from once, so their answers are kept for repeats (6.2.1, notes 2.12).
_KEPT_CODES = frozenset({Code.STORE_REQ, Code.JOIN_REQ, Code.LEAVE_REQ, Code.ATTACH_REQ, Code.APP_ATTACH_REQ})
# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_ERROR = Code.ERROR
_NODE = DestinationType.NODE
_RESOURCE = DestinationType.RESOURCE
_DELIVER = Verdict.DELIVER
_UNATTACHED = Verdict.UNATTACHED

_TRANSIT_ERRORS = {
    Verdict.TTL_EXCEEDED: ErrorCode.TTL_EXCEEDED,
    Verdict.UNSUPPORTED_OPTION: ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
    Verdict.INCOMPATIBLE: ErrorCode.INCOMPATIBLE_WITH_OVERLAY,
    Verdict.TOO_LARGE: ErrorCode.MESSAGE_TOO_LARGE,
    Verdict.INVALID: ErrorCode.INVALID_MESSAGE,
}


class Node:
    """A whole peer or client, driven from outside (see the drain rule above).

    addresses: where others can connect to us, offered in Attach.
    tuning: what the owner may choose for this node.
    durable: the driver has a disk and carries out Persist; nothing is acknowledged before it is there.
    random: the only source of randomness; seeded in the simulator.
    """

    def __init__(
        self,
        overlay: Overlay,
        identity: Identity,
        verifier: Verifier,
        random: Random,
        *,
        addresses: Sequence[Address] = (),
        tuning: Tuning = DEFAULTS,
        durable: bool = False,
    ) -> None:
        self.overlay = overlay
        self.identity = identity
        self.verifier = verifier
        self.rng = random
        self.addresses: tuple[Address, ...] = tuple(addresses)
        self.tuning: Tuning = checked(tuning)
        self.node_id: bytes = identity.node_id
        self._signer: bytes = codec.encode_struct(identity.signer)  # the end of all we sign
        self.timers: Timers = Timers()
        self.kinds: KindRegistry = KindRegistry(overlay.kinds)
        self.ring: Ring = Ring(self.node_id)
        self.switch: Switch = Switch(
            self.ring,
            overlay.overlay_hash,
            initial_ttl=overlay.initial_ttl,
            max_message_size=overlay.max_message_size,
            first_generation=random.randrange(limits.LINK_GENERATIONS),  # 6.3.2.2
            via_lists=tuning.via_lists,
            secret=random.randbytes(32) if tuning.via_lists is ViaLists.STATE else b"",
            request_lifetime=overlay.reliability_timer * limits.MAX_TRANSMISSIONS,
        )
        self.transactions: Transactions = Transactions(self)
        self.fragments: Reassembly = Reassembly(self.transactions.lifetime, overlay.max_message_size, self.count)
        self.attach: Attach = Attach(self)
        self.app_attaches: AppAttach = AppAttach(self)
        self.topology: Topology = Topology(self)
        self.storage: Storage = Storage(self, durable)
        self.lookups: Lookups = Lookups(self)
        self.writer: Writer = Writer(self)
        self.queries: Queries = Queries(self)
        self.pings: PingService = PingService(self)
        self.probes: ProbeService = ProbeService(self)
        self._handlers: Handlers = {
            **self.attach.handlers,
            **self.app_attaches.handlers,
            **self.topology.handlers,
            **self.storage.handlers,
            **self.queries.handlers,
            **self.pings.handlers,
            **self.probes.handlers,
        }
        self._counts: Counter[str] = Counter()
        self._actions: list[Action] = []
        self._settling = False
        self._wall_offset_ms = 0.0
        self._tickets = 0
        self._transit_errors = (0.0, 0)  # second, made in it
        self._last_complaint = ("", 0.0)  # what, when
        for warning in overlay.warnings:
            self.notice("warning", f"configuration document: {warning}")

    # --- inputs of the driver ------------------------------------------------------------------------

    def set_wall(self, now: float, unix_ms: int) -> None:
        """Tell the wall clock: at the start, and again when it was adjusted. Then follow the drain rule."""
        self._wall_offset_ms = unix_ms - now * 1000

    def link_up(self, now: float, certificates: Sequence[bytes], ticket: int | None) -> int:
        """A TLS handshake on an overlay connection is done.

        certificates: of the other side, DER, its own first. ticket: of the Dial, None if the connection was accepted.
        Gives the link's number, or -1: close the connection (a Notice says why). Then follow the drain rule.
        """
        link = self.attach.link_up(now, certificates, ticket)
        self._settle(now)
        return link

    def link_down(self, now: float, link: int, reason: str) -> None:
        """The connection of a link is gone. Then follow the drain rule."""
        node_id = self.switch.node_of(link)
        if node_id is None:
            return
        self.switch.close_link(link)
        self.attach.link_down(link)
        self.topology.liveness.link_down(link)
        self.count("links_lost")
        self.topology.link_down(now, node_id, reason)
        self.transactions.link_down(now, link, reason)
        self._settle(now)

    def link_full(self, now: float, link: int, is_full: bool) -> None:
        """The driver's buffer for a link went above or below its mark."""
        self.switch.set_full(link, is_full)

    def receive(self, now: float, link: int, data: bytes | bytearray | memoryview) -> bool:
        """Bytes of a link; data is used only during the call. False: the framing is broken, close the connection and
        say link_down. Then follow the drain rule."""
        sound = self.switch.receive(now, link, data)
        if self.switch.has_inbox:
            self._settle(now)
        return sound

    def dial_failed(self, now: float, ticket: int, reason: str) -> None:
        """A Dial or an OpenPort could not be carried out. Then follow the drain rule."""
        if not self.app_attaches.dial_failed(now, ticket, reason):
            self.attach.dial_failed(now, ticket, reason)
        self._settle(now)

    def port_opened(self, now: float, ticket: int, addresses: Sequence[Address]) -> None:
        """An OpenPort was carried out: where it can be reached. Then follow the drain rule."""
        self.app_attaches.port_opened(now, ticket, addresses)
        self._settle(now)

    def app_up(self, now: float, ticket: int, certificates: Sequence[bytes]) -> bool:
        """The handshake of an application connection is done: dialled, or accepted on the port of its ticket.

        True: it is the one; whoever waits has been told by now and may take the connection by its ticket.
        False: close it. Then follow the drain rule.
        """
        accepted = self.app_attaches.connection_up(now, ticket, certificates)
        self._settle(now)
        return accepted

    def persisted(self, now: float, ticket: int) -> None:
        """A Persist is carried out: a crash cannot undo it. Then follow the drain rule."""
        self.storage.ledger.disk.persisted(now, ticket)
        self._settle(now)

    def persist_failed(self, now: float, ticket: int, reason: str) -> None:
        """A Persist could not be carried out: the disk has what it had, or nobody knows. Then follow the drain rule."""
        self.storage.ledger.disk.failed(now, ticket, reason)
        self._settle(now)

    def restore(self, now: float, records: Iterable[tuple[bytes, bytes]]) -> int:
        """Before anything else, and with the wall clock set: what all Persists of earlier runs have left, in the order
        of the keys. Each value is verified again; gives the number of those that are back."""
        return self.storage.ledger.restore(now, records)

    def wake(self, now: float) -> None:
        """The deadline has passed. Then follow the drain rule."""
        self.topology.liveness.check(now)
        self.timers.run_due(now)
        self._settle(now)

    # --- outputs for the driver ----------------------------------------------------------------------

    def sends(self) -> list[tuple[int, bytes]]:
        """The bytes to write, joined per link."""
        return self.switch.sends()

    def actions(self) -> list[Action]:
        self.storage.ledger.disk.flush()
        actions, self._actions = self._actions, []
        return actions

    @property
    def deadline(self) -> float | None:
        """When to call `wake`, in the driver's monotonic seconds."""
        timer, silence = self.timers.deadline, self.topology.liveness.deadline
        if silence == inf:
            return timer
        return silence if timer is None or silence < timer else timer

    @property
    def counters(self) -> dict[str, int]:
        """Everything that was counted, by name."""
        return {**self.switch.counters, **self._counts}

    # --- wishes of the owner -------------------------------------------------------------------------

    def start_overlay(self, now: float) -> None:
        """Be the first node of the overlay. Never on its own decision (RFC 6940 6.4.2.1): the owner says so."""
        self.topology.start(now)
        self._settle(now)

    def join(
        self, now: float, bootstrap: Sequence[Address], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        """Become a peer (10.5). Tries again until it succeeds or `leave`; outcome: None, once part of the ring."""
        self.topology.join(now, bootstrap, done)
        self._settle(now)

    def connect(
        self, now: float, bootstrap: Sequence[Address], done: Callable[[float, RequestFailed | None], None]
    ) -> None:
        """Be a client of a bootstrap peer (4.2.1): no Join; everything is routed through it. Outcome: None."""
        self.topology.connect(now, bootstrap, done)
        self._settle(now)

    def leave(self, now: float) -> None:
        """Hand the data on, send Leave, and then the action Left (10.9)."""
        self.topology.leave(now)
        self._settle(now)

    def ping(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        done: Callable[[float, Pong | RequestFailed], None],
    ) -> None:
        """Outcome: Pong."""
        self.pings.ping(now, destination_list, done)
        self._settle(now)

    def store(
        self,
        now: float,
        resource: bytes,
        kind: int,
        values: Sequence[NewValue],
        done: Callable[[float, Stored | RequestFailed], None],
        generation: int = 0,
    ) -> None:
        """Sign and store values of one Kind (7.4.1), all or none. Outcome: Stored.

        generation: only if the counter is this; 0: whatever it is. Refused with GENERATION_COUNTER_TOO_LOW or
        DATA_TOO_OLD, fetch what others wrote; the next value is newer than that."""
        self.writer.store(now, resource, kind, values, done, generation)
        self._settle(now)

    def fetch(
        self,
        now: float,
        resource: bytes,
        kind: int,
        done: Callable[[float, Fetched | RequestFailed], None],
        which: Sequence[bytes | ArrayRange] = (),
    ) -> None:
        """All values of a Kind (7.4.2), each checked for its signature and for the Kind's access control; asked for on
        several ways and of several holders, until one proves itself.

        which: keys of a dictionary or ranges of an array; by default all. Outcome: Fetched."""
        self.writer.fetch(now, resource, kind, done, which)
        self._settle(now)

    def app_attach(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        application: int,
        check: Callable[[Certificate], str | None],
        done: Callable[[float, AppConnection | RequestFailed], None],
    ) -> None:
        """A direct connection for an application (6.5.2), 1 to 65534. check: None, or why this certificate will not do.

        Outcome: AppConnection."""
        self.app_attaches.start(now, destination_list, application, check, done)
        self._settle(now)

    def register_application(self, application: int, accept: Callable[[float, AppConnection], bool]) -> None:
        """Answer AppAttaches for an Application-ID, 1 to 65534; accept says whether an authenticated connection is
        taken."""
        self.app_attaches.register(application, accept)

    # --- for the parts -------------------------------------------------------------------------------

    def wall_ms(self, now: float) -> int:
        """Milliseconds since 1970."""
        return int(now * 1000 + self._wall_offset_ms)

    def ticket(self) -> int:
        self._tickets += 1
        return self._tickets

    def act(self, action: Action) -> None:
        self._actions.append(action)

    def notice(self, level: str, text: str) -> None:
        self._actions.append(Notice(level, text))

    def count(self, name: str, by: int = 1) -> None:
        self._counts[name] += by

    def verify_link(self, now: float, certificates: Sequence[bytes]) -> Certificate:
        """The certificate of a connection, checked. TrustError otherwise."""
        certificate = self.verifier.link(certificates, self.wall_ms(now))
        if self.node_id in certificate.node_ids:
            raise TrustError("the certificate is for our own Node-ID")
        return certificate

    def verify_value(
        self, now: float, resource: bytes, kind: int, data: StoredData, bucket: Sequence[GenericCertificate]
    ) -> Signer:
        """Who signed a stored value (7.1); what the signer may write is the Kind's to say. TrustError otherwise."""
        signed = codec.value_signature_input(resource, kind, data.storage_time, data.value, data.signature.identity)
        return self.verifier.verify(data.signature, signed, bucket, self.wall_ms(now))

    def request(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        code: int,
        body: Body | bytes,
        done: Callable[[float, Answer | RequestFailed], None],
        *,
        link: int = NO_LINK,
        certificates: Sequence[GenericCertificate] = (),
        transmissions: int = limits.MAX_TRANSMISSIONS,
    ) -> int:
        """Send a request (6.2.1) and keep at it; gives its transaction id. link: go out there whatever the tables say.

        certificates: of the signers of values inside, for the bucket (6.3.4). transmissions: of this request."""
        for entry in destination_list:
            if entry.type in (_NODE, _RESOURCE):
                break
        else:
            raise StateError("the destination list names no node and no resource: nobody could answer (6.2.1)")
        transaction_id = self.rng.getrandbits(64)
        contents = codec.encode_contents(code, body)
        header = self._header(transaction_id, destination_list)
        message = codec.assemble(header, contents, self._sign(transaction_id, contents, certificates))
        self.transactions.send(now, transaction_id, message, code, destination_list, link, done, transmissions)
        return transaction_id

    def answer(
        self,
        now: float,
        request: Request,
        code: int,
        body: Body | bytes,
        certificates: Sequence[GenericCertificate] = (),
    ) -> None:
        """Answer a request over the way it came (6.2.2)."""
        contents = codec.encode_contents(code, body)
        kept = KeptAnswer(contents, self._sign(request.transaction_id, contents, certificates))
        message = self._answer_message(request.message.header, request.previous_hop, kept)
        # What is above max-message-size would be dropped, and the asker wait in vain (notes 3.10).
        carried = self.overlay.max_message_size
        if len(message) > min(request.message.header.max_response_length or carried, carried) and code != _ERROR:
            self.refuse(now, request, ErrorCode.RESPONSE_TOO_LARGE)
            return
        if request.message.code in _KEPT_CODES:
            self.transactions.keep(request.signer.node_id, request.transaction_id, kept)
        self.switch.originate(now, message)
        self._settle(now)

    def refuse(self, now: float, request: Request, code: ErrorCode, text: str = "", info: bytes = b"") -> None:
        """Answer with an Error (6.3.3.1)."""
        self.count(f"refused_{code.name.lower()}")
        if code == ErrorCode.FORBIDDEN:  # somebody claims what is not its own
            kind = Code(request.message.code).name
            self._complain(now, f"refused a {kind} of node {request.signer.node_id.hex()}: {text}")
        self.answer(now, request, Code.ERROR, ErrorResponse(code, info or text.encode()))

    # --- the way of a local message ------------------------------------------------------------------

    def _settle(self, now: float) -> None:
        """Handle what the switch put into the inbox; what we send to ourselves comes back through it."""
        if self._settling:
            return
        self._settling = True
        try:
            while self.switch.has_inbox:
                # All signatures first, then all that is done about them: each finds its code and data in the caches
                # still (bench/README.md).
                for verified in [self._verify(now, received) for received in self.switch.take_inbox()]:
                    if verified is not None:
                        self._deliver(now, verified)
        finally:
            self._settling = False

    def _verify(self, now: float, received: Received) -> Request | None:
        """A message from the inbox, decoded and its signature checked; None if there is nothing more to do with it."""
        if received.verdict is _DELIVER and is_fragment(received.message):
            whole = self.fragments.join(now, received.link, received.message)
            if whole is None:
                return None
            received = received._replace(message=whole)
        if received.verdict is not _DELIVER and received.verdict is not _UNATTACHED:
            self._refuse_transit(now, received)
            return None
        try:
            message = codec.decode_message(received.message, self.overlay.node_id_length, self.kinds.models)
        except WireError as error:
            self.count("drop_malformed")
            self._complain(now, f"dropped a malformed message: {error}")
            return None
        previous_hop = self.node_id if received.link == SELF else self.switch.node_of(received.link)
        if previous_hop is None:
            return None  # the link closed within this turn: nobody to answer
        security = message.security
        try:
            signer = self.verifier.verify(
                security.signature, codec.signature_input(received.message), security.certificates, self.wall_ms(now)
            )
        except TrustError as error:  # 6.3.4: dropped, never processed, no answer
            self.count("drop_bad_signature")
            self._complain(now, f"dropped a message that came through {previous_hop.hex()}: {error}")
            return None
        request = Request(received.link, previous_hop, message, signer, received.message)
        if received.verdict is _UNATTACHED:
            self.attach.admit(now, request)
            return None
        return request

    def _deliver(self, now: float, verified: Request) -> None:
        """What was verified, a request or an answer."""
        code = verified.message.code
        if code == _ERROR or code % 2 == 0:
            self.transactions.receive(now, verified.message, verified.signer, verified.encoded)
        else:
            self._handle(now, verified)

    def _handle(self, now: float, request: Request) -> None:
        requester, transaction_id = request.signer.node_id, request.transaction_id
        if self.transactions.is_repeat(requester, transaction_id):
            kept = self.transactions.kept(requester, transaction_id)
            self.count("repeated_requests")
            if kept is not None:
                self.switch.originate(now, self._answer_message(request.message.header, request.previous_hop, kept))
            return
        if request.message.code in _KEPT_CODES:
            self.transactions.begin(now, requester, transaction_id)
        try:
            self._check(request)
            handler = self._handlers.get(request.message.code)
            if handler is None:
                raise Refuse(ErrorCode.INVALID_MESSAGE, f"message code {request.message.code} is not known here")
            self.count("requests_handled")
            handler(now, request)
        except Refuse as refusal:
            self.refuse(now, request, refusal.code, refusal.text, refusal.info)

    def _check(self, request: Request) -> None:
        """What holds for every request: configuration sequence, extensions, options."""
        header = request.message.header
        if header.configuration_sequence != self.overlay.sequence:  # 6.3.2.1, compared modulo 65535 (notes 2.13)
            old = 0 < (self.overlay.sequence - header.configuration_sequence) % CONFIG_SEQUENCE_ANY < 32768
            raise Refuse(ErrorCode.CONFIG_TOO_OLD if old else ErrorCode.CONFIG_TOO_NEW)
        for extension in request.message.extensions:
            if extension.critical:  # 6.3.3: none is defined, so none is understood
                raise Refuse(ErrorCode.UNKNOWN_EXTENSION, f"extension {extension.type}")
        for option in header.options:
            if option.flags & OptionFlags.DESTINATION_CRITICAL:  # 6.3.2.3: none is understood either
                raise Refuse(ErrorCode.UNSUPPORTED_FORWARDING_OPTION, f"option {option.type}")

    def _refuse_transit(self, now: float, received: Received) -> None:
        """An Error for a message that is not for us and cannot go on; its signature is not ours to check."""
        if not self.tuning.answers_bad_headers:
            self.count("drop_transit_error_silent")
            return
        try:
            header = codec.decode_struct(ForwardingHeader, header_of(received.message), self.overlay.node_id_length)
        except WireError as error:
            self.count("drop_malformed")
            self._complain(now, f"dropped a malformed message: {error}")
            return
        previous_hop = self.switch.node_of(received.link)
        if previous_hop is None or self.switch.link_of(previous_hop) == NO_LINK:
            self.count("drop_transit_error_nobody")  # closed within this turn, or not attached yet (6.1.2)
            return
        if len(header.via_list) >= limits.MAX_DESTINATIONS:  # nobody would carry it back, nor is there always room
            self.count("drop_transit_error_long_way")
            return
        second, made = self._transit_errors
        made = made + 1 if second == int(now) else 1
        self._transit_errors = (int(now), made)
        if made > limits.TRANSIT_ERRORS_PER_SECOND:  # each costs a signature: a flood must not buy them
            self.count("drop_transit_error_rate")
            return
        self.count(f"transit_{received.verdict.name.lower()}")
        contents = codec.encode_contents(Code.ERROR, ErrorResponse(_TRANSIT_ERRORS[received.verdict]))
        kept = KeptAnswer(contents, self._sign(header.transaction_id, contents))
        self.switch.originate(now, self._answer_message(header, previous_hop, kept))

    def _answer_message(self, asked: ForwardingHeader, previous_hop: bytes, answer: KeptAnswer) -> bytes:
        """6.2.2: to the previous hop, then back along the via list of the request (notes 2.1)."""
        options = asked.options and tuple(
            ForwardingOption(option.type, 0, option.option)  # 6.3.2.3: copied with all flags cleared
            for option in asked.options
            if option.flags & OptionFlags.RESPONSE_COPY
        )
        way = (Destination(_NODE, previous_hop), *reversed(asked.via_list))
        return codec.assemble(self._header(asked.transaction_id, way, options), answer.contents, answer.security)

    def _header(
        self,
        transaction_id: int,
        destination_list: tuple[Destination, ...],
        options: tuple[ForwardingOption, ...] = (),
    ) -> ForwardingHeader:
        overlay = self.overlay
        ttl = overlay.initial_ttl
        return ForwardingHeader(
            self.switch.overlay, overlay.sequence, ttl, transaction_id, destination_list, (), options
        )

    def _sign(
        self, transaction_id: int, contents: bytes, certificates: Sequence[GenericCertificate] = ()
    ) -> SecurityBlock:
        """6.3.4: overlay || transaction_id || MessageContents || SignerIdentity; each certificate once."""
        start = (self.switch.overlay << 64 | transaction_id).to_bytes(12, "big")
        bucket = self.identity.certificates
        if certificates:
            bucket = tuple(dict.fromkeys((*bucket, *certificates)))
        return SecurityBlock(bucket, self.identity.sign(start + contents + self._signer))

    def _complain(self, now: float, text: str) -> None:
        """A Notice about a bad message: the same again within a second says nothing, the counters have them all."""
        last, since = self._last_complaint
        if text != last or now - since >= 1:
            self._last_complaint = (text, now)
            self.notice("warning", text)
