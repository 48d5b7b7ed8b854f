"""Ids against hashlib and against integers."""

import hashlib
import random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.reference import ids as reference
from xor_fast.cext import ids

EDGES = [0, 1, 2**31, 2**32 - 1, 2**32, 2**63, 2**64 - 1, 2**96, 2**127, 2**128 - 1]


@st.composite
def rings(draw: st.DrawFn, count: int) -> tuple[bytes, ...]:
    """`count` ids of one ring; often next to each other, at a word's edge, or around zero."""
    bits = 8 * draw(st.integers(16, 20))
    base = draw(st.sampled_from(EDGES) | st.integers(0, 2**bits - 1))
    near = st.integers(-3, 3).map(lambda step: (base + step) % 2**bits)
    return tuple((draw(near | st.integers(0, 2**bits - 1))).to_bytes(bits // 8, "big") for _ in range(count))


@pytest.mark.req("hash.resource-id")
def test_resource_id_is_the_first_half_of_sha1_for_every_padding() -> None:
    for size in range(200):
        name = random.randbytes(size)
        assert ids.resource_id(name) == hashlib.sha1(name).digest()[:16], name.hex()


@pytest.mark.req("hash.resource-id")
def test_resource_id_of_a_jid() -> None:
    # printf juliet@capulet.lit | openssl sha1
    assert ids.resource_id(b"juliet@capulet.lit").hex() == "ea94443670c76cc48e9c3fc78b4abe22"


@pytest.mark.req("hash.overlay-field")
def test_overlay_hash_is_the_end_of_sha1() -> None:
    # printf overlay.example.org | openssl sha1
    assert ids.overlay_hash(b"overlay.example.org") == 0x9AA32B8D


@pytest.mark.req("topo.ring-arithmetic")
@given(rings(3), st.data())
def test_arithmetic_is_that_of_integers_modulo_the_ring(ring: tuple[bytes, ...], data: st.DataObject) -> None:
    a, x, b = ring
    assert ids.distance(a, b) == reference.distance(a, b)
    assert ids.between(a, x, b) == reference.between(a, x, b)
    exponent = data.draw(st.integers(0, 8 * len(a) - 1))
    assert ids.add_power(a, exponent) == reference.add_power(a, exponent)
    assert ids.finger_start(a, exponent + 1) == reference.add_power(a, 8 * len(a) - exponent - 1)
    assert ids.successor_id(a) == reference.add_power(a, 0)


@given(rings(2))
def test_order_is_that_of_bytes(ring: tuple[bytes, ...]) -> None:
    zero, (a, b) = bytes(len(ring[0])), ring
    assert (ids.between(zero, a, b) and a != b) == (zero < a < b or (b == zero and a != zero))


@pytest.mark.parametrize("bad", [b"", bytes(15), bytes(21)])
def test_other_lengths_are_refused(bad: bytes) -> None:
    for call in (
        lambda: ids.distance(bad, bad),
        lambda: ids.between(bad, bad, bad),
        lambda: ids.add_power(bad, 0),
        lambda: ids.finger_start(bad, 1),
        lambda: ids.successor_id(bad),
    ):
        with pytest.raises(ValueError, match=r"16 to 20 bytes|fingers count"):
            call()


def test_ids_of_two_rings_do_not_mix() -> None:
    a, b = bytes(16), bytes(20)
    with pytest.raises(ValueError, match="one ring"):
        ids.distance(a, b)
    with pytest.raises(ValueError, match="one ring"):
        ids.between(a, b, a)
    with pytest.raises(ValueError, match="one ring"):
        ids.between(a, a, b)


@pytest.mark.parametrize(("length", "exponent"), [(16, -1), (16, 128), (20, 160)])
def test_exponents_off_the_ring_are_refused(length: int, exponent: int) -> None:
    with pytest.raises(ValueError, match="exponent"):
        ids.add_power(bytes(length), exponent)
    with pytest.raises(ValueError, match="finger"):
        ids.finger_start(bytes(length), exponent + 1)
