"""Requests under way and answers kept: retransmission, answers matched and checked, duplicates answered alike.

RFC 6940 6.2.1 (end-to-end reliability), 6.3.4 (which node may answer), notes 2.7 to 2.12.
"""

from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, NamedTuple

from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.cext.switch import SELF, Verdict
from xor_fast.core.timers import Timer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import (
    WILDCARD_NODE_ID,
    Body,
    Code,
    Destination,
    DestinationType,
    ErrorResponse,
    Message,
    SecurityBlock,
)
from xor_fast.trust.signatures import Signer

if TYPE_CHECKING:
    from xor_fast.core.node import Node

NO_LINK = -1
# An enum finds its members by a call of Python (3.11: 150 ns); these are asked for with each message.
_ERROR = Code.ERROR
_NODE = DestinationType.NODE
_RESOURCE = DestinationType.RESOURCE
_TOO_LARGE = Verdict.TOO_LARGE
_DROPPED = Verdict.DROPPED

_STRUCTURED = (ErrorCode.GENERATION_COUNTER_TOO_LOW, ErrorCode.UNKNOWN_KIND)
# Errors that a node on the way makes: it is not the target, so they cannot end a request, but if no answer comes
# they tell why (notes 2.7).
TRANSIT_ERRORS = frozenset(
    {
        ErrorCode.INCOMPATIBLE_WITH_OVERLAY,
        ErrorCode.UNSUPPORTED_FORWARDING_OPTION,
        ErrorCode.TTL_EXCEEDED,
        ErrorCode.MESSAGE_TOO_LARGE,
    }
)


def _said(error: ErrorResponse) -> str:
    """error_info as one line: text in UTF-8, unless the error has a structure there (6.3.3.1)."""
    if error.error_code in _STRUCTURED:
        return ""
    text = error.error_info.decode("utf-8", "replace")
    return "".join(letter if letter.isprintable() else "?" for letter in text)


class Answer(NamedTuple):
    """The verified success answer to a request. hops: nodes that forwarded it on the way back; rtt in seconds; encoded:
    the message as it came."""

    body: Body | bytes
    signer: Signer
    message: Message
    hops: int
    rtt: float
    encoded: bytes


Done = Callable[[float, Answer | RequestFailed], None]


class _Pending:
    __slots__ = (
        "code",
        "done",
        "first_hop",
        "hint",
        "left",
        "link",
        "message",
        "sent_at",
        "timer",
        "transmissions",
        "tried",
        "until",
        "way",
    )

    def __init__(self, message: bytes, code: int, way: tuple[Destination, ...], link: int, done: Done) -> None:
        self.message = message
        self.code = code
        self.way = way  # its destination list
        self.link = link  # NO_LINK: by the routing table, anew for each transmission
        self.done = done
        self.first_hop = NO_LINK
        self.tried: set[int] = set()  # first hops that brought no answer
        self.transmissions = 0
        self.left = limits.MAX_TRANSMISSIONS  # 6.2.1: five in all
        self.until = 0.0  # when the request's life ends
        self.sent_at = 0.0
        self.hint: ErrorResponse | None = None
        self.timer: Timer | None = None


class KeptAnswer(NamedTuple):
    """What a retransmitted request is answered with; the route is made anew from its via list (notes 2.12)."""

    contents: bytes
    security: SecurityBlock


