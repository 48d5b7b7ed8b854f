"""The search of a lookup in rings that are modelled here: who knows whom, who answers, and who passes on."""

from collections.abc import Callable
from random import Random
from types import SimpleNamespace
from typing import Any

import pytest

from tests.core.neighbours import DICTIONARY, Neighbours
from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.cext.ring import Ring
from xor_fast.core.node import Fetched
from xor_fast.core.search import Search, Step
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Code, ErrorResponse

PEERS, NEAR, FAR, HOLDERS = 300, 5, 12, 3
MOST = 1 << 128


def distance(one: bytes, other: bytes) -> int:
    """Clockwise."""
    return (int.from_bytes(other, "big") - int.from_bytes(one, "big")) % MOST


class Model:
    """bad: what of the peers are not as they should be. mute: those answer nothing. name: what they answer."""

    def __init__(self, seed: int, share: float, *, mute: bool = False, lie: bool = False) -> None:
        self.random = Random(seed)
        self.ring = sorted(self.random.randbytes(16) for _ in range(PEERS))
        self.bad = set(self.random.sample(self.ring, round(share * PEERS)))
        self.mute, self.lie = mute, lie
        self.knows: dict[bytes, set[bytes]] = {}
        for position, peer in enumerate(self.ring):
            near = {self.ring[(position + step) % PEERS] for step in range(-NEAR, NEAR + 1)}
            self.knows[peer] = (near | set(self.random.sample(self.ring, FAR))) - {peer}

    def holders(self, key: bytes) -> list[bytes]:
        return sorted(self.ring, key=lambda peer: distance(key, peer))[:HOLDERS]

    def route(self, peer: bytes, place: bytes) -> bytes:
        """10.3: itself if the place is in its range, else the last peer it knows ahead of that, else its successor."""
        if self.lie and peer in self.bad:
            return ((int.from_bytes(place, "big") - self.random.randrange(1, MOST // PEERS // 50)) % MOST).to_bytes(
                16, "big"
            )
        position = self.ring.index(peer)
        before = self.ring[position - 1]
        if 0 < distance(before, place) <= distance(before, peer):
            return peer
        nearest = min((*self.knows[peer], peer), key=lambda other: distance(other, place))
        return self.ring[(position + 1) % PEERS] if nearest == peer else nearest

    def answers(self, step: Step, asker: bytes) -> bool:
        if step.peer not in self.knows or (self.mute and step.peer in self.bad):
            return False
        for one, other in zip((asker, *step.way), (*step.way, step.peer), strict=True):
            if one in self.bad or other not in (one, *self.knows.get(one, ())):
                return False
        return True

    def can_reach(self, asker: bytes, holder: bytes) -> bool:
        """Over honest peers only."""
        seen, left = {asker}, [asker]
        while left:
            for other in self.knows[left.pop()] - seen - self.bad:
                seen.add(other)
                left.append(other)
        return holder in seen

    def requests(self, asker: bytes, key: bytes) -> int | None:
        """Until an honest holder is asked for the value; None: it never is."""
        ring = Ring(asker)
        ring.joined = True
        for other in self.knows[asker]:
            ring.add(other)
        neighbourhood = SimpleNamespace(each_side=NEAR)
        node = SimpleNamespace(
            node_id=asker, ring=ring, switch=None, topology=SimpleNamespace(neighbourhood=neighbourhood)
        )
        search = Search(node, key)  # type: ignore[arg-type]  # all that it asks of a node
        holders = set(self.holders(key)) - self.bad
        for count in range(1, limits.LOOKUP_REQUESTS + 1):
            step = search.next()
            if step is None:
                return None
            if not self.answers(step, asker):
                search.silent(step)
                continue
            search.answered(step)
            if step.place is not None:
                search.named(step, self.route(step.peer, step.place))
            elif step.peer in holders:
                return count
        return None


@pytest.mark.parametrize(
    ("make", "mean"),
    [
        pytest.param(lambda seed: Model(seed, 0.0), 8, id="honest"),
        pytest.param(lambda seed: Model(seed, 0.3), 20, id="forward-nothing"),
        pytest.param(lambda seed: Model(seed, 0.3, lie=True), 20, id="invent-names"),
        pytest.param(lambda seed: Model(seed, 0.2, mute=True), 20, id="mute"),
    ],
)
def test_an_honest_holder_is_found(make: Callable[[int], Model], mean: float) -> None:
    took = []
    for seed in range(40):
        model = make(seed)
        asker = model.random.choice([peer for peer in model.ring if peer not in model.bad])
        key = model.random.randbytes(16)
        if any(model.can_reach(asker, holder) for holder in model.holders(key)):
            count = model.requests(asker, key)
            assert count is not None, f"seed {seed}"
            took.append(count)
    assert len(took) >= 30
    assert sum(took) / len(took) <= mean


@pytest.mark.parametrize(("most", "keys", "code"), [(9, 999, "MESSAGE_TOO_LARGE"), (0, 1, "REQUEST_TIMEOUT")])
def test_what_no_way_can_carry_ends_at_once(most: int, keys: int, code: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A Fetch above max-message-size, or with no room for a request: another way would not do better."""
    monkeypatch.setattr(limits, "MAX_REQUESTS", most)
    around = Neighbours()
    outcomes: list[Any] = []
    which = [b"%032d" % number for number in range(keys)]
    place, done = ids.resource_id(b"elsewhere"), lambda now, outcome: outcomes.append(outcome)
    around.node.fetch(around.now, place, DICTIONARY, done, which)
    assert [(outcome.code.name, outcome.text != "") for outcome in outcomes] == [(code, True)]
    assert around.node.counters["lookup_requests"] == 1


def test_a_guide_that_refuses_has_said_nothing_of_the_value() -> None:
    """Only who may hold the value can say that there is none: when nobody is left to ask, the lookup waits for better
    tables all the same."""
    around = Neighbours()
    guide, *_ = [around.member(bytes([first]) * 16) for first in (0xC0, 0xA0, 0x60)]
    around.enter()
    outcomes: list[Fetched | RequestFailed] = []
    began = around.now
    around.node.fetch(began, b"\xc1" * 16, DICTIONARY, lambda now, outcome: outcomes.append(outcome))
    refusals = 0
    while around.now < began + limits.LOOKUP_TIME - 1:
        for request in around.asked_of(guide, Code.ROUTE_QUERY_REQ):
            around.answer_to(guide, request, Code.ERROR, ErrorResponse(ErrorCode.FORBIDDEN))
            refusals += 1
        around.received.clear()
        around.wait(0.25)
        assert not outcomes, f"{outcomes} after {around.now - began} s"
    assert refusals > 0
    around.wait(2)
    (outcome,) = outcomes
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == ErrorCode.REQUEST_TIMEOUT
