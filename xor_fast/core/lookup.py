"""Resilient lookups: what is stored is found although peers on the way, or holders of it, are silent or lie.

The first request goes where routing takes it, and with no fault it is the only one. When no answer comes in time, the
next leaves over another first hop. Since all ways by Resource-ID end at the same last hops (10.3 leaves no choice),
the lookup then finds its own way: it asks peers whom they would route to (RouteQuery is there for that, 6.4.2.4), goes
on source-routed over those that answered, and so learns the nodes behind the key, which hold the value or its replicas
(10.4). Each is fetched from by its Node-ID. Every request is a transaction of its own, sent once.

A value that proves itself ends the lookup. That there is nothing proves itself by nothing: one peer's word is not
enough for it, as long as another that should hold the value can be asked.
"""

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Generic, NamedTuple, TypeVar

from xor_fast import limits
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
    """One request of a lookup. peer: whom it is for, None when the key's routing decides."""

    __slots__ = ("body", "code", "is_young", "link", "peer", "timer", "transaction_id", "way")

    def __init__(
        self, way: tuple[Destination, ...], code: int, body: FetchReq | RouteQueryReq, peer: bytes | None, link: int
    ) -> None:
        self.way = way
        self.code = code
        self.body = body
        self.peer = peer
        self.link = link
        self.transaction_id: int | None = None
        self.timer: Timer | None = None
        self.is_young = True


