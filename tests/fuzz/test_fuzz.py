"""`make fuzz` in short: every promise on what the fuzzer kept, on the seeds, and on random changes of both.

The sanitizers and the bounds on time and memory need clang, and are `make fuzz` alone.
"""

import random
from functools import cache
from pathlib import Path

import pytest

from tests.fuzz import parsers, seeds

CORPUS = Path(__file__).parent / "corpus"
CHANGED = 10_000  # inputs of each target

pytestmark = pytest.mark.part("fuzz")


@cache
def all_seeds() -> list[bytes]:
    return [b"\0" + seed for seed in seeds.all_seeds() if len(seed) < 1500]


def kept(name: str) -> list[bytes]:
    return [bytes.fromhex(line) for line in (CORPUS / f"{name}.txt").read_text().split()]


def changed(rng: random.Random, data: bytes, other: bytes) -> bytes:
    """A few bytes changed, left out or put in, lengths off by one among them, or two inputs spliced."""
    found = bytearray(data)
    for _ in range(rng.choice((1, 1, 1, 2, 4))):
        at = rng.randrange(len(found) + 1)
        how = rng.randrange(6)
        if how == 0:
            found[at:at] = rng.randbytes(rng.choice((1, 2, 16)))
        elif how == 1:
            del found[at : at + rng.choice((1, 1, 2, 16))]
        elif how == 2:
            found[at:] = other[rng.randrange(len(other) + 1) :]
        elif at < len(found):
            found[at] = (found[at] + rng.choice((1, 255, 128, rng.randrange(256)))) % 256
    return bytes(found)


def hold(name: str, data: bytes) -> bool:
    """Was the input taken? The test fails where the promise is broken."""
    try:
        return parsers.TARGETS[name](data[0] if data else 0, data[1:]) is not None
    except BaseException as e:
        e.add_note(f"{name}: input in hexadecimal, settings first: {data.hex()}")
        raise


@pytest.mark.parametrize("name", parsers.TARGETS)
def test_a_promise_holds(name: str, rng: random.Random) -> None:
    inputs = kept(name) + all_seeds()
    taken = [data for data in inputs if hold(name, data)]
    assert taken, "no seed gets through this parser: the changed ones will not come far either"
    for _ in range(CHANGED):
        hold(name, changed(rng, rng.choice(taken), rng.choice(inputs)))


def test_every_code_and_every_structure_has_a_target() -> None:
    named = [getattr(parsers.messages, name) for name in dir(parsers.messages)]
    structures = {v for v in named if isinstance(v, type) and issubclass(v, parsers.messages.Body)}
    bodiless = {parsers.messages.Body, parsers.messages.Message}
    assert {f"struct_{cls.__name__}" for cls in structures - bodiless} <= set(parsers.TARGETS)
    assert {path.stem for path in CORPUS.glob("*.txt")} == set(parsers.TARGETS)
