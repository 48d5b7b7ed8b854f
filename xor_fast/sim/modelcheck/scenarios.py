"""Rings and operations: who is there, where joiners come in, what is stored, and which operations meet."""

from collections.abc import Iterable, Iterator
from itertools import combinations, product
from typing import NamedTuple

from xor_fast.cext import ids
from xor_fast.config import KindDefinition, Overlay
from xor_fast.core.tuning import Tuning
from xor_fast.messages import DataModel
from xor_fast.sim.fakes import FakeIdentity
from xor_fast.sim.modelcheck.locals import Locals
from xor_fast.sim.modelcheck.machine import Cast, Value
from xor_fast.sim.modelcheck.world import TIME, Global, Operation, Step, World

KIND = KindDefinition(0xF0000002, "PLACED", DataModel.SINGLE, "NODE-MULTIPLE", 1, 100, max_node_multiple=60)
HOLD_DOWN = 5.0
SETTLING = 20.0  # seconds for each step of the beginning
_CIRCLE = 1 << 128
_PARTS = 8  # of a gap between two members
_OFFSET = 0x0123456789ABCDEF << 64  # no Node-ID is the wildcard, and no finger begins at one


def _place(number: int) -> bytes:
    return (number % _CIRCLE).to_bytes(16, "big")


class Places(NamedTuple):
    """Members at equal distances; in each gap three places for joiners: at one half, three quarters, seven eighths."""

    members: int

    def member(self, index: int) -> int:
        return _OFFSET + (2 * index + 1) * _CIRCLE // (2 * self.members)

    def gap(self, index: int) -> int:
        """Where the range of a member begins."""
        return self.member(index) - _CIRCLE // self.members

    def joiner(self, gap: int, rank: int) -> int:
        return self.gap(gap) + _CIRCLE // self.members * (4, 6, 7)[rank] // _PARTS


class Scenario(NamedTuple):
    """members: of the ring at the start. joiners: (gap, which of its places) of those that may come in.

    operations: about members and, after these, joiners. by_steps: see `Bounds`."""

    members: int
    joiners: tuple[tuple[int, int], ...]
    operations: tuple[Operation, ...]
    by_steps: bool = False

    def __str__(self) -> str:
        return f"ring of {self.members}: {', '.join(map(str, self.operations))}"


def make(members: int, wishes: Iterable[tuple[str, int]], by_steps: bool = False) -> Scenario:
    """wishes: ("join", gap), ("leave" or "kill" or "store", node); a joiner is a node after the members."""
    joiners: list[tuple[int, int]] = []
    operations: list[Operation] = []
    for kind, where in wishes:
        if kind == "join":
            operations.append(Operation("join", members + len(joiners), where))
            joiners.append((where, sum(gap == where for gap, _ in joiners)))
        else:
            operations.append(Operation(kind, where))
    return Scenario(members, tuple(joiners), tuple(operations), by_steps)


def singles(members: int) -> Iterator[Scenario]:
    yield make(members, [("join", 0)])
    yield make(members, [("leave", 0)])
    yield make(members, [("kill", 0)])


def pairs(members: int) -> Iterator[Scenario]:
    """Every pair of joins, leaves and failures, up to turning the ring; also those of the very joiner."""
    kinds = ("join", "leave", "kill")
    for (i, first), (j, second) in product(enumerate(kinds), repeat=2):
        if i > j:
            continue
        for other in range(members):
            if first == second and (other > members / 2 or (other == 0 and first != "join")):
                continue  # turned or the same one twice
            yield make(members, [(first, 0), (second, other)])
    yield make(members, [("join", 0), ("leave", members)])
    yield make(members, [("join", 0), ("kill", members)])


def writes(members: int) -> Iterator[Scenario]:
    """A value is stored anew while its place changes hands."""
    for kind in ("join", "leave", "kill"):
        writer = 0 if kind == "join" else members - 1
        if kind == "join" or members > 1:
            yield make(members, [(kind, 0), ("store", writer)])


def several(members: int, count: int) -> Iterator[Scenario]:
    """`count` operations at once, each cut at its protocol steps: members leave or die, others come in beside them."""
    places = [("join", 0), ("join", members - 1), ("leave", 0), ("kill", members - 1), ("join", 0), ("kill", members)]
    for chosen in combinations(range(len(places)), count):
        wishes = [places[i] for i in chosen]
        gone = [where for kind, where in wishes if kind in ("leave", "kill")]
        joins = sum(kind == "join" for kind, _ in wishes)
        if len(set(gone)) == len(gone) < members + joins and (members not in gone or joins):
            yield make(members, wishes, by_steps=True)


class Model:
    """A settled ring with a value in each range that changes hands, and all that was found out about its nodes."""

    def __init__(self, scenario: Scenario) -> None:
        members, operations = scenario.members, scenario.operations
        self.members = members
        places = Places(members)
        where = [places.member(i) for i in range(members)] + [places.joiner(*joiner) for joiner in scenario.joiners]
        identities = tuple(FakeIdentity(_place(p), b"user%d@modelcheck.example" % i) for i, p in enumerate(where))
        resources = [_resource(identities[i].node_id, places.gap(i), _CIRCLE // members // 2) for i in range(members)]
        touched = {gap for gap, _ in scenario.joiners} | {op.node for op in operations if op.node < members}
        if any(operation.kind == "store" for operation in operations):
            touched = {op.node for op in operations if op.kind == "store"}
        values = [Value(resources[i], KIND.id, i, b"value %d" % i) for i in sorted(touched)]
        self.stored: int = len(values)
        newer = [op for op in operations if op.kind == "store"]
        values += [Value(resources[op.node], KIND.id, op.node, b"newer %d" % op.node) for op in newer]
        points = (*resources, *(identity.node_id for identity in identities))
        overlay = Overlay(
            instance_name="modelcheck.example", sequence=1, kinds=(KIND,), no_ice=True, max_message_size=65536
        )
        addresses = tuple((f"10.0.0.{i + 1}", 6084) for i in range(len(identities)))
        self.cast: Cast = Cast(overlay, identities, addresses, points, tuple(values), Tuning(hold_down=HOLD_DOWN))
        self.locals: Locals = Locals(self.cast)
        self._operations = tuple(
            op._replace(value=self.stored + newer.index(op)) if op.kind == "store" else op for op in operations
        )
        self.start: Global = self._grown()

    def world(self, *, reduce: bool = True) -> World:
        return World(self.cast, self.locals, self._operations, reduce=reduce)

    def _grown(self) -> Global:
        """Join after join, then the stores, each to its end in one order."""
        operations = [Operation("start", 0)]
        operations += [Operation("join", i, i) for i in range(1, self.members)]
        operations += [Operation("store", self.cast.values[i].writer, i) for i in range(self.stored)]
        world = World(self.cast, self.locals, tuple(operations))
        state = world.begin()
        for number, operation in enumerate(operations):
            state = world.take(state, Step("operation", operation.node, number))
            while state.quiet < SETTLING or world.moves(state):
                state = world.take(state, min(world.moves(state), default=TIME))
        return state._replace(begun=0, quiet=0.0)


def _resource(node_id: bytes, start: int, size: int) -> bytes:
    """One that the node may write to (NODE-MULTIPLE), in the given stretch of the circle."""
    for number in range(1, KIND.max_node_multiple + 1):
        resource = ids.resource_id(node_id + bytes((number,)))
        if 0 < (int.from_bytes(resource, "big") - start) % _CIRCLE < size:
            return resource
    raise AssertionError("no such resource")
