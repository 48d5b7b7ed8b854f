"""An overlay that splits into two halves, each of which goes on as a ring, and heals (RFC 6940 10.7.4.4)."""

from random import Random

import msgspec
import pytest

from tests.sim.overlays import Overlay
from tests.sim.trace import number_of, place, traced
from xor_fast import limits
from xor_fast.actions import Dial
from xor_fast.core.node import Stored, Tuning
from xor_fast.messages import Code
from xor_fast.sim import checks
from xor_fast.sim.world import Host

MINUTES = 60.0


class Split:
    """Two halves that do not reach each other until `heal`."""

    def __init__(self, overlay: Overlay, seed: int) -> None:
        self.overlay, world = overlay, overlay.world
        self.half = set(Random(seed).sample(overlay.hosts, len(overlay.hosts) // 2))
        self.is_open = False
        dial = world._dial

        def within(host: Host, action: Dial) -> None:
            there = {address: found[0] for address, found in world._by_address.items()}
            reachable = tuple(a for a in action.addresses if a in there and not self.parts(host, there[a]))
            dial(host, action._replace(addresses=reachable))

        world._dial = within  # type: ignore[method-assign]
        for _ in range(2):  # those that are there, and those that were being made
            for host in overlay.hosts:
                for connection in list(host.links.values()):
                    if self.parts(*connection.hosts):
                        world._close(connection, "the network is split")
            world.run(1)

    def parts(self, one: Host, other: Host) -> bool:
        return not self.is_open and (one in self.half) != (other in self.half)

    def is_two_rings(self) -> bool:
        everybody = self.overlay.world.hosts
        for half in (self.half, {host for host in everybody if host not in self.half}):
            for host in everybody:
                host.alive = host in half
            wrong = checks.wrong_neighbours(self.overlay.world)
            for host in everybody:
                host.alive = True
            if wrong:
                return False
        return True


@pytest.mark.req("topo.partition-probe", "topo.partition-ping")
@pytest.mark.parametrize("reactive", [True, False])
@pytest.mark.parametrize("peers", [6, 40])
def test_two_halves_are_one_ring_again_within_two_periods(peers: int, reactive: bool, seed: int) -> None:
    overlay = Overlay(peers, seed, tuning=Tuning(hold_down=1.0))
    settings = msgspec.structs.replace(overlay.world.overlay, reactive=reactive)
    for host in overlay.hosts:
        host.node.overlay = settings
    users = overlay.hosts
    for user in users:
        assert isinstance(overlay.store(user, user.name.encode()), Stored)
    overlay.world.run(5)
    split = Split(overlay, seed)
    overlay.world.run(10 * MINUTES if reactive else 30 * MINUTES)
    assert split.is_two_rings()
    with traced(overlay.world) as trace:
        split.is_open = True
        overlay.world.run(2 * settings.update_interval)
        overlay.settle(1)
        # Each place was asked about: by a Ping for what comes after the own Node-ID.
        probed = {sent.sender for sent in trace.of(Code.PING_REQ) if sent.to == (place(number_of(sent.sender) + 1),)}
        assert len(probed) >= 0.6 * peers
    overlay.world.run(60)
    for user in users:
        assert overlay.found(Random(seed).choice(users), user) == [user.name.encode()]


def test_the_newest_value_wins_and_nothing_is_rolled_back(seed: int) -> None:
    overlay = Overlay(12, seed, tuning=Tuning(hold_down=1.0))
    users = overlay.hosts
    for user in users:
        assert isinstance(overlay.store(user, b"before"), Stored)
    overlay.world.run(5)
    split = Split(overlay, seed)
    overlay.world.run(60)
    for user in users:
        assert isinstance(overlay.store(user, b"meanwhile"), Stored)
    split.is_open = True
    overlay.world.run(2 * overlay.world.overlay.update_interval)
    overlay.settle(1)
    for user in users:
        for asker in users[:3]:
            assert overlay.found(asker, user) == [b"meanwhile"]


def next_run(overlay: Overlay, host: Host) -> Host:
    """Of a host that was killed, with its disk."""
    node = host.node
    return overlay.world.add(node.identity, node.verifier, host.address, host.disk)


def remembering(seed: int) -> Overlay:
    """An overlay whose peers have noted where others are."""
    overlay = Overlay(6, seed)
    overlay.world.run(limits.REMEMBER_PAUSE + 10)
    return overlay


def test_a_first_peer_that_starts_anew_is_soon_one_ring_with_those_that_went_on(seed: int) -> None:
    """It starts the overlay, as ever; but its disk says where others are, and nobody has to come to it first."""
    overlay = remembering(seed)
    first = overlay.hosts[0]
    overlay.world.kill(first)
    overlay.world.run(15)
    again = next_run(overlay, first)
    again.node.start_overlay(overlay.world.now)
    overlay.world.drain(again)
    assert overlay.world.run(3, lambda: checks.is_one_ring(overlay.world)), checks.wrong_neighbours(overlay.world)
    assert len(overlay.hosts) == 6


def test_who_comes_back_when_all_bootstrap_nodes_are_gone_gets_in_through_others(seed: int) -> None:
    overlay = remembering(seed)
    first, other = overlay.hosts[0], overlay.hosts[3]
    overlay.world.kill(first)
    overlay.world.kill(other)
    overlay.world.run(15)
    again = next_run(overlay, other)
    again.node.join(overlay.world.now, [first.address], lambda now, outcome: None)
    overlay.world.drain(again)
    assert overlay.world.run(5, lambda: again.node.ring.joined)
    overlay.settle()
    assert len(overlay.hosts) == 5
