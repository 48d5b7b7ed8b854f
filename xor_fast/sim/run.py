"""The simulation that `xor-fast sim` runs: a ring grows from one node, every node's user registers a value, and each
is looked up from another place. One seed, one trace."""

from collections.abc import Callable
from functools import partial
from hashlib import sha256
from random import Random

import msgspec

from xor_fast.cext import ids
from xor_fast.config import KindDefinition, Overlay
from xor_fast.core.node import Fetched, NewValue, Stored
from xor_fast.errors import RequestFailed
from xor_fast.messages import DataModel
from xor_fast.sim import checks
from xor_fast.sim.fakes import FakeIdentity, FakeVerifier
from xor_fast.sim.world import Host, World
from xor_fast.trust.signatures import Identity, Verifier

OVERLAY_NAME = "simulated.example"
KIND = KindDefinition(0xF0000001, "SIMULATED", DataModel.DICTIONARY, "USER-NODE-MATCH", 32, 2304)
JOIN_GAP = 0.5  # seconds of virtual time between two joins

Progress = Callable[[str, int, int], None]
"""progress(phase, done, total)"""
MakeIdentity = Callable[[Overlay, Random, int], tuple[Identity, Verifier]]


class Report(msgspec.Struct):
    """What came out. Times are seconds of virtual time."""

    nodes: int
    seed: int
    one_ring: bool
    stored: int
    lookups: int
    found: int
    mean_hops: float
    max_hops: int
    virtual_seconds: float
    events: int
    bytes_carried: int
    trace: str
    problems: list[str]

    @property
    def ok(self) -> bool:
        return self.one_ring and self.stored == self.nodes and self.found == self.lookups and not self.problems


def fake_identity(overlay: Overlay, random: Random, index: int) -> tuple[Identity, Verifier]:
    node_id = random.getrandbits(128).to_bytes(16, "big")
    identity = FakeIdentity(node_id, f"user{index}@{overlay.instance_name}".encode())
    return identity, FakeVerifier()  # type: ignore[return-value]  # the same interface, by design


def overlay_for(nodes: int) -> Overlay:
    return Overlay(instance_name=OVERLAY_NAME, sequence=1, kinds=(KIND,), no_ice=True, max_message_size=65536)


def simulate(
    nodes: int,
    seed: int,
    *,
    lookups: int | None = None,
    overlay: Overlay | None = None,
    make_identity: MakeIdentity = fake_identity,
    progress: Progress = lambda phase, done, total: None,
) -> Report:
    """Grow a ring of `nodes`, store a value for each user, look each up (or `lookups` of them) from a random node."""
    world = World(overlay or overlay_for(nodes), seed)
    identities = world.random("identities")
    for index in range(nodes):
        world.add(*make_identity(world.overlay, identities, index))
    problems = _grow(world, progress)
    _settle(world, progress)
    stored = _store_all(world, progress, problems)
    asked, found, hops = _look_up_all(world, lookups if lookups is not None else nodes, progress, problems)
    return Report(
        nodes=nodes,
        seed=seed,
        one_ring=checks.is_one_ring(world),
        stored=stored,
        lookups=asked,
        found=found,
        mean_hops=sum(hops) / len(hops) if hops else 0.0,
        max_hops=max(hops, default=0),
        virtual_seconds=world.now,
        events=world.events,
        bytes_carried=world.bytes_carried,
        trace=world.trace,
        problems=problems,
    )


def _grow(world: World, progress: Progress) -> list[str]:
    first, *others = world.hosts
    first.node.start_overlay(world.now)
    world.drain(first)
    joined = [first]

    def has_joined(host: Host, now: float, outcome: RequestFailed | None) -> None:
        joined.append(host)

    def begin(host: Host) -> None:
        bootstrap = world.random(f"bootstrap {host.index}").choice(joined)
        host.node.join(world.now, [bootstrap.address], partial(has_joined, host))
        world.drain(host)

    for position, host in enumerate(others):
        world.at(world.now + position * JOIN_GAP, begin, host)
    for _ in range(10 * len(world.hosts) + 600):
        progress("joining", len(joined), len(world.hosts))
        if len(joined) == len(world.hosts):
            return []
        world.run(JOIN_GAP * 2)
    return [f"{host.name} never joined" for host in world.hosts if not host.node.ring.joined]


def _settle(world: World, progress: Progress) -> None:
    for step in range(120):
        progress("settling", step, 120)
        if checks.is_one_ring(world):
            break
        world.run(1.0)
    world.run(10.0)


def _user_name(host: Host) -> bytes:
    return host.node.identity.user_name


def _value(host: Host) -> bytes:
    return sha256(_user_name(host)).digest()


def _store_all(world: World, progress: Progress, problems: list[str]) -> int:
    outcomes: dict[int, Stored | RequestFailed] = {}

    def begin(host: Host) -> None:
        def done(now: float, outcome: Stored | RequestFailed) -> None:
            outcomes[host.index] = outcome

        value = NewValue(host.node.node_id, _value(host), 3600)
        host.node.store(world.now, ids.resource_id(_user_name(host)), KIND.id, [value], done)
        world.drain(host)

    for position, host in enumerate(world.hosts):
        world.at(world.now + position * 0.02, begin, host)
    for _ in range(60):
        progress("storing", len(outcomes), len(world.hosts))
        if world.run(1.0, lambda: len(outcomes) == len(world.hosts)):
            break
    for index, outcome in outcomes.items():
        if isinstance(outcome, RequestFailed):
            problems.append(f"n{index}: store: {outcome}")
    return sum(isinstance(outcome, Stored) for outcome in outcomes.values())


def _look_up_all(world: World, lookups: int, progress: Progress, problems: list[str]) -> tuple[int, int, list[int]]:
    workload = world.random("workload")
    found: list[int] = []
    over: list[int] = []

    def begin(number: int) -> None:
        host = workload.choice(world.alive)
        wanted = world.hosts[number % len(world.hosts)]

        def done(now: float, outcome: Fetched | RequestFailed) -> None:
            over.append(number)
            if isinstance(outcome, RequestFailed):
                problems.append(f"{host.name}: lookup of n{wanted.index}: {outcome}")
            elif [value.value for value in outcome.values] != [_value(wanted)]:
                problems.append(f"{host.name}: lookup of n{wanted.index} found {len(outcome.values)} values")
            else:
                found.append(outcome.hops)

        host.node.fetch(world.now, ids.resource_id(_user_name(wanted)), KIND.id, done)
        world.drain(host)

    for number in range(lookups):
        world.at(world.now + number * 0.02, begin, number)
    for _ in range(60 + lookups // 50):
        progress("looking up", len(over), lookups)
        if world.run(1.0, lambda: len(over) == lookups):
            break
    return lookups, len(found), found
