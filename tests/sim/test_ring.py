"""A ring grows, loses peers and heals, in virtual time (RFC 6940 10)."""

import os
import random
import subprocess
import sys

import pytest

from tests.pki import Pki
from tests.sim.overlays import Overlay
from xor_fast import limits
from xor_fast.cext import ids
from xor_fast.core.node import Pong, Stored, Tuning
from xor_fast.core.topology import State
from xor_fast.errors import RequestFailed
from xor_fast.messages import Destination, DestinationType
from xor_fast.sim import checks
from xor_fast.sim.run import simulate
from xor_fast.sim.world import Host


@pytest.mark.req("topo.chord-mandatory")
def test_a_ring_of_64_forms_and_finds_everything(seed: int) -> None:
    report = simulate(64, seed)
    assert report.ok, report
    assert report.max_hops <= 6 + 5  # log2 N + 5


@pytest.mark.parametrize("signatures", ["fake", "real"])
def test_the_same_seed_gives_the_same_trace_in_another_process(signatures: str, seed: int) -> None:
    nodes = 24 if signatures == "fake" else 6
    program = (
        "from tests.sim.real import simulate_real as s\n"
        if signatures == "real"
        else "from xor_fast.sim.run import simulate as s\n"
    ) + f"print(s({nodes}, {seed}).trace)"
    traces = {
        subprocess.run(
            [sys.executable, "-c", program],
            env={**os.environ, "PYTHONHASHSEED": hash_seed, "PYTHONPATH": os.getcwd()},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for hash_seed in ("1", "2")
    }
    assert len(traces) == 1
    assert len(traces.pop().strip()) == 64


def test_another_seed_gives_another_trace(seed: int) -> None:
    assert simulate(4, seed).trace != simulate(4, seed + 1).trace


@pytest.mark.req("topo.alone-owns-all")
def test_the_first_node_owns_everything(seed: int) -> None:
    overlay = Overlay(1, seed)
    assert overlay.hosts[0].node.ring.is_responsible(random.randbytes(16))
    assert isinstance(overlay.store(overlay.hosts[0], b"v"), Stored)
    assert overlay.found(overlay.hosts[0], overlay.hosts[0]) == [b"v"]
    assert overlay.hosts[0].node.counters["stores_acknowledged_with_one_copy"] == 1


@pytest.mark.req("topo.join-6-transfer", "topo.join-7-update", "topo.join-followup")
def test_a_joiner_claims_its_range_only_with_its_data(seed: int) -> None:
    overlay = Overlay(5, seed)
    for host in overlay.hosts:
        overlay.store(host, host.name.encode())
    users = overlay.hosts
    for index in range(5, 12):
        joiner = overlay.add(index)
        overlay.begin_join(joiner)
        assert overlay.world.run(60, lambda joiner=joiner: joiner.node.ring.joined)
        # At this very moment, before anything else can happen: all it is responsible for is there.
        for user in users:
            if joiner in checks.claimants(overlay.world, ids.resource_id(user.node.identity.user_name)):
                assert joiner in overlay.holders(user), f"{joiner.name} claims {user.name}'s location without having it"
    overlay.settle()
    for user in users:
        assert overlay.found(overlay.hosts[-1], user) == [user.name.encode()]


def test_writes_during_a_handover_are_not_lost(seed: int) -> None:
    overlay = Overlay(4, seed)
    rng = random.Random(seed)
    for round_ in range(6):
        joiner = overlay.add(10 + round_)
        overlay.begin_join(joiner)
        for number in range(4):
            overlay.world.run(rng.uniform(0, 0.15))
            for writer in overlay.hosts[:4]:
                assert isinstance(overlay.store(writer, b"%d.%d" % (round_, number)), Stored)
        assert overlay.world.run(60, lambda joiner=joiner: joiner.node.ring.joined)
        overlay.settle()
        for writer in overlay.hosts[:4]:
            assert overlay.found(joiner, writer) == [b"%d.3" % round_]


@pytest.mark.req("topo.replicate", "topo.replica-no-cascade", "topo.store-then-ack")
def test_a_value_lies_at_the_owner_and_its_two_successors(seed: int) -> None:
    overlay = Overlay(10, seed)
    user = overlay.hosts[3]
    overlay.store(user, b"v")
    overlay.world.run(1)
    owner = overlay.owner(user)
    expected = {owner.node.node_id, *owner.node.ring.successors(2)}
    assert {host.node.node_id for host in overlay.holders(user)} == expected


@pytest.mark.req("topo.neighbour-lost", "topo.neighbour-lost-update", "topo.update-propagate")
def test_any_one_peer_is_killed_and_nothing_is_lost(seed: int) -> None:
    overlay = Overlay(16, seed, tuning=Tuning(hold_down=1.0))
    users = overlay.hosts
    for user in users:
        assert isinstance(overlay.store(user, user.name.encode()), Stored)
    rng = random.Random(seed)
    for victim in rng.sample(users, 6):
        overlay.world.kill(victim)
        overlay.world.run(1.0)
        for user in users:
            assert overlay.found(rng.choice(overlay.hosts), user) == [user.name.encode()], f"after {victim.name}"
        overlay.settle()


@pytest.mark.parametrize("world", [4, 31, None])  # these two once stayed without a neighbour for ever
def test_six_of_sixteen_die_within_moments_and_the_ring_is_whole_again(world: int | None, seed: int) -> None:
    overlay = Overlay(16, seed if world is None else world, tuning=Tuning(hold_down=1.0))
    rng = random.Random(seed if world is None else world)
    for host in overlay.hosts:
        overlay.store(host, host.name.encode())
    overlay.world.run(3)
    for victim in rng.sample(overlay.hosts, 6):
        overlay.world.kill(victim)
        overlay.world.run(rng.choice([0.05, 0.5, 3]))
    overlay.settle(30)


def test_the_owner_is_killed_right_after_its_answer(seed: int) -> None:
    """The answer leaves only when a replica has confirmed: then nothing acknowledged dies with the owner."""
    overlay = Overlay(8, seed)
    rng = random.Random(seed)
    for _ in range(4):
        user = rng.choice([host for host in overlay.hosts if host is not overlay.owner(host)])
        assert isinstance(overlay.store(user, b"precious"), Stored)
        overlay.world.kill(overlay.owner(user))  # the same instant: no event has happened since
        overlay.world.run(2.0)
        assert overlay.found(rng.choice(overlay.hosts), user) == [b"precious"]
        overlay.settle()


def test_without_a_replica_the_answer_waits_for_one_reliability_timer(seed: int) -> None:
    overlay = Overlay(10, seed)

    def replicas(user: Host) -> list[bytes]:
        return overlay.owner(user).node.ring.successors(limits.REPLICAS)

    # A writer that is neither the owner of its own place nor a replica of it, so that muting those leaves it alive.
    user = next(
        host for host in overlay.hosts if overlay.owner(host) is not host and host.node.node_id not in replicas(host)
    )
    owner = overlay.owner(user)
    for host in overlay.hosts:
        host.is_mute = host.node.node_id in replicas(user)
    began = overlay.world.now
    assert isinstance(overlay.store(user, b"v"), Stored)
    timer = overlay.world.overlay.reliability_timer
    assert timer <= overlay.world.now - began < timer + 1
    assert owner.node.counters["stores_acknowledged_with_one_copy"] == 1


@pytest.mark.req("topo.leave-send", "topo.chord-leave", "topo.leave-react", "topo.chord-leave-receive")
def test_who_leaves_hands_its_data_on(seed: int) -> None:
    overlay = Overlay(8, seed, tuning=Tuning(hold_down=1.0))
    users = overlay.hosts
    for user in users:
        overlay.store(user, user.name.encode())
    for leaver in users[2:6]:
        leaver.node.leave(overlay.world.now)
        overlay.world.drain(leaver)
        assert overlay.world.run(10, lambda leaver=leaver: leaver.has_left)
        overlay.world.run(0.5)
        for user in users:
            assert overlay.found(users[0], user) == [user.name.encode()], f"after {leaver.name} left"
        for host in overlay.hosts:  # all are linked in so small a ring, so each was told
            assert any(f"peer {leaver.node.node_id.hex()} is gone: it left" in line for line in host.notices)
        overlay.settle()
        assert [len(overlay.holders(user)) for user in users] == [3] * len(users)
    assert len(overlay.hosts) == 4


@pytest.mark.parametrize("pause", [0.0, 0.01, 0.03, 0.06, 0.1])
def test_who_leaves_while_another_is_let_in_waits_for_it(pause: float, seed: int) -> None:
    """The joiner claims its range a moment before its admitting peer knows: even then the data is handed on."""
    overlay = Overlay(1, seed)
    (first,) = overlay.hosts
    overlay.store(first, b"precious")
    second = overlay.add(1)
    overlay.begin_join(second)
    assert overlay.world.run(60, lambda: second.node.ring.joined)
    overlay.world.run(pause)
    first.node.leave(overlay.world.now)
    overlay.world.drain(first)
    assert overlay.world.run(10, lambda: first.has_left)
    overlay.world.run(1)
    assert any("it left" in line for line in second.notices)
    assert overlay.found(second, first) == [b"precious"]


@pytest.mark.req("topo.leave-signer", "topo.leave-channel", "topo.join-signer", "topo.join-channel")
def test_nobody_joins_or_leaves_for_another(seed: int) -> None:
    from xor_fast.messages import Code, JoinReq, LeaveReq

    overlay = Overlay(8, seed)
    liar, victim, peer = overlay.hosts[1], overlay.hosts[2], overlay.hosts[3]
    to_peer = (Destination(DestinationType.NODE, peer.node.node_id),)
    for code, body in (
        (Code.LEAVE_REQ, LeaveReq(victim.node.node_id)),
        (Code.JOIN_REQ, JoinReq(victim.node.node_id)),
    ):
        outcome = overlay.ask(
            liar, lambda now, done, code=code, body=body: liar.node.request(now, to_peer, code, body, done)
        )
        assert isinstance(outcome, RequestFailed)
        assert outcome.code == 0x2
    # Its own Leave, but through a third node: not the leaver's own channel.
    through = (Destination(DestinationType.NODE, overlay.hosts[5].node.node_id), *to_peer)
    outcome = overlay.ask(
        liar, lambda now, done: liar.node.request(now, through, Code.LEAVE_REQ, LeaveReq(liar.node.node_id), done)
    )
    assert isinstance(outcome, RequestFailed)
    assert outcome.code == 0x2
    assert checks.is_one_ring(overlay.world)


def test_a_killed_peer_comes_back_with_the_same_identity(seed: int) -> None:
    overlay = Overlay(8, seed)
    users = overlay.hosts
    for user in users:
        overlay.store(user, user.name.encode())
    victim = users[4]
    overlay.world.kill(victim)
    again = overlay.add(99, again=victim)
    overlay.join(again, through=users[0])
    overlay.settle()
    for user in users:
        assert overlay.found(again, user) == [user.name.encode()]


def test_two_halves_find_each_other_again(seed: int) -> None:
    overlay = Overlay(8, seed, tuning=Tuning(hold_down=1.0))
    users = overlay.hosts
    for user in users:
        overlay.store(user, user.name.encode())
    # The bootstrap node is cut off: to all others it looks dead, to itself it is alone.
    first = users[0]
    for link, connection in list(first.links.items()):
        assert connection.links[0] == link or connection.links[1] == link
        overlay.world._close(connection, "cut")
    first.node.topology.partition.peers.clear()  # and it knows no other address
    overlay.world.run(10)
    assert len(first.node.ring) == 0
    overlay.world.run(3 * limits.PARTITION_PROBE, lambda: checks.is_one_ring(overlay.world))
    overlay.settle()
    for user in users:
        assert overlay.found(first, user) == [user.name.encode()]


def test_the_first_peer_begins_anew_alone_and_gets_its_values_back(seed: int) -> None:
    """As quickstart after a kill: it knows nobody and has nothing, and the others find it before the hold-down ends."""
    overlay = next(
        overlay
        for overlay in (Overlay(8, seed + step) for step in range(50))
        if sum(overlay.owner(user) is overlay.hosts[0] for user in overlay.hosts) > 1
    )
    users = overlay.hosts
    for user in users:
        overlay.store(user, user.name.encode())
    overlay.world.kill(users[0])
    first = overlay.add(99, again=users[0])
    first.node.start_overlay(overlay.world.now)
    overlay.world.drain(first)
    assert overlay.world.run(1.5 * limits.PARTITION_PROBE, lambda: checks.is_one_ring(overlay.world))
    overlay.world.run(5)
    for user in users:
        assert overlay.found(first, user) == [user.name.encode()]


def test_silent_peers_leave_the_routing_table(seed: int) -> None:
    overlay = Overlay(8, seed, tuning=Tuning(hold_down=1.0))
    mute = overlay.hosts[3]
    mute.is_mute = True
    overlay.world.run(1.1 * limits.KEEPALIVE_INTERVAL + limits.RTO_CEILING + 5)
    for host in overlay.hosts:
        if host is not mute:
            assert mute.node.node_id not in host.node.ring
            assert host.node.counters["links_silent"] >= 1
    overlay.world.run(limits.LINK_RETENTION + 5)
    assert not mute.links


def test_peers_that_were_asleep_for_a_moment_are_peers_again(seed: int) -> None:
    """On a busy machine a process may get no turn for seconds: the others lose it, and find it again."""
    overlay = Overlay(16, seed, tuning=Tuning(hold_down=1.0))
    users = overlay.hosts
    for user in users:
        assert isinstance(overlay.store(user, user.name.encode()), Stored)
    rng = random.Random(seed)
    for _ in range(6):
        sleepers = rng.sample(users, rng.randint(1, 4))
        for host in sleepers:
            host.asleep_until = overlay.world.now + rng.uniform(2.5, 4.0)
        awake = [host for host in users if host not in sleepers]
        for sleeper in sleepers:  # something to say to it, so that its silence is noticed
            asker = rng.choice(awake)
            to_sleeper = (Destination(DestinationType.NODE, sleeper.node.node_id),)
            asker.node.ping(overlay.world.now, to_sleeper, lambda now, outcome: None)
            overlay.world.drain(asker)
        overlay.world.run(5)
        overlay.settle(10)
        for user in users:
            assert overlay.found(rng.choice(users), user) == [user.name.encode()]
    assert overlay.counted("links_silent") >= 3


@pytest.mark.req("topo.periodic-update")
def test_neighbours_hear_from_each_other_without_any_change(seed: int) -> None:
    overlay = Overlay(5, seed)
    before = {host.name: host.node.counters["updates_sent"] for host in overlay.hosts}
    overlay.world.run(1.3 * overlay.world.overlay.update_interval)
    for host in overlay.hosts:
        assert host.node.counters["updates_sent"] >= before[host.name] + 4


def test_real_signatures_carry_a_ring_too(seed: int) -> None:
    overlay = Overlay(6, seed, pki=Pki(seed), users={1: "juliet@capulet.lit"})
    juliet = overlay.hosts[1]
    assert isinstance(overlay.store(juliet, b"here"), Stored)
    assert overlay.found(overlay.hosts[5], juliet) == [b"here"]


def test_a_client_stores_and_fetches_through_its_peer(seed: int) -> None:
    overlay = Overlay(6, seed)
    client = overlay.add(50)
    outcome = overlay.ask(client, lambda now, done: client.node.connect(now, [overlay.hosts[2].address], done))
    assert outcome is None
    assert isinstance(overlay.store(client, b"from a client"), Stored)
    assert overlay.found(client, client) == [b"from a client"]
    assert overlay.found(overlay.hosts[4], client) == [b"from a client"]
    overlay.world.run(30)
    assert client.node.topology.state is State.CLIENT
    assert all(client.node.node_id not in host.node.ring for host in overlay.hosts)  # never a next hop


@pytest.mark.parametrize("what", ["reset", "kill"])
def test_a_client_that_loses_its_link_connects_anew(what: str, seed: int) -> None:
    """What it had asked for comes as well, through whichever bootstrap node is there."""
    overlay = Overlay(6, seed)
    client, (near, far, other) = overlay.add(50), overlay.hosts[:3]
    addresses = [near.address, other.address]
    assert overlay.ask(client, lambda now, done: client.node.connect(now, addresses, done)) is None
    answers: list[Pong | RequestFailed] = []
    place = (Destination(DestinationType.NODE, far.node.node_id),)
    client.node.ping(overlay.world.now, place, lambda now, outcome: answers.append(outcome))
    if what == "kill":
        overlay.world.kill(near)
    else:
        (connection,) = client.links.values()
        overlay.world._close(connection, "reset by peer")
    assert overlay.world.run(10, lambda: answers != [])
    assert isinstance(answers[0], Pong), answers
    assert client.node.counters["links_lost"] == 1
    assert client.node.topology.state is State.CLIENT


def test_a_client_tries_a_few_times_to_connect_and_says_that_it_could_not(seed: int) -> None:
    overlay = Overlay(2, seed)
    client = overlay.add(50)
    nobody = [("192.0.2.1", 6084)]
    outcome = overlay.ask(client, lambda now, done: client.node.connect(now, nobody, done))
    assert isinstance(outcome, RequestFailed)
    assert client.node.counters["failed_dials"] == limits.CONNECT_TRIES
    assert client.node.topology.state is State.OUTSIDE
    outcome = overlay.ask(client, lambda now, done: client.node.connect(now, [overlay.hosts[0].address], done))
    assert outcome is None


def test_a_bootstrap_node_has_room_for_ever_more_peers(seed: int, monkeypatch: pytest.MonkeyPatch) -> None:
    """It lets go of links that serve none of its tables; the ring misses nothing."""
    monkeypatch.setattr(limits, "MAX_PEERS", 16)
    monkeypatch.setattr(limits, "LINKS_LET_GO", 2)
    overlay = Overlay(64, seed, tuning=Tuning(neighbours_each_side=3))
    for host in overlay.hosts:
        topology = host.node.topology
        used = {*topology.neighbourhood.sides().both(), *topology.fingers.table().values()}
        assert len(host.node.ring) <= max(16, len(used)) + 2
    assert overlay.hosts[0].node.counters["links_let_go"] > 20
    assert checks.is_one_ring(overlay.world)
    for host in overlay.hosts[::7]:
        assert isinstance(overlay.store(host, b"here"), Stored)
        assert overlay.found(overlay.hosts[11], host) == [b"here"]


@pytest.mark.parametrize("falls_asleep_again", [True, False])
def test_what_waits_for_a_sleeper_happens_in_its_order(falls_asleep_again: bool, seed: int) -> None:
    """Woken early, too: a stream of bytes, or the reports of a disk, must not overtake themselves."""
    overlay = Overlay(2, seed)
    world, host = overlay.world, overlay.hosts[1]
    happened: list[float] = []

    def happen(number: float) -> None:
        if not world._sleeps(host, happen, number):
            happened.append(number)

    start = world.now
    host.asleep_until = start + 10
    for second in range(1, 15):
        world.at(start + second, happen, second)
    if falls_asleep_again:
        world.run(5.5)
        host.asleep_until = start + 20
    world.run(start + 7.5 - world.now)
    assert happened == []
    host.asleep_until = world.now
    world.rouse(host)
    assert happened == [1, 2, 3, 4, 5, 6, 7]
    world.run(20)
    assert happened == list(range(1, 15))
