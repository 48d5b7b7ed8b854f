"""Attach: overlay links (RFC 6940 6.5.1), with TLS-TCP-FH-NO-ICE (6.6.5).

The node that sends the Attach is passive and TLS server; the one that answers connects to its candidates
(notes 4.1, 4.2). An Attach is not routing: a peer becomes a hop only with its first Update (`core/topology.py`).
"""

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address, Dial, Purpose
from xor_fast.core.candidates import addresses_of, candidates_of
from xor_fast.core.request import Handlers, Refuse, Request
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import NO_LINK, Answer
from xor_fast.errors import ErrorCode, RequestFailed, TrustError
from xor_fast.messages import AttachReqAns, Code, Destination, DestinationType

if TYPE_CHECKING:
    from xor_fast.core.node import Node

Attached = Callable[[float, bytes | RequestFailed], None]
"""done(now, Node-ID of the node we are linked with now)"""


class _Attempt:
    """An Attach of ours, from the request until its link is up."""

    __slots__ = ("addresses", "done", "has_yielded", "node_id", "timer", "transaction_id", "wants_full")

    def __init__(self, node_id: bytes | None, done: Attached) -> None:
        self.node_id = node_id  # None while the Attach goes to a Resource-ID: whoever answers (notes 4.4)
        self.done = done
        self.addresses: tuple[Address, ...] = ()  # of the answerer
        self.transaction_id: int | None = None  # None once answered or cancelled
        self.wants_full = False  # the answerer asked for our Update (notes 4.5)
        self.has_yielded = False  # to an Attach of the other side, which will bring the link
        self.timer: Timer | None = None


class _Dialling:
    """A connection we make: for the Attach of another (node_id known), or to a bootstrap node (None)."""

    __slots__ = ("addresses", "done", "node_id", "send_update")

    def __init__(
        self, addresses: tuple[Address, ...], node_id: bytes | None, send_update: bool, done: Attached | None
    ) -> None:
        self.addresses = addresses
        self.node_id = node_id
        self.send_update = send_update
        self.done = done


