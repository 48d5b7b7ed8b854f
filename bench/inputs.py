"""Seeded inputs of the benchmarks, and how a benchmark says what it measured.

Each group holds one reference (`is_reference` in its extra_info) and what is compared with it; `operations` is the
number of things done in one round, so that time per thing = time / operations.
"""

import random
from collections.abc import Callable, Sequence
from typing import Any

from tests.reference.wire import data_frame, message, node, resource

SEED = 6940
OVERLAY = 1


def generator() -> random.Random:
    return random.Random(SEED)


def names(count: int = 1000, size: int = 40) -> list[bytes]:
    """Resource Names, as long as a bare JID may well be."""
    rng = generator()
    return [bytes(rng.choices(b"abcdefghijklmnopqrstuvwxyz@.", k=size)) for _ in range(count)]


def node_ids(count: int) -> list[bytes]:
    rng = generator()
    return [rng.randbytes(16) for _ in range(count)]


def requests(count: int, size: int = 300) -> list[bytes]:
    """Requests of `size` bytes to random Resource-IDs that have two hops behind them."""
    rng = generator()
    made = []
    for number in range(count):
        via = [node(rng.randbytes(16)), node(rng.randbytes(16))]
        to = [resource(rng.randbytes(16))]
        rest = bytes(size - len(message(to, via, rest=b"")))
        made.append(message(to, via, ttl=98, transaction_id=number, overlay=OVERLAY, rest=rest))
    return made


def reads(messages: Sequence[bytes], each: int) -> list[bytes]:
    """The messages as data frames, `each` of them in one read of a link."""
    frames = [data_frame(i, m) for i, m in enumerate(messages)]
    return [b"".join(frames[i : i + each]) for i in range(0, len(frames), each)]


def measure(benchmark: Any, run: Callable[[], object], operations: int, *, is_reference: bool = False) -> None:
    """Time `run`, which does `operations` things."""
    benchmark.extra_info["operations"] = operations
    benchmark.extra_info["is_reference"] = is_reference
    benchmark(run)
