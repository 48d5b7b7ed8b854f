"""Resilient lookups: what is stored is found although peers on the way, or holders of it, are silent or lie.

The first request goes where routing takes it, and with no fault it is the only one. When no answer comes in time, the
next leaves over another first hop. Since all ways by Resource-ID end at the same last hops (10.3 leaves no choice),
the lookup then finds its own way (`core/search.py`) to the nodes behind the key, which hold the value or its replicas
(10.4). Each is fetched from by its Node-ID. Every request is a transaction of its own, sent once.

A value that proves itself ends the lookup. That there is nothing proves itself by nothing: one peer's word is not
enough for it, as long as another that should hold the value can be asked.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from xor_fast import limits
from xor_fast.core.search import Search, Step
from xor_fast.core.timers import Timer
from xor_fast.core.transactions import NO_LINK, TRANSIT_ERRORS, Answer
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Code, Destination, DestinationType, FetchReq, RouteQueryAns, RouteQueryReq

if TYPE_CHECKING:
    from xor_fast.core.node import Node

T = TypeVar("T")
_SILENT = frozenset({ErrorCode.REQUEST_TIMEOUT, *TRANSIT_ERRORS})  # nobody who holds anything has said this


class Finding(NamedTuple, Generic[T]):
    """What an answer is worth. is_proven: a value in it, a removed one too, proves itself. is_doubtful: none does, and
    some should have."""

    outcome: T
    is_proven: bool
    is_doubtful: bool


def _after(node_id: bytes) -> bytes:
    """The next place on the ring."""
    size = len(node_id)
    return ((int.from_bytes(node_id, "big") + 1) % (1 << 8 * size)).to_bytes(size, "big")


class Lookups:
    """What lookups have in common: how long an answer takes."""

    def __init__(self, node: "Node") -> None:
        self._node = node
        self._mean = 0.0  # of the round trips; 0.0: none yet
        self._deviation = 0.0

    def fetch(
        self,
        now: float,
        body: FetchReq,
        judge: Callable[[float, Answer], Finding[T]],
        done: Callable[[float, T | RequestFailed], None],
    ) -> None:
        """Outcome: what `judge` makes of the answer that ended it."""
        _Lookup(self._node, self, now, body, judge, done)

    @property
    def patience(self) -> float:
        """As RFC 6298 would have it, from the lookups of this node."""
        least, most = limits.LOOKUP_PATIENCE
        return min(max(self._mean + 4 * self._deviation, least), most) if self._mean else 1.0

    def measure(self, sample: float) -> None:
        if self._mean:
            self._deviation += (abs(sample - self._mean) - self._deviation) / 4
            self._mean += (sample - self._mean) / 8
        else:
            self._mean, self._deviation = sample, sample / 2


class _Ask:
    """One request of a lookup. step: of the search, None when the key's routing decides whom it reaches."""

    __slots__ = ("body", "code", "is_young", "link", "search", "step", "timer", "transaction_id", "way")

    def __init__(
        self,
        way: tuple[Destination, ...],
        code: int,
        body: FetchReq | RouteQueryReq,
        *,
        search: Search | None = None,
        step: Step | None = None,
        link: int = NO_LINK,
    ) -> None:
        self.way = way
        self.code = code
        self.body = body
        self.search = search
        self.step = step
        self.link = link
        self.transaction_id: int | None = None
        self.timer: Timer | None = None
        self.is_young = True