class Attach:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._attempts: list[_Attempt] = []
        self._dialling: dict[int, _Dialling] = {}
        self._several: dict[int, tuple[bytes, ...]] = {}  # links that have not attached: for whom they may speak
        self.handlers: Handlers = {Code.ATTACH_REQ: self._on_attach}

    # --- our own Attaches ----------------------------------------------------------------------------

    def is_attaching(self, node_id: bytes) -> bool:
        return any(attempt.node_id == node_id for attempt in self._attempts)

    def attach(
        self,
        now: float,
        destination_list: tuple[Destination, ...],
        done: Attached,
        *,
        send_update: bool = True,
        link: int = NO_LINK,
    ) -> None:
        """Get a link to the last destination; done when it is up (at once if it is already)."""
        target = destination_list[-1]
        node_id = target.value if target.type == DestinationType.NODE else None
        if len(self._attempts) >= limits.MAX_ATTACHES:
            self._node.count("refused_own_attaches")
            done(now, RequestFailed(ErrorCode.IN_PROGRESS, "too many Attaches of our own are under way"))
            return
        attempt = _Attempt(node_id, done)
        self._attempts.append(attempt)
        attempt.transaction_id = self._node.request(
            now,
            destination_list,
            Code.ATTACH_REQ,
            self._body(b"passive", send_update),
            lambda now, outcome: self._answered(now, attempt, outcome),
            link=link,
        )

    def dial_bootstrap(self, now: float, addresses: Sequence[Address], done: Attached) -> None:
        """Connect to the first bootstrap node that can be reached (11.4); any member of the overlay will do."""
        self._dial(_Dialling(tuple(addresses), None, False, done))

    def _answered(self, now: float, attempt: _Attempt, outcome: Answer | RequestFailed) -> None:
        attempt.transaction_id = None
        if attempt not in self._attempts:  # the connection was there before the answer, which still tells addresses
            if not isinstance(outcome, RequestFailed) and isinstance(outcome.body, AttachReqAns):
                addresses = addresses_of(outcome.body.candidates)
                self._node.topology.partition.remember(now, outcome.signer.node_id, addresses)
            return
        if isinstance(outcome, RequestFailed):
            if outcome.code == ErrorCode.IN_PROGRESS and attempt.node_id is not None:
                attempt.has_yielded = True  # 6.5.1.2: their Attach goes on
                self._await_link(now, attempt)
            else:
                self._end(now, attempt, outcome)
            return
        assert isinstance(outcome.body, AttachReqAns)
        attempt.node_id = outcome.signer.node_id
        attempt.wants_full = outcome.body.send_update
        attempt.addresses = addresses_of(outcome.body.candidates)
        if attempt.node_id == self._node.node_id:
            self._end(now, attempt, RequestFailed(ErrorCode.NOT_FOUND, "the Attach came back to ourselves"))
        elif self._node.switch.link_of(attempt.node_id) != NO_LINK:
            self._node.topology.partition.remember(now, attempt.node_id, attempt.addresses)
            self._end(now, attempt, attempt.node_id)
            if attempt.wants_full:
                self._node.topology.updates.send_full(now, attempt.node_id)
        else:
            self._await_link(now, attempt)

    def _await_link(self, now: float, attempt: _Attempt) -> None:
        def too_late(now: float) -> None:
            self._end(now, attempt, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "Attach answered, but no connection came"))

        attempt.timer = self._node.timers.at(now + limits.ATTACH_TIMEOUT, too_late)

    def _end(self, now: float, attempt: _Attempt, outcome: bytes | RequestFailed) -> None:
        if attempt not in self._attempts:
            return
        self._attempts.remove(attempt)
        if attempt.timer is not None:
            attempt.timer.cancel()
        if attempt.transaction_id is not None and isinstance(outcome, RequestFailed):
            self._node.transactions.cancel(attempt.transaction_id)
        attempt.done(now, outcome)

    # --- Attaches of others --------------------------------------------------------------------------

    def _on_attach(self, now: float, request: Request) -> None:
        body = request.message.body
        assert isinstance(body, AttachReqAns)
        sender = request.signer.node_id
        if sender == self._node.node_id:
            raise Refuse(ErrorCode.INVALID_MESSAGE, "an Attach to oneself")
        if body.role != b"passive":
            raise Refuse(ErrorCode.INVALID_MESSAGE, "the role of an Attach request is passive")
        addresses = addresses_of(body.candidates)
        connected = self._node.switch.link_of(sender) != NO_LINK
        if not addresses and not connected:
            raise Refuse(ErrorCode.INCOMPATIBLE_WITH_OVERLAY, "no candidate of type TLS-TCP-FH-NO-ICE")
        if len(self._dialling) >= limits.MAX_DIALS:
            raise Refuse(ErrorCode.IN_PROGRESS, "too many connections are being made")
        self._break_tie(now, sender)
        self._node.answer(now, request, Code.ATTACH_ANS, self._body(b"active", False))
        self._note_attached(now, request)
        if connected:
            # The bootstrap link, say: a second connection between the same two would serve nobody.
            self._node.topology.partition.remember(now, sender, addresses)
            if body.send_update:
                self._node.topology.updates.send_full(now, sender)  # 6.4.2.3
        elif not any(dialling.node_id == sender for dialling in self._dialling.values()):
            self._dial(_Dialling(addresses, sender, body.send_update, None))

    def _break_tie(self, now: float, sender: bytes) -> None:
        """Both sides sent an Attach (6.5.1.2): the one of the larger Node-ID goes on."""
        for attempt in self._attempts:
            if attempt.node_id != sender or attempt.has_yielded:
                continue
            answered = attempt.transaction_id is None
            if answered or self._node.node_id > sender:
                raise Refuse(ErrorCode.IN_PROGRESS, "an Attach of ours to you is under way")
            assert attempt.transaction_id is not None
            self._node.transactions.cancel(attempt.transaction_id)
            attempt.transaction_id = None
            attempt.has_yielded = True
            self._await_link(now, attempt)

    def _dial(self, dialling: _Dialling) -> None:
        ticket = self._node.ticket()
        self._dialling[ticket] = dialling
        self._node.act(Dial(ticket, dialling.addresses, Purpose.LINK))

    # --- what the driver reports ---------------------------------------------------------------------

    def link_up(self, now: float, certificates: Sequence[bytes], ticket: int | None) -> int:
        dialling = self._dialling.pop(ticket, None) if ticket is not None else None
        try:
            node_ids = self._node.verify_link(now, certificates).node_ids
            node_id = self._name(node_ids, dialling)
        except TrustError as error:
            self._node.count("refused_links")
            self._node.notice("warning", f"refused a link: {error}")
            self._dial_over(now, dialling, RequestFailed(ErrorCode.FORBIDDEN, str(error)))
            return NO_LINK
        if node_id is None:
            return self._open_nameless(now, node_ids)
        link = self._node.switch.open_link(now, node_id)
        if link < 0:
            self._node.count("refused_links")
            self._node.notice("warning", f"refused a link with {node_id.hex()}: no room for more links")
            self._dial_over(now, dialling, RequestFailed(ErrorCode.FORBIDDEN, "no room for more links"))
            return NO_LINK
        self._node.count("links_opened")
        wants_full = dialling is not None and dialling.send_update
        if dialling is not None and dialling.node_id is not None:
            self._node.topology.partition.remember(now, node_id, dialling.addresses)
        for attempt in [attempt for attempt in self._attempts if attempt.node_id == node_id]:
            wants_full = wants_full or attempt.wants_full
            self._node.topology.partition.remember(now, node_id, attempt.addresses)
            self._end(now, attempt, node_id)
        self._dial_over(now, dialling, node_id)
        self._node.topology.linked(now, node_id, wants_full)  # 6.4.2.3: an Update once the connection is complete
        return link

    def _name(self, node_ids: Sequence[bytes], dialling: _Dialling | None) -> bytes | None:
        """For which of its certificate's Node-IDs a connection speaks; None: we cannot know yet."""
        expected = dialling.node_id if dialling is not None else None
        if expected is not None and expected not in node_ids:
            # 6.5.1.11: the certificate must match the node that sent the Attach; no other candidate is tried.
            raise TrustError(f"the Attach was from node {expected.hex()}, the certificate is of {node_ids[0].hex()}")
        if expected is not None or len(node_ids) == 1:
            return expected or node_ids[0]
        if dialling is not None:
            raise TrustError("the certificate names several Node-IDs: a bootstrap node needs one with a single Node-ID")
        return next((attempt.node_id for attempt in self._attempts if attempt.node_id in node_ids), None)

    # --- links that speak for one of several Node-IDs (6.1.2) -----------------------------------------

    def link_down(self, link: int) -> None:
        self._several.pop(link, None)

    def _open_nameless(self, now: float, node_ids: tuple[bytes, ...]) -> int:
        """As many of one certificate as a node may have links."""
        link = NO_LINK
        if sum(other == node_ids for other in self._several.values()) < limits.MAX_LINKS_PER_NODE:
            link = self._node.switch.open_link(now, bytes(len(node_ids[0])), is_bound=False)
        self._node.count("links_opened" if link >= 0 else "refused_links")
        if link >= 0:
            self._several[link] = node_ids
        return link

    def admit(self, now: float, request: Request) -> None:
        """What comes over such a link before its Attach with us. A Ping or an Attach goes on under the name that it is
        signed with, so that its answer comes back; other requests are refused (6.1.2)."""
        sender, code = request.signer.node_id, request.message.code
        is_own = sender in self._several.get(request.link, ()) and not request.message.header.via_list
        is_answer = code % 2 == 0 or code == Code.ERROR
        if not is_own or is_answer or not self._node.switch.bind_link(request.link, sender, False):
            self._node.count("drop_unattached")
        elif code in (Code.PING_REQ, Code.ATTACH_REQ):
            self._node.switch.pass_held(now, request.link, request.encoded)
        else:
            request = request._replace(previous_hop=sender)
            self._node.refuse(now, request, ErrorCode.FORBIDDEN, "attach first: your certificate has several Node-IDs")

    def _note_attached(self, now: float, request: Request) -> None:
        """A direct Attach with us tells for which Node-ID its link speaks."""
        if request.link in self._several and request.is_direct:
            del self._several[request.link]
            self._node.switch.bind_link(request.link, request.signer.node_id, True)
            self._node.topology.linked(now, request.signer.node_id, wants_full=False)

    def dial_failed(self, now: float, ticket: int, reason: str) -> None:
        dialling = self._dialling.pop(ticket, None)
        self._node.count("failed_dials")
        self._dial_over(now, dialling, RequestFailed(ErrorCode.REQUEST_TIMEOUT, reason))

    def _dial_over(self, now: float, dialling: _Dialling | None, outcome: bytes | RequestFailed) -> None:
        if dialling is not None and dialling.done is not None:
            dialling.done(now, outcome)

    def _body(self, role: bytes, send_update: bool) -> AttachReqAns:
        # ufrag and password belong to ICE; without it they are empty.
        return AttachReqAns(b"", b"", role, candidates_of(self._node.addresses), send_update)
