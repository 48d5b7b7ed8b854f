"""The routing table against a set that is searched from end to end."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference.ring import ReferenceRing
from xor_fast.cext.ring import Ring

TOP = 2**128 - 1


def id_of(number: int) -> bytes:
    return (number % 2**128).to_bytes(16, "big")


def ring_of(own: int, *peers: int) -> Ring:
    ring = Ring(id_of(own))
    ring.joined = True
    for peer in peers:
        assert ring.add(id_of(peer))
    return ring


# Few and close, so that targets hit peers, fall just beside them, and wrap around zero.
numbers = st.integers(-6, 6) | st.integers(0, TOP)


@pytest.mark.req("topo.ring-arithmetic", "topo.responsibility", "topo.route-closest-preceding")
@given(numbers, st.lists(st.tuples(st.booleans(), numbers)), st.lists(numbers), st.integers(0, 5), st.booleans())
def test_every_answer_is_the_reference_s(
    own: int, changes: list[tuple[bool, int]], targets: list[int], count: int, joined: bool
) -> None:
    ring, reference = Ring(id_of(own)), ReferenceRing(id_of(own))
    ring.joined = reference.joined = joined
    for is_added, number in changes:
        peer = id_of(number)
        if peer != ring.node_id:
            assert ring.add(peer) == reference.add(peer) if is_added else ring.remove(peer) == reference.remove(peer)
    assert list(ring) == sorted(reference.peers)
    assert len(ring) == len(reference.peers)
    assert ring.successors(count) == reference.successors(count)
    assert ring.predecessors(count) == reference.predecessors(count)
    for target in map(id_of, [own, *targets, *(number for _, number in changes)]):
        assert ring.next_hop(target) == reference.next_hop(target)
        assert ring.next_hops(target, count) == reference.next_hops(target, count)
        assert ring.is_responsible(target) == reference.is_responsible(target)
        assert ring.owner(target) == reference.owner(target)
        assert ring.replica_set(target, count) == reference.replica_set(target, count)
        assert (target in ring) == (target in reference.peers)


def test_a_large_table(rng: random.Random) -> None:
    ring, reference = Ring(id_of(5)), ReferenceRing(id_of(5))
    for _ in range(500):
        peer = rng.randbytes(16)
        assert ring.add(peer) == reference.add(peer)
    for peer in rng.sample(sorted(reference.peers), 250):
        assert ring.remove(peer) == reference.remove(peer)
    assert [ring.next_hop(t) for t in map(id_of, range(10))] == [reference.next_hop(t) for t in map(id_of, range(10))]
    for _ in range(100):
        target = rng.randbytes(16)
        assert ring.next_hop(target) == reference.next_hop(target)


@pytest.mark.req("topo.responsibility")
def test_the_own_range_ends_with_the_own_id_and_begins_behind_the_predecessor() -> None:
    ring = ring_of(100, 50, 200)
    assert [ring.is_responsible(id_of(n)) for n in (50, 51, 100, 101)] == [False, True, True, False]


@pytest.mark.req("topo.responsibility", "topo.ring-arithmetic")
def test_the_own_range_may_pass_zero() -> None:
    ring = ring_of(10, TOP - 10, 50)
    assert [ring.is_responsible(id_of(n)) for n in (TOP - 10, TOP - 9, TOP, 0, 10, 11)] == [
        False, True, True, True, True, False,
    ]  # fmt: skip


@pytest.mark.req("topo.alone-owns-all")
def test_alone_in_the_ring_everything_is_ours(rng: random.Random) -> None:
    ring = ring_of(7)
    targets = [rng.randbytes(16) for _ in range(20)] + [id_of(7), id_of(8), id_of(6)]
    assert all(ring.is_responsible(t) and ring.owner(t) == id_of(7) for t in targets)
    assert [ring.next_hop(t) for t in targets] == [None] * len(targets)


def test_before_it_has_joined_a_node_is_responsible_for_nothing() -> None:
    ring = ring_of(100, 50)
    ring.joined = False
    assert not any(ring.is_responsible(id_of(n)) for n in (51, 100, 101))


@pytest.mark.req("topo.route-direct")
def test_a_target_that_is_a_peer_is_the_next_hop() -> None:
    assert ring_of(100, 120, 150, 200).next_hop(id_of(150)) == id_of(150)


@pytest.mark.req("topo.route-closest-preceding")
def test_else_the_largest_between_us_and_the_target() -> None:
    ring = ring_of(100, 120, 150, 200)
    assert ring.next_hop(id_of(199)) == id_of(150)
    assert ring.next_hop(id_of(20)) == id_of(200)  # around zero


@pytest.mark.req("topo.route-successor")
def test_else_the_first_after_the_target() -> None:
    assert ring_of(100, 120, 150, 90).next_hop(id_of(110)) == id_of(120)


@pytest.mark.req("topo.not-self")
def test_the_own_id_is_never_an_entry() -> None:
    ring = ring_of(100, 50)
    with pytest.raises(ValueError, match=r"10\.7\.3"):
        ring.add(id_of(100))
    assert not ring.remove(id_of(100))
    assert id_of(100) not in ring
    assert list(ring) == [id_of(50)]
    assert id_of(100) not in ring.successors(9) + ring.predecessors(9)


def test_in_a_small_ring_the_same_peer_is_successor_and_predecessor() -> None:
    ring = ring_of(100, 50, 200)
    assert ring.successors(3) == [id_of(200), id_of(50)]
    assert ring.predecessors(3) == [id_of(50), id_of(200)]


def test_ids_of_another_length_are_refused() -> None:
    ring = ring_of(100)
    for call in (ring.add, ring.remove, ring.next_hop, ring.is_responsible, ring.owner):
        with pytest.raises(ValueError, match="bytes"):
            call(bytes(20))
    with pytest.raises(ValueError, match="16 to 20"):
        Ring(bytes(8))
    assert bytes(20) not in ring
    assert "text" not in ring


@pytest.mark.parametrize("length", [17, 20])
def test_longer_ids_keep_their_order(length: int, rng: random.Random) -> None:
    common = rng.randbytes(16)
    peers = [common + rng.randbytes(length - 16) for _ in range(20)]
    ring, reference = Ring(peers[0]), ReferenceRing(peers[0])
    for peer in set(peers[1:]) - {peers[0]}:
        assert ring.add(peer) == reference.add(peer)
    assert list(ring) == sorted(reference.peers)
    assert all(ring.next_hop(t) == reference.next_hop(t) for t in peers)
