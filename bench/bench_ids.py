"""Resource-ID of a name, called from Python and from compiled code; the interval on the ring."""

import hashlib
from functools import partial
from itertools import repeat
from typing import Any

import pytest

from bench.in_turn import Pair, calls
from bench.inputs import measure, names
from bench.inside import loops
from xor_fast.cext.ids import between, resource_id

NAMES = names()


def pairs() -> list[Pair]:
    inputs = loops.Inputs(NAMES)
    assert [resource_id(name) for name in NAMES] == [hashlib.sha1(name).digest()[:16] for name in NAMES]
    for run in (loops.ours, loops.openssl, loops.openssl_low_level):
        assert run(inputs, len(NAMES)) == hashlib.sha1(NAMES[-1]).digest()
    what, ours = "Resource-ID of a 40-byte name", partial(loops.ours, inputs)
    inside = f"{what}, in compiled code"
    return [
        Pair(what, "hashlib.sha1", calls(resource_id, NAMES[0]), by_hashlib, 2.0),
        Pair(inside, "OpenSSL's SHA1() from C", ours, partial(loops.openssl, inputs), 1 / 1.3),
        # What its one-shot function took before OpenSSL 3 made it look up the algorithm each time.
        Pair(inside, "SHA1_Init, _Update, _Final", ours, partial(loops.openssl_low_level, inputs), 1 / 1.3),
    ]


def by_hashlib(times: int) -> None:
    name, sha1 = NAMES[0], hashlib.sha1
    for _ in repeat(None, times):
        sha1(name).digest()[:16]


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
