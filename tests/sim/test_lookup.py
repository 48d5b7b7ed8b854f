"""Lookups while peers acknowledge frames and forward nothing; the sly ones answer all that is about no value."""

from collections.abc import Callable, Iterator
from functools import partial

import pytest

from tests.sim.overlays import Overlay
from tests.sim.trace import traced
from xor_fast.cext import ids, wire
from xor_fast.cext.switch import ViaLists
from xor_fast.core.node import Fetched
from xor_fast.core.tuning import Tuning
from xor_fast.errors import RequestFailed
from xor_fast.messages import Code, DestinationType, RouteQueryReq
from xor_fast.sim.hostile import swallow
from xor_fast.sim.world import Host


def silence(host: Host) -> None:
    """From now on the host drops all messages; on its links it looks alive (RFC 6940 6.6.2)."""
    rest: dict[int, bytes] = {}
    acks: list[tuple[int, bytes]] = []

    def receive(now: float, link: int, data: bytes) -> bool:
        frames, used = wire.split_frames(rest.get(link, b"") + data)
        rest[link] = (rest.get(link, b"") + data)[used:]
        acks.extend((link, wire.ack_frame(sequence, 0)) for kind, sequence, _ in frames if kind == 128)
        return True

    def sends() -> Iterator[tuple[int, bytes]]:
        host.node.switch.sends()
        while acks:
            yield acks.pop()

    host.node.receive, host.node.sends = receive, sends  # type: ignore[method-assign, assignment]


def silence_slyly(host: Host) -> None:
    """From now on the host forwards nothing and says nothing about values; in all else it is as ever."""
    honestly, initial_ttl = host.node.sends, host.node.overlay.initial_ttl
    host.node.sends = lambda: [  # type: ignore[method-assign]
        (link, swallow(bytes(data), initial_ttl, sly=True)) for link, data in honestly()
    ]


@pytest.fixture(scope="module")
def overlay() -> Overlay:
    return settled()


def settled() -> Overlay:
    """A ring of 40, each user's value stored."""
    overlay = Overlay(40, 20, tuning=Tuning(neighbours_each_side=4, fingers=3))
    for host in overlay.hosts:
        overlay.store(host, host.name.encode())
    overlay.world.run(40)
    return overlay


def test_with_no_fault_a_lookup_costs_one_request(overlay: Overlay) -> None:
    before = overlay.counted("lookup_requests")
    asker, *others = overlay.hosts
    for other in others:
        assert overlay.found(asker, other) == [other.name.encode()]
    assert overlay.counted("lookup_requests") - before == len(others)


def test_that_there_is_nothing_takes_two_holders_words(overlay: Overlay) -> None:
    asker = overlay.hosts[0]
    before = asker.node.counters["lookup_requests"]
    nowhere = ids.resource_id(b"nobody@simulated.example")
    outcome = overlay.ask(asker, lambda now, done: asker.node.fetch(now, nowhere, overlay.kind, done))
    assert isinstance(outcome, Fetched)
    assert (outcome.values, outcome.partial) == ((), False)
    assert asker.node.counters["lookup_requests"] - before == 2


@pytest.mark.parametrize("turn", [silence, silence_slyly])
def test_a_silent_owner_and_replica_and_silent_peers_on_the_way(turn: Callable[[Host], None]) -> None:
    """A quarter of the peers turns silent at once; nothing is repaired yet when the lookups begin."""
    overlay = settled()
    random = overlay.world.random("silent")
    silent = random.sample(overlay.hosts, len(overlay.hosts) // 4)
    honest = [host for host in overlay.hosts if host not in silent]
    wanted = [host for host in overlay.hosts if set(overlay.holders(host)) - set(silent)]
    assert sum(overlay.owner(host) in silent for host in wanted) >= 5
    for host in silent:
        turn(host)
    outcomes: dict[Host, object] = {}

    def found(host: Host, now: float, outcome: Fetched | RequestFailed) -> None:
        outcomes[host] = [v.value for v in outcome.values] if isinstance(outcome, Fetched) else outcome

    for host in wanted:
        asker = random.choice(honest)
        resource = ids.resource_id(host.node.identity.user_name)
        asker.node.fetch(overlay.world.now, resource, overlay.kind, partial(found, host))
        overlay.world.drain(asker)
    overlay.world.run(30)
    assert outcomes == {host: [host.name.encode()] for host in wanted}


@pytest.mark.parametrize("via_lists", [ViaLists.LINK_IDS, ViaLists.STATE])
def test_overlays_that_shorten_via_lists_work_as_others_do(via_lists: ViaLists) -> None:
    overlay = Overlay(12, 5, tuning=Tuning(via_lists=via_lists))
    for host in overlay.hosts:
        overlay.store(host, host.name.encode())
    before = overlay.counted("lookup_requests")
    for host in overlay.hosts:
        for other in overlay.hosts:
            assert overlay.found(other, host) == [host.name.encode()]
    assert overlay.counted("lookup_requests") - before == len(overlay.hosts) ** 2
    assert overlay.counted("via_shortened") > 0
    assert overlay.counted("via_not_shortened") == overlay.counted("drop_opaque_id") == 0


@pytest.mark.req("topo.route-query-flag")
def test_the_route_queries_of_a_lookup_ask_for_no_update() -> None:
    overlay = settled()
    asker, users = overlay.hosts[0], overlay.hosts[1:8]
    for host in overlay.hosts[8:30]:
        silence(host)
    with traced(overlay.world) as trace:
        for user in users:
            overlay.fetch(asker, user)
    bodies = [sent.message.body for sent in trace.of(Code.ROUTE_QUERY_REQ, asker)]
    lookups = [b for b in bodies if isinstance(b, RouteQueryReq) and b.destination.type == DestinationType.RESOURCE]
    assert lookups
    assert not any(body.send_update for body in lookups)
