"""Resource-ID of a name: our SHA-1 against hashlib's, both called from Python."""

import hashlib
from typing import Any

import pytest

from bench.inputs import measure, names
from xor_fast.cext.ids import between, resource_id

NAMES = names()


@pytest.mark.benchmark(group="Resource-ID of a 40-byte name")
def test_hashlib(benchmark: Any) -> None:
    sha1 = hashlib.sha1
    measure(benchmark, lambda: [sha1(name).digest()[:16] for name in NAMES], len(NAMES), is_reference=True)


@pytest.mark.benchmark(group="Resource-ID of a 40-byte name")
def test_resource_id(benchmark: Any) -> None:
    assert [resource_id(n) for n in NAMES] == [hashlib.sha1(n).digest()[:16] for n in NAMES]
    measure(benchmark, lambda: [resource_id(name) for name in NAMES], len(NAMES))


TRIPLES = [(resource_id(a), resource_id(b), resource_id(c)) for a, b, c in zip(*[iter(NAMES)] * 3, strict=False)]


@pytest.mark.benchmark(group="is x in (a, b] on the ring")
def test_integers(benchmark: Any) -> None:
    size = 1 << 128
    ints = [tuple(int.from_bytes(i, "big") for i in triple) for triple in TRIPLES]

    def run() -> list[bool]:
        return [0 < (x - a) % size <= (b - a) % size for a, x, b in ints]

    measure(benchmark, run, len(TRIPLES), is_reference=True)


@pytest.mark.benchmark(group="is x in (a, b] on the ring")
def test_between(benchmark: Any) -> None:
    measure(benchmark, lambda: [between(a, x, b) for a, x, b in TRIPLES], len(TRIPLES))
