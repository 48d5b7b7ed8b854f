"""Probe, seen from a link (RFC 6940 6.4.2.5)."""

import pytest

from tests.core.outside import THEIRS, Outside
from tests.core.test_queries import DICTIONARY, NOW_MS, SINGLE, Asking
from xor_fast.messages import Code, ProbeAns, ProbeReq

SHARE, RESOURCES, UPTIME = 1, 2, 3  # 14.13


def probe(asked: Outside, *types: int) -> list[tuple[int, int | bytes]]:
    (answer,) = asked.ask(Code.PROBE_REQ, ProbeReq(types))
    assert isinstance(answer.body, ProbeAns), answer.body
    return [(info.type, info.value) for info in answer.body.probe_info]


@pytest.mark.req("topo.probe-order")
def test_in_the_order_asked() -> None:
    asked = Outside()
    for types in [(SHARE, RESOURCES, UPTIME), (UPTIME, SHARE), (RESOURCES,)]:
        assert [type_ for type_, _ in probe(asked, *types)] == list(types)


@pytest.mark.req("topo.probe-only-requested")
def test_nothing_that_was_not_asked_for() -> None:
    asked = Outside()
    assert probe(asked) == []
    assert probe(asked, 9) == []
    assert [type_ for type_, _ in probe(asked, 9, UPTIME, UPTIME, 255)] == [UPTIME]


@pytest.mark.req("topo.probe-ppb")
def test_the_share_of_the_ring() -> None:
    asked = Outside()
    assert probe(asked, SHARE) == [(SHARE, 1_000_000_000)]  # alone
    asked.node.ring.add(THEIRS)  # from 0x20.. to OURS, 0x80..: three eighths
    assert probe(asked, SHARE) == [(SHARE, 375_000_000)]
    asked.node.ring.add(b"\xc0" + bytes(15))  # who follows us changes nothing
    assert probe(asked, SHARE) == [(SHARE, 375_000_000)]
    asked.node.ring.add(b"\x60" + bytes(15))
    assert probe(asked, SHARE) == [(SHARE, 125_000_000)]


def test_a_node_outside_the_ring_has_no_share() -> None:
    assert probe(Outside(started=False), SHARE, UPTIME) == [(SHARE, 0), (UPTIME, 0)]


@pytest.mark.req("topo.probe-resources")
def test_resources_are_counted_once() -> None:
    asked = Asking()
    assert probe(asked, RESOURCES) == [(RESOURCES, 0)]
    place = asked.store(b"romeo", SINGLE, b"a")
    assert asked.store(b"romeo", DICTIONARY, b"b") == place
    assert probe(asked, RESOURCES) == [(RESOURCES, 1)]
    asked.store(b"juliet", SINGLE, b"c")
    assert probe(asked, RESOURCES) == [(RESOURCES, 2)]
    asked.store(b"juliet", SINGLE, b"", exists=False, time=NOW_MS + 1)  # removed
    assert probe(asked, RESOURCES) == [(RESOURCES, 1)]
    asked.wait(102)  # over
    assert probe(asked, RESOURCES) == [(RESOURCES, 0)]


@pytest.mark.req("topo.probe-uptime")
def test_uptime() -> None:
    asked = Outside()
    ((_, before),) = probe(asked, UPTIME)
    asked.now += 10
    ((_, after),) = probe(asked, UPTIME)
    assert isinstance(before, int)
    assert (before, after) == (0, 10)