class _Guide:
    """A peer that tells whom it would route to, so that its table can be walked downwards name by name.

    Offsets are from the key, clockwise. behind: where the walk behind the key goes on, down to floor; None: not now.
    edge: how far behind the key it was asked. ahead: where the walk ahead of the key goes on, down to the guide itself.
    left: names it may still give. misses: how often it named nobody behind the key.
    """

    __slots__ = ("ahead", "behind", "edge", "floor", "is_alive", "is_busy", "left", "misses", "offset")

    def __init__(self, offset: int, behind: int) -> None:
        self.offset = offset
        self.behind: int | None = behind
        self.ahead: int | None = None
        self.floor = 0
        self.edge = behind
        self.is_alive = False
        self.is_busy = False
        self.left = limits.LOOKUP_NAMES
        self.misses = 0


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
        self._length = len(body.resource)
        self._ring_size = 1 << 8 * self._length
        self._key = int.from_bytes(body.resource, "big")
        self._gap = 0  # set with the first peers we know, as is the window
        self._widest = 0
        self._window = 0  # up to this offset behind the key peers are asked for the value
        self._ways: dict[bytes, tuple[bytes, ...]] = {}  # a peer: the peers to pass on the way to it
        self._unasked: set[bytes] = set()
        self._places: set[int] = set()  # ahead of the key, about which a guide was asked
        self._guides: dict[bytes, _Guide] = {}
        self._words: dict[bytes, T | RequestFailed] = {}  # who should hold the value says that there is nothing
        self._hearsay: list[tuple[bytes, T | RequestFailed]] = []  # what was said by peers that may not hold it
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
            elif self._sent >= limits.LOOKUP_REQUESTS or self._words or (self._idle is not None and self._said()):
                self._finish(now)
            else:
                self._wait(now)
                return

    def _wait(self, now: float) -> None:
        """Nobody is left to ask: the tables may be better in a moment, ours and those of others."""
        if self._idle is None or not self._idle.active:
            self._idle = self._node.timers.at(now + self._node.overlay.reliability_timer, self._try_again)

    def _try_again(self, now: float) -> None:
        self._ways.clear()
        self._unasked.clear()
        self._guides.clear()
        self._places.clear()
        self._window = 0
        self._send(now, self._by_routing(self._body.resource))
        self._advance(now)

    def _send(self, now: float, ask: _Ask) -> None:
        self._sent += 1
        self._open.add(ask)
        ask.timer = self._node.timers.at(now + self._lookups.patience, partial(self._silent, ask))
        transaction_id = self._node.request(
            now, ask.way, ask.code, ask.body, partial(self._answered, ask), link=ask.link, transmissions=1
        )
        if ask in self._open:
            ask.transaction_id = transaction_id
        else:  # it could not even be sent
            self._node.transactions.cancel(transaction_id)

    def _next(self) -> _Ask | None:
        """The most promising request that has not been made."""
        if not self._routed:
            return self._by_routing(self._body.resource)
        if self._speaker is not None and not self._has_asked_behind:
            # The next holder is the one after the peer that answered (10.4), reached over another first hop.
            self._has_asked_behind = True
            return self._by_routing(self._bytes(int.from_bytes(self._speaker, "big") + 1))
        if self._routed == 1:
            return self._by_routing(self._body.resource)
        if not self._window:
            self._look_around()
        return self._by_own_way()

    def _by_routing(self, resource: bytes) -> _Ask:
        """Each time over another first hop, as long as there are others."""
        hops = self._node.ring.next_hops(self._body.resource, limits.MAX_FIRST_HOPS) if self._routed else []
        links = [self._node.switch.link_of(hop) for hop in hops]
        is_ours = self._node.ring.is_responsible(resource)
        link = NO_LINK if is_ours or not links else links[self._routed % len(links)]
        self._routed += 1
        return _Ask((Destination(DestinationType.RESOURCE, resource),), Code.FETCH_REQ, self._body, None, link)

    # --- the search ----------------------------------------------------------------------------------

    def _look_around(self) -> None:
        """The first peers of the search: those we are linked with."""
        ring, switch = self._node.ring, self._node.switch
        self._gap = self._mean_gap()
        sees_all = ring.joined and len(ring) <= 2 * limits.NEIGHBOURS_EACH_SIDE
        self._window = self._ring_size - 1 if sees_all else limits.LOOKUP_WINDOW * self._gap
        self._widest = min(limits.LOOKUP_WIDEST * self._gap, self._ring_size // 2)
        for peer in list(ring) or [peer for link in switch.links() if (peer := switch.node_of(link)) is not None]:
            self._learn(peer, ())
        if self._is_behind(self._node.node_id):  # we may hold it ourselves
            self._learn(self._node.node_id, ())

    def _mean_gap(self) -> int:
        """The mean gap between peers, as it is around us: further away we know some only."""
        ring, near = self._node.ring, self._node.topology.neighbourhood.each_side
        if not ring.joined:
            return self._ring_size // limits.LOOKUP_GUESSED_PEERS
        if len(ring) <= 2 * near:
            return self._ring_size // (len(ring) + 1)
        first, last = ring.predecessors(near)[-1], ring.successors(near)[-1]
        span = int.from_bytes(last, "big") - int.from_bytes(first, "big")
        return span % self._ring_size // (2 * near)

    def _by_own_way(self) -> _Ask | None:
        """Peers just behind the key are asked for the value; else whoever is or knows the one nearest ahead of it."""
        if any(guide.is_busy and guide.is_alive and guide.behind is not None for guide in self._guides.values()):
            return None  # it answers in a moment
        choices = [self._rank_name(peer) for peer in self._unasked]
        choices += [choice for peer, guide in self._guides.items() if (choice := self._rank_guide(peer, guide))]
        if not choices:
            return None
        _, _, peer = min(choices)
        guide = self._guides.get(peer)
        if guide is None:
            return self._ask_new(peer)
        if guide.behind is None and (guide.ahead is None or self._can_widen(guide)):
            self._widen(guide)
        return self._ask_guide(peer, guide)

    def _rank_name(self, peer: bytes) -> tuple[int, int, bytes]:
        offset = self._offset(peer)
        return (0 if 0 <= offset <= self._window else 1 if offset < 0 else 4, abs(offset), peer)

    def _rank_guide(self, peer: bytes, guide: _Guide) -> tuple[int, int, bytes] | None:
        """None: it has told what it can."""
        if not guide.is_alive or guide.is_busy or not guide.left:
            return None
        if guide.behind is not None:
            return (1 if guide.offset < 0 else 2, abs(guide.offset), peer)
        if self._can_widen(guide):
            return (1, -guide.offset, peer)
        if guide.ahead is not None and guide.ahead not in self._places:
            return (1, -guide.ahead, peer)
        return None

    def _ask_new(self, peer: bytes) -> _Ask:
        """For the value if it may hold it, else for whom it would route to."""
        self._unasked.discard(peer)
        if self._is_behind(peer):
            return _Ask(self._way_to(peer), Code.FETCH_REQ, self._body, peer, NO_LINK)
        guide = self._guides[peer] = _Guide(self._offset(peer), self._window)
        return self._ask_guide(peer, guide)

    def _ask_guide(self, peer: bytes, guide: _Guide) -> _Ask:
        guide.is_busy = True
        offset = guide.behind if guide.behind is not None else guide.ahead
        assert offset is not None
        if offset < 0:
            self._places.add(offset)
        target = Destination(DestinationType.RESOURCE, self._bytes(self._key + offset))
        return _Ask(self._way_to(peer), Code.ROUTE_QUERY_REQ, RouteQueryReq(False, target), peer, NO_LINK)

    def _way_to(self, peer: bytes) -> tuple[Destination, ...]:
        return tuple(Destination(DestinationType.NODE, hop) for hop in (*self._ways[peer], peer))

    def _can_widen(self, guide: _Guide) -> bool:
        """Too few peers were found behind the key, and this one, just ahead of it, knows some further behind."""
        if not 0 < -guide.offset <= limits.LOOKUP_REACH * self._gap or guide.misses > 2:
            return False
        if guide.edge < self._window:
            return True
        found = sum(map(self._is_behind, self._ways))
        return found < limits.LOOKUP_HOLDERS and self._window < self._widest

    def _widen(self, guide: _Guide) -> None:
        if guide.edge == self._window:
            self._window = min(2 * self._window, self._widest)
        guide.floor, guide.behind, guide.edge = guide.edge, self._window, self._window

    def _offset(self, peer: bytes) -> int:
        """From the key, clockwise; negative when it lies ahead of the key."""
        behind = (int.from_bytes(peer, "big") - self._key) % self._ring_size
        return behind if behind <= max(self._window, self._ring_size // 2) else behind - self._ring_size

    def _is_behind(self, peer: bytes) -> bool:
        """In the window behind the key, where holders of the value are."""
        return 0 <= self._offset(peer) <= self._window

    def _learn(self, peer: bytes, way: tuple[bytes, ...]) -> bool:
        """False: it was known before."""
        if peer in self._ways or len(way) >= limits.MAX_DESTINATIONS // 2:
            return False
        self._ways[peer] = way
        self._unasked.add(peer)
        return True

    def _bytes(self, place: int) -> bytes:
        return (place % self._ring_size).to_bytes(self._length, "big")

    # --- answers -------------------------------------------------------------------------------------

    def _silent(self, ask: _Ask, now: float) -> None:
        """It may still be answered; we do not wait for it any longer."""
        if self._is_over:
            return
        ask.is_young = False
        if ask.peer is not None and ask.peer in self._guides:
            self._guides[ask.peer].left = 0
            self._guides[ask.peer].is_busy = False
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
            if outcome.code not in _SILENT:
                self._hear(now, ask, outcome, outcome.said_by, is_doubtful=False)
            elif ask.is_young:
                self._silent(ask, now)
            return
        self._lookups.measure(outcome.rtt)
        if isinstance(outcome.body, RouteQueryAns):
            if ask.peer in self._guides:
                self._follow(self._guides[ask.peer], ask.peer, outcome.body.next_peer)
            self._advance(now)
            return
        finding = self._judge(now, outcome)
        if finding.is_proven:
            self._end_with(now, finding.outcome)
        else:
            self._hear(now, ask, finding.outcome, outcome.signer.node_id, finding.is_doubtful)

    def _follow(self, guide: _Guide, peer: bytes, name: bytes) -> None:
        """A guide has named the peer it would route to: the last it knows ahead of the place it was asked for."""
        guide.is_busy = False
        guide.is_alive = True
        guide.left -= 1
        asked, was_behind = (guide.behind, True) if guide.behind is not None else (guide.ahead, False)
        guide.behind = None
        if not was_behind:
            guide.ahead = None
        if len(name) != self._length or asked is None:
            return
        if name == peer:  # the place was in its own range: what lies ahead of that?
            if guide.offset > asked - self._gap // 2 > 0:
                guide.behind = asked - self._gap // 2
            return
        if name != self._node.node_id:
            self._learn(name, (*self._ways[peer], peer))
        offset = self._offset(name)
        if offset >= asked:
            return  # it knows nobody ahead of that place
        guide.misses += offset < 0 and was_behind
        if was_behind and offset > guide.floor:
            guide.behind = offset - 1
        elif guide.offset < offset < 0:
            guide.ahead = offset - 1

    def _hear(self, now: float, ask: _Ask, outcome: T | RequestFailed, speaker: bytes, is_doubtful: bool) -> None:
        """Somebody says that there is nothing, or why it cannot say."""
        if ask.peer is None and self._speaker is None:
            self._speaker = speaker
        if ask.peer is not None and ask.peer in self._ways:  # it lives, and knows who is ahead of it
            offset = self._offset(ask.peer)
            guide = self._guides[ask.peer] = _Guide(offset, max(offset - self._gap // 2, 1))
            guide.is_alive = True
        if ask.peer is not None or is_doubtful:
            self._hearsay.append((speaker, outcome))
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
        """Nothing was proven: what was said, else that nobody said anything."""
        said = self._said()
        nothing = [outcome for outcome in said if not isinstance(outcome, RequestFailed)]
        silence = RequestFailed(ErrorCode.REQUEST_TIMEOUT, f"no answer to {self._sent} requests over several ways")
        self._end_with(now, (nothing or said or [silence])[0])

    def _said(self) -> list[T | RequestFailed]:
        """First by those that routing led to, then by who is not too far behind the key, as far as we know (10.4)."""
        ahead = sorted(offset for peer in {*self._ways, *self._words} if (offset := self._offset(peer)) >= 0)
        last = ahead[min(limits.REPLICAS, len(ahead) - 1)] if ahead else self._ring_size
        nearby = [outcome for speaker, outcome in self._hearsay if self._offset(speaker) <= last]
        return [*self._words.values(), *nearby]

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
