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
    assert found["structures"] > 24_000
    assert 25_000 < found["mutants decoded"] < 50_000  # neither harmless nor stopped at the first check


def with_an_extra_byte(value: m.Body) -> bytes:
    data = codec.encode_struct(value)
    return data + b"\0" if isinstance(value, m.Message) and value.code == m.Code.FIND_ANS else data


def of_the_wrong_byte_order(value: m.Body) -> bytes:
    data = codec.encode_struct(value)
    return data[:8] + data[9:7:-1] + data[10:] if isinstance(value, m.Message) else data


def not_to_its_end(cls: type[m.Body], data: bytes, *overlay: Any) -> m.Body:
    try:
        return codec.decode_struct(cls, data, *overlay)
    except WireError as error:
        if "bytes" not in error.rule or not data:
            raise
        return codec.decode_struct(cls, data[:16] + (len(data) - 1).to_bytes(4, "big") + data[20:-1], *overlay)


def of_any_overlay(cls: type[m.Body], data: bytes, *_: Any) -> m.Body:
    return codec.decode_struct(cls, data, 16, {})


def crashing(cls: type[m.Body], data: bytes, *overlay: Any) -> m.Body:
    if len(data) == 77:
        raise MemoryError("planted")
    return codec.decode_struct(cls, data, *overlay)


@pytest.mark.parametrize(
    "planted",
    [
        {"encode_struct": with_an_extra_byte},
        {"encode_struct": of_the_wrong_byte_order},
        {"decode_struct": not_to_its_end},
        {"decode_struct": of_any_overlay},
        {"decode_struct": crashing},
    ],
    ids=lambda planted: next(iter(planted.values())).__name__,
)
def test_a_planted_mistake_is_found_and_told(planted: dict[str, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    mistaken = {name: getattr(codec, name) for name in ("encode_struct", "decode_struct", "signature_input")} | planted
    monkeypatch.setattr(compare, "codec", SimpleNamespace(**mistaken))
    with pytest.raises(compare.Difference) as told:
        compare.compare("planted", 5000, 1)
    assert "--seed planted --first" in str(told.value)
    first = int(str(told.value).partition("--first ")[2].split()[0])
    with pytest.raises(compare.Difference) as again:
        compare.compare("planted", 1, 1, first)
    assert str(again.value) == str(told.value)


def test_parts_of_a_message_put_together(rng: Any) -> None:
    make, mutants = RandomMessages(rng), Mutants(rng)
    for _ in range(200):
        try:
            data = codec.encode_message(make.message())
        except WireError:  # larger than its length field
            continue
        assert joined(parts_of(data)) == data
        mutants.of_message(data)