class _Lookup(Generic[T]):
    def __init__(
        self,
        node: "Node",
        lookups: Lookups,
        now: float,
        body: FetchReq,
        judge: Callable[[float, Answer], Finding[T]],
        done: Callable[[float, T | RequestFailed], None],
    ) -> None:
        self._node = node
        self._lookups = lookups
        self._body = body
        self._judge = judge
        self._done = done
        self._search: Search | None = None  # only when routing has brought nothing, twice
        self._words: dict[bytes, T | RequestFailed] = {}  # who should hold the value says that there is nothing
        self._hearsay: dict[bytes, T | RequestFailed] = {}  # what was said by peers that may not hold it
        self._doubtful: list[T | RequestFailed] = []  # values were sent, and none proved itself
        self._speaker: bytes | None = None  # the first that routing led to
        self._has_asked_behind = False
        self._open: set[_Ask] = set()
        self._sent = 0
        self._routed = 0
        self._silences = 0  # since the first word
        self._is_over = False
        self._idle: Timer | None = None
        self._end = node.timers.at(now + limits.LOOKUP_TIME, self._finish)
        self._advance(now)

    # --- sending -------------------------------------------------------------------------------------

    def _advance(self, now: float) -> None:
        """Send what is due. Until the search begins one request at a time: no fault, no cost."""
        while not self._is_over:
            young = sum(ask.is_young for ask in self._open)
            width = limits.LOOKUP_WIDTH if self._routed > 1 and not self._words else 1
            if young >= width:
                return
            ask = self._next() if self._sent < limits.LOOKUP_REQUESTS else None
            if ask is not None:
                self._send(now, ask)
            elif young:
                return
            elif self._sent >= limits.LOOKUP_REQUESTS or self._words:
                self._finish(now)
            elif self._idle is not None and (said := self._nearby()):
                self._conclude(now, said)
            else:
                self._wait(now)
                return

    def _wait(self, now: float) -> None:
        """Nobody is left to ask: the tables may be better in a moment, ours and those of others."""
        if self._idle is None or not self._idle.active:
            self._idle = self._node.timers.at(now + self._node.overlay.reliability_timer, self._try_again)

    def _try_again(self, now: float) -> None:
        self._search = None
        self._send(now, self._by_routing(self._body.resource))
        self._advance(now)

    def _send(self, now: float, ask: _Ask) -> None:
        self._sent += 1
        self._open.add(ask)
        ask.timer = self._node.timers.at(now + self._lookups.patience, partial(self._silent, ask))
        transaction_id = self._node.request(
            now, ask.way, ask.code, ask.body, partial(self._answered, ask), link=ask.link, transmissions=1
        )
        ask.transaction_id = transaction_id

    def _next(self) -> _Ask | None:
        """The most promising request that has not been made."""
        if not self._routed:
            return self._by_routing(self._body.resource)
        if self._speaker is not None and not self._has_asked_behind:
            # The next holder is the one after the peer that answered (10.4), reached over another first hop.
            self._has_asked_behind = True
            return self._by_routing(_after(self._speaker))
        if self._routed == 1:
            return self._by_routing(self._body.resource)
        if self._search is None:
            self._search = Search(self._node, self._body.resource)
        step = self._search.next()
        return None if step is None else self._by_own_way(self._search, step)

    def _by_routing(self, resource: bytes) -> _Ask:
        """Each time over another first hop, as long as there are others."""
        hops = self._node.ring.next_hops(self._body.resource, limits.MAX_FIRST_HOPS) if self._routed else []
        links = [self._node.switch.link_of(hop) for hop in hops]
        is_ours = self._node.ring.is_responsible(resource)
        link = NO_LINK if is_ours or not links else links[self._routed % len(links)]
        self._routed += 1
        return _Ask((Destination(DestinationType.RESOURCE, resource),), Code.FETCH_REQ, self._body, link=link)

    def _by_own_way(self, search: Search, step: Step) -> _Ask:
        way = tuple(Destination(DestinationType.NODE, hop) for hop in (*step.way, step.peer))
        if step.place is None:
            return _Ask(way, Code.FETCH_REQ, self._body, search=search, step=step)
        target = Destination(DestinationType.RESOURCE, step.place)
        return _Ask(way, Code.ROUTE_QUERY_REQ, RouteQueryReq(False, target), search=search, step=step)

    # --- answers -------------------------------------------------------------------------------------

    def _silent(self, ask: _Ask, now: float) -> None:
        """It may still be answered; we do not wait for it any longer."""
        if self._is_over:
            return
        ask.is_young = False
        if ask.search is not None and ask.step is not None:
            ask.search.silent(ask.step)
        self._no_word(now)

    def _no_word(self, now: float) -> None:
        self._silences += bool(self._words)
        if self._words and self._silences >= limits.LOOKUP_DOUBT:
            self._finish(now)
        else:
            self._advance(now)

    def _answered(self, ask: _Ask, now: float, outcome: Answer | RequestFailed) -> None:
        if self._is_over:
            return
        self._open.discard(ask)
        if ask.timer is not None:
            ask.timer.cancel()
        if isinstance(outcome, RequestFailed):
            if ask.transaction_id is None:
                self._end_with(now, outcome)  # it could not even be sent, and no more can another
            else:
                self._failed(now, ask, outcome)
            return
        self._lookups.measure(outcome.rtt)
        if isinstance(outcome.body, RouteQueryAns):
            if ask.search is not None and ask.step is not None:
                ask.search.answered(ask.step)
                ask.search.named(ask.step, outcome.body.next_peer)
            self._advance(now)
            return
        finding = self._judge(now, outcome)
        if finding.is_proven:
            self._end_with(now, finding.outcome)
        else:
            self._hear(now, ask, finding.outcome, outcome.signer.node_id, finding.is_doubtful)

    def _failed(self, now: float, ask: _Ask, outcome: RequestFailed) -> None:
        if outcome.code in _SILENT:
            if ask.is_young:
                self._silent(ask, now)
        elif ask.search is not None and ask.step is not None and ask.step.place is not None:
            ask.search.refused(ask.step)  # a word about its table, not about the value
            self._advance(now)
        else:
            self._hear(now, ask, outcome, outcome.said_by, is_doubtful=False)

    def _hear(self, now: float, ask: _Ask, outcome: T | RequestFailed, speaker: bytes, is_doubtful: bool) -> None:
        """Somebody says that there is nothing, or why it cannot say."""
        if ask.step is None and self._speaker is None:
            self._speaker = speaker
        if ask.search is not None and ask.step is not None:
            ask.search.answered(ask.step)
        if is_doubtful:
            self._doubtful.append(outcome)
        if ask.step is not None or is_doubtful:
            self._hearsay[speaker] = outcome
            self._no_word(now)
            return
        # Asked for the one behind it, it answered itself: there is no other. Else a second word, or we are alone.
        is_only_one = speaker in self._words and ask.way[0].value != self._body.resource
        self._words.setdefault(speaker, outcome)
        if is_only_one or len(self._words) > 1 or (self._node.ring.joined and not len(self._node.ring)):
            self._finish(now)
        else:
            self._advance(now)

    # --- the end -------------------------------------------------------------------------------------

    def _finish(self, now: float) -> None:
        """Nothing was proven: what those said that routing led to. What others said counts less when this search was
        cut short, for perhaps it has not come as far as those who hold the value."""
        nearby = self._nearby()
        silence = RequestFailed(ErrorCode.REQUEST_TIMEOUT, f"no holder answered to {self._sent} requests")
        said = [*self._words.values(), *self._doubtful] or (nearby if len(nearby) > 1 else [])
        self._conclude(now, said or [silence])

    def _nearby(self) -> list[T | RequestFailed]:
        """What was said by peers that are not too far behind the key."""
        search = self._search
        return [outcome for speaker, outcome in self._hearsay.items() if search is None or search.is_nearby(speaker)]

    def _conclude(self, now: float, said: list[T | RequestFailed]) -> None:
        nothing = [outcome for outcome in said if not isinstance(outcome, RequestFailed)]
        self._end_with(now, (nothing or said)[0])

    def _end_with(self, now: float, outcome: T | RequestFailed) -> None:
        self._is_over = True
        self._end.cancel()
        if self._idle is not None:
            self._idle.cancel()
        for ask in self._open:
            if ask.timer is not None:
                ask.timer.cancel()
            if ask.transaction_id is not None:
                self._node.transactions.cancel(ask.transaction_id)
        self._node.count("lookups")
        self._node.count("lookup_requests", self._sent)
        self._done(now, outcome)
