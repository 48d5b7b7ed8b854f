"""AppAttach: a direct connection for an application (RFC 6940 6.5.2), over plain TLS on TCP (notes 8.11, 8.12).

The requester is TLS server on a port opened for this one AppAttach; the answerer connects. Which connection it is
follows from that port and from the certificate: it must be of the node that the destination list ends at.
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.actions import Address, ClosePort, Dial, OpenPort, Purpose
from xor_fast.core.candidates import addresses_of, candidates_of
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import Answer
from xor_fast.errors import ErrorCode, RequestFailed, StateError, TrustError
from xor_fast.messages import AppAttachReqAns, Code, Destination, DestinationType
from xor_fast.trust.certificates import Certificate

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class AppConnection(NamedTuple):
    """An authenticated connection, to be taken from the driver by its ticket.

    initiator: we sent the AppAttach."""

    ticket: int
    certificate: Certificate
    node_id: bytes
    initiator: bool
    application: int


Check = Callable[[Certificate], str | None]
Connected = Callable[[float, AppConnection | RequestFailed], None]


class _Offer:
    """An AppAttach of ours: from the opened port to the connection."""

    __slots__ = ("application", "check", "destination_list", "done", "timer", "transaction_id")

    def __init__(
        self, destination_list: tuple[Destination, ...], application: int, check: Check, done: Connected
    ) -> None:
        self.destination_list = destination_list
        self.application = application
        self.check = check
        self.done = done
        self.transaction_id: int | None = None
        self.timer: Timer | None = None

    @property
    def node_id(self) -> bytes:
        return self.destination_list[-1].value


class _Answered(NamedTuple):
    """An AppAttach of another that we answered: we connect to it."""

    node_id: bytes
    application: int


def check_application(application: int) -> None:
    """Raises StateError for an Application-ID that no application can have (14.5)."""
    if not 0 < application < 0xFFFF:
        raise StateError(f"Application-ID {application}: 0 is invalid and 65535 reserved; take one from 1 to 65534")


class AppAttach:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._offers: dict[int, _Offer] = {}
        self._answered: dict[int, _Answered] = {}
        self.applications: dict[int, Callable[[float, AppConnection], bool]] = {}
        self.handlers: Handlers = {Code.APP_ATTACH_REQ: self._on_app_attach}

    # --- as requester --------------------------------------------------------------------------------

    def start(
        self, now: float, destination_list: tuple[Destination, ...], application: int, check: Check, done: Connected
    ) -> None:
        if not destination_list or destination_list[-1].type != DestinationType.NODE:
            raise StateError("an AppAttach goes to a node: its destination list must end with a Node-ID")
        check_application(application)
        if len(self._offers) >= limits.MAX_APP_PORTS:
            self._node.count("refused_own_app_attaches")
            done(now, RequestFailed(ErrorCode.IN_PROGRESS, "too many AppAttaches of our own are under way"))
            return
        ticket = self._node.ticket()
        offer = self._offers[ticket] = _Offer(destination_list, application, check, done)
        self._node.act(OpenPort(ticket))
        offer.timer = self._node.timers.at(
            now + limits.APP_ATTACH_TIMEOUT,
            lambda now: self._end(now, ticket, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "no connection came")),
        )

    def port_opened(self, now: float, ticket: int, addresses: Sequence[Address]) -> None:
        offer = self._offers.get(ticket)
        if offer is None:
            return
        body = AppAttachReqAns(b"", b"", offer.application, b"passive", candidates_of(addresses))
        offer.transaction_id = self._node.request(
            now,
            offer.destination_list,
            Code.APP_ATTACH_REQ,
            body,
            lambda now, outcome: self._on_answer(now, ticket, outcome),
        )

    def _on_answer(self, now: float, ticket: int, outcome: Answer | RequestFailed) -> None:
        offer = self._offers.get(ticket)
        if offer is None:
            return
        offer.transaction_id = None
        if isinstance(outcome, RequestFailed):
            self._end(now, ticket, outcome)
        elif isinstance(outcome.body, AppAttachReqAns) and outcome.body.application != offer.application:
            self._end(now, ticket, RequestFailed(ErrorCode.INVALID_MESSAGE, "the answer names another application"))

    def _end(self, now: float, ticket: int, outcome: AppConnection | RequestFailed) -> None:
        offer = self._offers.pop(ticket)
        if offer.timer is not None:
            offer.timer.cancel()
        if offer.transaction_id is not None:
            self._node.transactions.cancel(offer.transaction_id)
        self._node.act(ClosePort(ticket))
        offer.done(now, outcome)

    # --- as answerer ---------------------------------------------------------------------------------

    def register(self, application: int, accept: Callable[[float, AppConnection], bool]) -> None:
        check_application(application)
        self.applications[application] = accept

    def _on_app_attach(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, AppAttachReqAns)
        if body.application not in self.applications:
            raise Refuse(ErrorCode.NOT_FOUND, f"application {body.application} is not served here")  # 6.5.2.2
        if body.role != b"passive":
            raise Refuse(ErrorCode.INVALID_MESSAGE, "the role of an AppAttach request is passive")
        addresses = addresses_of(body.candidates)
        if not addresses:
            raise Refuse(ErrorCode.INCOMPATIBLE_WITH_OVERLAY, "no candidate of type TLS-TCP-FH-NO-ICE")
        theirs = sum(answered.node_id == request.signer.node_id for answered in self._answered.values())
        if len(self._answered) >= limits.MAX_DIALS or theirs >= limits.MAX_APP_DIALS_PER_NODE:
            raise Refuse(ErrorCode.IN_PROGRESS, "too many connections are being made")
        ticket = self._node.ticket()
        self._answered[ticket] = _Answered(request.signer.node_id, body.application)
        answer = AppAttachReqAns(b"", b"", body.application, b"active", candidates_of(self._node.addresses))
        self._node.answer(now, request, Code.APP_ATTACH_ANS, answer)
        self._node.act(Dial(ticket, addresses, Purpose.APPLICATION))

    # --- what the driver reports ---------------------------------------------------------------------

    def connection_up(self, now: float, ticket: int, certificates: Sequence[bytes]) -> bool:
        answered = self._answered.pop(ticket, None)
        offer = self._offers.get(ticket)
        if answered is None and offer is None:
            return False  # too late: the port is closed already
        try:
            certificate = self._node.verify_link(now, certificates)
        except TrustError as error:
            self._refused(f"{error}")
            return False
        if answered is not None:
            return self._dialled(now, ticket, answered, certificate)
        assert offer is not None
        return self._accepted(now, ticket, offer, certificate)

    def _dialled(self, now: float, ticket: int, answered: _Answered, certificate: Certificate) -> bool:
        if certificate.node_id != answered.node_id:  # 6.5.1.13: must match the sender of the request
            self._refused(
                f"AppAttach was from node {answered.node_id.hex()}, the certificate is of {certificate.node_id.hex()}"
            )
            return False
        connection = AppConnection(ticket, certificate, certificate.node_id, False, answered.application)
        accept = self.applications.get(answered.application)
        return accept is not None and accept(now, connection)

    def _accepted(self, now: float, ticket: int, offer: _Offer, certificate: Certificate) -> bool:
        if certificate.node_id != offer.node_id:
            # XEP-0415 6.1: the certificate must carry the last Node-ID of the destination list. The port stays open
            # for the right one: a stranger who connects first must not end the attempt.
            self._refused(
                f"AppAttach was to node {offer.node_id.hex()}, the certificate is of {certificate.node_id.hex()}"
            )
            return False
        reason = offer.check(certificate)
        if reason is not None:
            self._refused(reason)
            self._end(now, ticket, RequestFailed(ErrorCode.FORBIDDEN, reason))
            return False
        self._end(now, ticket, AppConnection(ticket, certificate, certificate.node_id, True, offer.application))
        return True

    def dial_failed(self, now: float, ticket: int, reason: str) -> bool:
        """Was this ticket one of ours?"""
        if self._answered.pop(ticket, None) is not None:
            self._node.count("failed_app_dials")
            return True
        if ticket in self._offers:
            self._end(now, ticket, RequestFailed(ErrorCode.REQUEST_TIMEOUT, reason))
            return True
        return False

    def _refused(self, reason: str) -> None:
        self._node.count("refused_app_connections")
        self._node.notice("warning", f"refused an application connection: {reason}")