class Transactions:
    def __init__(self, node: "Node") -> None:
        self._node = node
        self._pending: dict[int, _Pending] = {}
        self._kept: OrderedDict[tuple[bytes, int], KeptAnswer | None] = OrderedDict()  # the oldest first
        self._kept_until: dict[tuple[bytes, int], float] = {}
        self._kept_bytes = 0
        self._forgetting: Timer | None = None

    def __len__(self) -> int:
        return len(self._pending)

    @property
    def lifetime(self) -> float:
        """How long a request lives, its repeats and late answers included (notes 2.10)."""
        return self._node.overlay.reliability_timer * limits.MAX_TRANSMISSIONS

    # --- requests ----------------------------------------------------------------------------------

    def send(
        self,
        now: float,
        transaction_id: int,
        message: bytes,
        code: int,
        way: tuple[Destination, ...],
        link: int,
        done: Done,
        transmissions: int = limits.MAX_TRANSMISSIONS,
    ) -> None:
        """Send a request and keep at it. way: its destination list. transmissions: fewer than five leave the asker to
        try other ways meanwhile; an answer is waited for as long all the same."""
        if len(self._pending) >= limits.MAX_REQUESTS:
            self._node.count("refused_own_requests")
            done(now, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "too many requests of our own are under way"))
            return
        pending = self._pending[transaction_id] = _Pending(message, code, way, link, done)
        pending.left = transmissions
        pending.until = now + self.lifetime
        self._transmit(now, transaction_id, pending)

    def cancel(self, transaction_id: int) -> None:
        """Forget a request; its `done` is never called."""
        pending = self._pending.pop(transaction_id, None)
        if pending is not None and pending.timer is not None:
            pending.timer.cancel()

    def link_down(self, now: float, link: int, reason: str) -> None:
        """What went out over a link that has just died is sent again at once: waiting would gain nothing."""
        for transaction_id, pending in list(self._pending.items()):
            if transaction_id not in self._pending:
                continue  # ended by what the end of another set off
            if pending.link == link:
                self._fail(now, transaction_id, ErrorCode.REQUEST_TIMEOUT, f"the link was lost: {reason}")
            elif pending.first_hop == link and pending.timer is not None:
                pending.timer.cancel()
                pending.timer = self._node.timers.at(now, partial(self._expired, transaction_id))

    def _transmit(self, now: float, transaction_id: int, pending: _Pending) -> None:
        pending.transmissions += 1
        pending.left -= 1
        pending.sent_at = now
        link = pending.link if pending.link != NO_LINK else self._another_hop(pending)
        pending.first_hop = link if link != NO_LINK else self._node.switch.first_hop(pending.message)
        verdict = self._node.switch.originate(now, pending.message, link)
        if verdict is _TOO_LARGE:
            limit = self._node.overlay.max_message_size
            text = f"the message has {len(pending.message)} bytes, this overlay allows {limit}"
            self._fail(now, transaction_id, ErrorCode.MESSAGE_TOO_LARGE, text)
            return
        if verdict is _DROPPED:
            self._node.count("originate_dropped")
        again = now + self._node.overlay.reliability_timer
        when = again if pending.left else max(again, pending.until)
        pending.timer = self._node.timers.at(when, partial(self._expired, transaction_id))

    def _another_hop(self, pending: _Pending) -> int:
        """A first hop that has not been tried: who drops a message once will drop it again. NO_LINK: the usual one, as
        for all that goes straight to its first entry (6.2.1)."""
        switch, first = self._node.switch, pending.way[0]
        if not pending.tried or first.type not in (_NODE, _RESOURCE):
            return NO_LINK
        if len(first.value) != len(self._node.node_id) or switch.first_hop(pending.message) == SELF:
            return NO_LINK
        if first.type == _NODE and switch.link_of(first.value) != NO_LINK:
            return NO_LINK
        hops = self._node.ring.next_hops(first.value, limits.MAX_FIRST_HOPS)
        links = [switch.link_of(hop) for hop in hops]
        return next((link for link in links if link != NO_LINK and link not in pending.tried), NO_LINK)

    def _expired(self, transaction_id: int, now: float) -> None:
        pending = self._pending[transaction_id]
        pending.tried.add(pending.first_hop)
        if pending.left:
            self._node.count("retransmitted")
            self._transmit(now, transaction_id, pending)
        elif pending.hint is not None:
            self._fail(now, transaction_id, pending.hint.error_code, _said(pending.hint) or "said a node on the way")
        else:
            self._fail(now, transaction_id, ErrorCode.REQUEST_TIMEOUT, f"no answer to {pending.transmissions} sendings")

    def _fail(
        self, now: float, transaction_id: int, code: int, text: str, info: bytes = b"", said_by: bytes = b""
    ) -> None:
        pending = self._pending[transaction_id]
        self.cancel(transaction_id)
        pending.done(now, RequestFailed(code, text, info, said_by))

    # --- answers to our requests ---------------------------------------------------------------------

    def receive(self, now: float, message: Message, signer: Signer, encoded: bytes) -> None:
        """A verified answer (or Error) addressed to us."""
        transaction_id = message.header.transaction_id
        pending = self._pending.get(transaction_id)
        if pending is None:
            self._node.count("drop_late_answer")
            return
        if not self._may_answer(pending.way[-1], signer.node_id):
            self._wrong_node(pending, message)
            return
        if message.code == _ERROR:
            error = message.body
            assert isinstance(error, ErrorResponse)
            self._fail(now, transaction_id, error.error_code, _said(error), error.error_info, signer.node_id)
        elif message.code != pending.code + 1:
            self._node.count("drop_wrong_answer_code")
        else:
            self.cancel(transaction_id)
            hops = max(0, self._node.overlay.initial_ttl - message.header.ttl)
            pending.done(now, Answer(message.body, signer, message, hops, now - pending.sent_at, encoded))

    def _wrong_node(self, pending: _Pending, message: Message) -> None:
        if isinstance(message.body, ErrorResponse) and message.body.error_code in TRANSIT_ERRORS:
            pending.hint = message.body
            self._node.count("transit_errors_received")
        else:
            self._node.count("drop_answer_of_wrong_node")

    def _may_answer(self, target: Destination, node_id: bytes) -> bool:
        """RFC 6940 6.3.4, the two rules for responses."""
        if target.type == _NODE:
            return target.value in (node_id, WILDCARD_NODE_ID)
        if target.type != _RESOURCE:
            return True  # an opaque id says nothing of the node behind it
        if not self._node.ring.joined:
            return True
        distance = ids.distance(target.value, node_id)  # clockwise (notes 2.8)
        near = self._node.topology.neighbourhood.sides().both()
        return all(distance <= ids.distance(target.value, other) for other in near)

    # --- answers of ours, for duplicates -------------------------------------------------------------

    def is_repeat(self, requester: bytes, transaction_id: int) -> bool:
        return (requester, transaction_id) in self._kept

    def begin(self, now: float, requester: bytes, transaction_id: int) -> None:
        """A request that must not be carried out twice: from now on its repeats are told by `is_repeat`."""
        key = (requester, transaction_id)
        self._kept[key] = None
        self._kept_until[key] = now + self.lifetime
        while len(self._kept) > limits.MAX_KEPT_ANSWERS or self._kept_bytes > limits.MAX_KEPT_ANSWER_BYTES:
            self._node.count("kept_answers_pushed_out")
            self._forget(next(iter(self._kept)))
        if self._forgetting is None:
            self._forget_old(now)

    def keep(self, requester: bytes, transaction_id: int, answer: KeptAnswer) -> None:
        """The answer to a request that was begun."""
        key = (requester, transaction_id)
        if key in self._kept:
            self._kept[key] = answer
            self._kept_bytes += len(answer.contents)

    def kept(self, requester: bytes, transaction_id: int) -> KeptAnswer | None:
        """None: still being worked on; the answer will follow by itself."""
        return self._kept.get((requester, transaction_id))

    def _forget_old(self, now: float) -> None:
        """One timer for all: a flood of requests must not leave one behind for each."""
        self._forgetting = None
        while self._kept:
            oldest = next(iter(self._kept))
            if self._kept_until[oldest] > now:
                self._forgetting = self._node.timers.at(self._kept_until[oldest], self._forget_old)
                break
            self._forget(oldest)

    def _forget(self, key: tuple[bytes, int]) -> None:
        answer = self._kept.pop(key)
        del self._kept_until[key]
        if answer is not None:
            self._kept_bytes -= len(answer.contents)
