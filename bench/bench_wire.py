"""Reading a forwarding header and writing it as a forwarder does, against the plain-Python reference."""

from typing import Any

import pytest

from bench.inputs import measure, node_ids, requests
from tests.reference import wire as reference
from xor_fast.cext import wire

MESSAGES = requests(100)
(VIA,) = node_ids(1)


@pytest.mark.benchmark(group="header peek and rewrite, 300-byte message")
def test_reference(benchmark: Any) -> None:
    peek, rewrite = reference.peek, reference.rewrite
    measure(benchmark, lambda: [rewrite(m, peek(m).ttl - 1, VIA) for m in MESSAGES], len(MESSAGES), is_reference=True)


@pytest.mark.benchmark(group="header peek and rewrite, 300-byte message")
def test_wire(benchmark: Any) -> None:
    peek, rewrite = wire.peek, wire.rewrite
    assert [rewrite(m, 97, VIA) for m in MESSAGES] == [reference.rewrite(m, 97, VIA) for m in MESSAGES]
    measure(benchmark, lambda: [rewrite(m, peek(m).ttl - 1, VIA) for m in MESSAGES], len(MESSAGES))
