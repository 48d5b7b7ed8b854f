"""The model check finds what is wrong, and nothing else: every order of messages in small rings."""

import json
from random import Random
from typing import Any

import pytest

from xor_fast.cext import codec
from xor_fast.core.joining import Joining
from xor_fast.core.replication import Replication
from xor_fast.core.transactions import Transactions
from xor_fast.messages import Code, Message
from xor_fast.sim.__main__ import main
from xor_fast.sim.modelcheck import checks, scenarios
from xor_fast.sim.modelcheck.explore import Bounds, Search
from xor_fast.sim.modelcheck.machine import Input, Output
from xor_fast.sim.modelcheck.run import check
from xor_fast.sim.modelcheck.scenarios import Model, make
from xor_fast.sim.modelcheck.shape import Shape
from xor_fast.sim.modelcheck.world import TIME, Global, Step, World

SHORT = Bounds(states=1_500)


def begun(model: Model) -> tuple[World, Global]:
    """All operations of the model begun, nothing delivered."""
    world, state = model.world(reduce=False), model.start
    for number, operation in enumerate(world.operations):
        state = world.take(state, Step("operation", operation.node, number))
    return world, state


def walk(world: World, state: Global, steps: int) -> Global:
    for _ in range(steps):
        state = world.take(state, min(world.moves(state), default=TIME))
    return state


# --- equal states ----------------------------------------------------------------------------------


def test_two_orders_of_deliveries_at_different_nodes_lead_to_the_same_state() -> None:
    world, state = begun(Model(make(3, [("join", 0), ("join", 1)])))
    compared = 0
    for _ in range(120):
        moves = world.moves(state)
        for first in moves:
            for second in moves:
                if first < second and world.commute(first, second):
                    compared += 1
                    one = world.take(world.take(state, first), second)
                    assert one == world.take(world.take(state, second), first)
        state = world.take(state, min(moves, default=TIME))
    assert compared > 50


def test_two_nodes_that_linked_in_another_order_are_the_same_node() -> None:
    """Link numbers and tickets follow the order of events in a node; nothing it does depends on them."""
    world, state = begun(Model(make(2, [("join", 0), ("join", 1)])))
    first, second = world.moves(state)
    for _ in range(2):
        both = world.take(world.take(state, first), second)
        up = [step for step in world.moves(both) if step.kind == "deliver" and step.item < 0]
        one = world.take(world.take(both, up[0]), up[1])
        assert one.nodes == world.take(world.take(both, up[1]), up[0]).nodes
        state = walk(world, state, 1) if len(up) < 2 else state


def test_states_that_differ_in_what_matters_differ() -> None:
    """Along a whole join each input leaves a state unlike the one before, or says nothing and changes nothing."""
    world, state = begun(Model(make(2, [("join", 0)])))
    seen = set()
    for _ in range(60):
        before, state = state, walk(world, state, 1)
        for old, new in zip(before.nodes, state.nodes, strict=True):
            if old == new:
                continue
            seen.add(new)
            # What can be seen from outside never differs within one state.
            assert (world.locals.digests[old] == world.locals.digests[new]) is (old == new)
    assert len(seen) > 30
    for changed in ("holds", "claims", "joined", "ring", "admits", "deadline"):
        values = {getattr(view, changed) for view in world.locals.views}
        assert len(values) > 1, f"nothing changed in {changed}"


def said(model: Model, outputs: tuple[Output, ...]) -> list[object]:
    """What came out, but for the clock on the wall, which is no part of a state."""
    told: list[object] = []
    for kind, *what in outputs:
        message = codec.decode_message(model.locals.messages[what[1]], 16) if kind == "send" else None
        is_pong = message is not None and message.code == Code.PING_ANS
        told.append((kind, what[0], message.header) if is_pong and message is not None else (kind, *what))
    return told


def test_states_taken_for_equal_answer_every_input_alike(seed: int) -> None:
    """Each state that was come to by a second way: a node that went this way does what was found out on the first."""
    model = Model(make(2, [("join", 0), ("join", 0)]))
    locals_ = model.locals
    Search(model.world(), Bounds(states=300), checks.always, checks.at_the_end).run(model.start)
    steps = locals_._steps
    known: dict[int, list[Input]] = {}
    for state, given in steps:
        known.setdefault(state, []).append(given)
    merged = [edge for edge, (after, _) in steps.items() if locals_._came_by[after] != edge and after in known]
    assert len(merged) > 100
    for state, given in Random(seed).sample(merged, min(len(merged), 400)):
        after, _ = steps[state, given]
        for following in known[after]:
            machine = locals_.machine(state)
            machine.apply(locals_.meant(given))
            outputs = tuple(map(locals_.named, machine.apply(locals_.meant(following))))
            end, expected = steps[after, following]
            assert said(model, outputs) == said(model, expected)
            assert (machine.digest(), machine.view()) == (locals_.digests[end], locals_.views[end])


def test_whom_something_is_about_belongs_to_a_state() -> None:
    """Left out of everything by its name, the Node-ID an Attach waits for once made different states one."""

    class Waiting:
        def __init__(self, node_id: bytes) -> None:
            self.node_id = node_id

    shape = Shape({}, 0.0, {}, {})
    assert shape.digest(Waiting(b"a")) == shape.digest(Waiting(b"a")) != shape.digest(Waiting(b"b"))


