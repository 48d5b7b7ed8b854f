"""A ring that is there at once is the ring that growing it would have made: the rest of the world cannot tell."""

from math import log2

from xor_fast.cext import ids
from xor_fast.core.node import Tuning
from xor_fast.core.ping import Pong
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType
from xor_fast.sim import checks
from xor_fast.sim.run import fake_identity, overlay_for
from xor_fast.sim.settled import settle_at_once
from xor_fast.sim.world import World

NODES = 200


def world_of(seed: int) -> World:
    world = World(overlay_for(NODES), seed, tuning=Tuning(neighbours_each_side=3))
    identities = world.random("identities")
    for index in range(NODES):
        world.add(*fake_identity(world.overlay, identities, index))
    settle_at_once(world, world.hosts, 3)
    return world


def test_a_ring_that_is_there_at_once_is_one_ring_and_announces_next_to_nothing(seed: int) -> None:
    world = world_of(seed)
    assert checks.wrong_neighbours(world) == []
    world.run(20)  # before the first node asks a bootstrap node whether the overlay has split
    assert checks.wrong_neighbours(world) == []
    # A few have nobody in the range of a long finger, and ask again for it.
    assert sum(host.node.counters.get("updates_sent", 0) for host in world.hosts) < NODES


def test_it_routes_to_the_one_responsible_and_a_newcomer_joins_it(seed: int) -> None:
    world = world_of(seed)
    random = world.random("test")
    places = [random.randbytes(16) for _ in range(100)]
    outcomes: dict[bytes, Pong | RequestFailed] = {}
    for place in places:
        asker = random.choice(world.hosts)

        def done(now: float, outcome: Pong | RequestFailed, place: bytes = place) -> None:
            outcomes[place] = outcome

        asker.node.ping(world.now, (Destination(DestinationType.RESOURCE, place),), done)
        world.drain(asker)
    world.run(10)
    nodes = [host.node.node_id for host in world.hosts]
    for place in places:
        outcome = outcomes[place]
        assert isinstance(outcome, Pong)
        assert outcome.node_id == min(nodes, key=lambda node_id: ids.distance(place, node_id))
        assert outcome.hops <= log2(NODES) + 5
    newcomer = world.add(*fake_identity(world.overlay, world.random("newcomer"), NODES))
    newcomer.node.join(world.now, [world.hosts[0].address], lambda now, outcome: None)
    world.drain(newcomer)
    assert world.run(30, lambda: newcomer.node.ring.joined)
    assert world.run(30, lambda: checks.is_one_ring(world))
