"""100,000 random messages and 100,000 mutants through both codecs (`make compare` runs as many as one likes), and what
the comparison is worth: it finds the mistakes planted in a codec."""

import os
from types import SimpleNamespace
from typing import Any

import pytest

from tests import compare
from tests.reference.mutants import Mutants, joined, parts_of
from tests.reference.random_messages import RandomMessages
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import WireError


@pytest.mark.req("codec.message-parts", "codec.no-trailing", "codec.vector-remainder", "codec.data-model-implied")
@pytest.mark.part("vectors")
@pytest.mark.timeout(900)  # 30 s of one core; another build of the codec, or a busy machine, needs longer
def test_both_codecs_give_the_same_answer(seed: int) -> None:
    found = compare.compare(str(seed), 100_000, min(2, len(os.sched_getaffinity(0))))
    assert found["messages"] == found["mutants"] == 100_000
    assert min(found["codes"].values()) > 100  # nothing was left out
    assert found["structures"] > 12_000
    assert 30_000 < found["mutants decoded"] < 60_000  # neither harmless nor stopped at the first check


def with_an_extra_byte(value: m.Message) -> bytes:
    return codec.encode_message(value) + b"\0" * (value.code == m.Code.FIND_ANS)


def of_the_wrong_byte_order(value: m.Message) -> bytes:
    data = codec.encode_message(value)
    return data[:8] + data[9:7:-1] + data[10:]


def not_to_its_end(data: bytes, *overlay: Any) -> m.Message:
    try:
        return codec.decode_message(data, *overlay)
    except WireError as error:
        if "left over" not in error.rule:
            raise
        return codec.decode_message(data[:16] + (len(data) - 1).to_bytes(4, "big") + data[20:-1], *overlay)


def of_any_overlay(data: bytes, *_: Any) -> m.Message:
    return codec.decode_message(data, 16, {})


def crashing(data: bytes, *overlay: Any) -> m.Message:
    if len(data) == 77:
        raise MemoryError("planted")
    return codec.decode_message(data, *overlay)


def of_the_header_alone(data: bytes) -> bytes:
    return codec.signature_input(data)[:12]


@pytest.mark.parametrize(
    "planted",
    [
        {"encode_message": with_an_extra_byte},
        {"encode_message": of_the_wrong_byte_order},
        {"decode_message": not_to_its_end},
        {"decode_message": of_any_overlay},
        {"decode_message": crashing},
        {"signature_input": of_the_header_alone},
    ],
    ids=lambda planted: next(iter(planted.values())).__name__,
)
def test_a_planted_mistake_is_found_and_told(planted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "codec", SimpleNamespace(**(vars(codec) | planted)))
    with pytest.raises(compare.Difference) as told:
        compare.compare("planted", 5000, 1)
    assert "--seed planted --first" in str(told.value)
    first = int(str(told.value).partition("--first ")[2].split()[0])
    with pytest.raises(compare.Difference) as again:
        compare.compare("planted", 1, 1, first)
    assert str(again.value) == str(told.value)


def test_a_process_that_dies_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "codec", SimpleNamespace(**(vars(codec) | {"encode_message": lambda _: os._exit(9)})))
    with pytest.raises(compare.Difference, match=r"seed planted: a process died in 1000 messages from one of \[7000\]"):
        compare.compare("planted", 1000, 1, 7000)


def test_parts_of_a_message_put_together(rng: Any) -> None:
    make, mutants = RandomMessages(rng), Mutants(rng)
    for _ in range(200):
        try:
            data = codec.encode_message(make.message())
        except WireError:  # larger than its length field
            continue
        assert joined(parts_of(data)) == data
        mutants.of_message(data)