# --- the reduction ---------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("members", "wishes"),
    [
        (1, [("join", 0)]),
        (1, [("join", 0), ("leave", 0)]),
        (1, [("join", 0), ("kill", 1)]),
        (1, [("join", 0), ("store", 0)]),
        (2, [("join", 0)]),
        (2, [("leave", 0), ("leave", 1)]),
        (2, [("leave", 0), ("kill", 0)]),
        (2, [("kill", 0), ("store", 1)]),
        (3, [("kill", 0), ("kill", 1)]),
    ],
)
def test_with_and_without_reduction_the_same_ends_are_found(members: int, wishes: list[tuple[str, int]]) -> None:
    scenario = make(members, wishes)
    reduced, _ = check(scenario, Bounds(states=100_000))
    every, _ = check(scenario, Bounds(states=100_000), reduce=False)
    assert not reduced.hit | every.hit
    assert reduced.ends == every.ends
    assert reduced.violation is every.violation is None
    assert reduced.states <= every.states


# --- planted faults --------------------------------------------------------------------------------


def test_a_joiner_that_claims_before_it_has_its_data_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    original = Transactions.receive

    def receive(self: Transactions, now: float, message: Message, *arguments: Any) -> None:
        original(self, now, message, *arguments)
        if message.code == Code.JOIN_ANS:
            self._node.topology.claim(now)

    monkeypatch.setattr(Transactions, "receive", receive)
    result, row = check(make(2, [("join", 0)]), SHORT)
    assert result.violation is not None
    lines = row.violations[0]
    assert lines[-1].startswith("=> ")
    assert lines[-2] == "n1 -> n3 JoinAns"


def test_a_handover_without_mirrored_writes_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    scenario = make(1, [("join", 0), ("store", 0)])
    assert check(scenario, Bounds(states=10_000))[0].violation is None
    monkeypatch.setattr(Replication, "_mirror", lambda *arguments: None)
    result, row = check(scenario, Bounds(states=10_000))
    assert result.violation is not None
    assert "claims the place of value" in row.violations[0][-1]


def test_an_exception_in_the_core_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    def raises(*arguments: Any) -> None:
        raise KeyError("planted")

    monkeypatch.setattr(Joining, "on_update", raises)
    _, row = check(make(1, [("join", 0)]), SHORT)
    assert row.violations[0][-1] == "=> the core raised KeyError: 'planted'"


def test_a_joiner_that_never_gets_in_is_found(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Joining, "_ask", lambda *arguments: None)
    _, row = check(make(1, [("join", 0)]), SHORT)
    assert row.violations[0][-1] == "=> n2 neither in nor out"


# --- what the check has found ----------------------------------------------------------------------


def test_joins_do_not_go_round_while_the_word_of_the_predecessor_is_on_its_way() -> None:
    """Linked with its predecessor, whose Update is held back, a joiner asked to be let in again and again, without a
    pause: each time refused by itself, each time a Join, an Attach and a handover more."""
    world, state = begun(Model(make(2, [("join", 0)])))
    taken = 0
    while taken < 300:
        moves = [step for step in world.moves(state) if step.kind != "deliver" or step.what[:2] != (1, 2)]  # type: ignore[index]
        held = [step for step in world.moves(state) if step not in moves and step.item < 0]
        if not moves and not held:
            break
        state = world.take(state, min(moves + held))
        taken += 1
    assert taken < 100, "no end of messages while one is held back"


# --- the real core ---------------------------------------------------------------------------------


@pytest.mark.parametrize("members", [1, 2, 3, 4])
def test_short_searches_find_nothing(members: int) -> None:
    found = [
        check(scenario, Bounds(states=300 if members < 3 else 60))[1]
        for scenario in (*scenarios.singles(members), *scenarios.pairs(members), *scenarios.writes(members))
    ]
    assert [line for row in found for violation in row.violations for line in violation] == []
    assert sum(row.states for row in found) > 1_000


def test_several_operations_cut_at_protocol_steps_find_nothing() -> None:
    found = [check(scenario, Bounds(states=60))[1] for scenario in scenarios.several(2, 3)]
    assert [line for row in found for violation in row.violations for line in violation] == []


def test_the_command_tells_states_and_bounds(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["modelcheck", "--ring", "1", "--operations", "1", "--budget", "30", "--json"]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["ok"] is True
    assert figures["all"]["states"] > 30
    assert figures["all"]["bounds_hit"]["states"] == 1
    assert main(["modelcheck", "--ring", "1", "--operations", "1"]) == 0
    printed = capsys.readouterr().out
    assert "ring of 1: join n2: " in printed
    assert "bounds: 400000 states a scenario (20000 for several operations on a ring of 3 or 4)" in printed


@pytest.mark.parametrize("members", [1, 2, 3, 4])
def test_no_two_nodes_of_a_scenario_have_the_same_place(members: int) -> None:
    """Three that join in one gap were two: what was said of one was looked for at the other."""
    for scenario in (*scenarios.pairs(members), *scenarios.several(members, 3), *scenarios.several(members, 5)):
        places = scenarios.Places(members)
        taken = [places.member(i) for i in range(members)] + [places.joiner(*joiner) for joiner in scenario.joiners]
        assert len(set(taken)) == len(taken), str(scenario)
