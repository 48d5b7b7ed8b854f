"""The plain C that the switch is measured against does the same work: on sound messages, and on broken ones."""

import random
from collections import Counter

import pytest

from bench.inside.build import build
from tests.reference.wire import message, node, resource
from xor_fast.cext.switch import Verdict

SEED = 6940


@pytest.fixture(scope="module", autouse=True)
def compiled() -> None:
    build()


def mutants(messages: list[bytes], count: int) -> list[bytes]:
    """Messages with a byte or two changed, cut or grown; half of them have a true length field all the same."""
    rng = random.Random(SEED)
    made = []
    for _ in range(count):
        data = bytearray(rng.choice(messages))
        for _ in range(rng.randrange(3)):
            data[rng.randrange(len(data))] = rng.choice([0, 1, 2, 3, 0x7F, 0x80, 0xFF, rng.randrange(256)])
        if rng.random() < 0.2:
            del data[rng.randrange(len(data)) :]
        if rng.random() < 0.2:
            data += rng.randbytes(rng.randrange(40))
        if rng.random() < 0.5 and len(data) >= 20:
            data[16:20] = len(data).to_bytes(4, "big")
        made.append(bytes(data))
    return made


@pytest.mark.part("process")
@pytest.mark.parametrize("joined", [False, True])
def test_plain_c_decides_as_the_switch(joined: bool) -> None:
    from bench.bench_wire import both_ways  # it imports what `compiled` builds
    from bench.inputs import node_ids

    own, *others = node_ids(20)  # 16 of them are peers
    lists = [[node(own)], [node(own), resource(own)], [resource(own)], [node(b"\xff" * 16)]]
    lists += [[make(other)] for other in others for make in (node, resource)]
    lists += [[node(own), node(other), resource(others[0])] for other in others]
    rng = random.Random(SEED)
    sound = [
        message(
            to,
            [node(rng.choice(others)) for _ in range(rng.randrange(4))],
            code=rng.choice([0x17, 0x18, 0xFFFF]),
            ttl=rng.choice([0, 1, 98, 100]),
            option_list=rng.choice([b"", b"", b"\x01\x00\x00\x02ab", b"\x01\x01\x00\x00"]),
        )
        for to in lists * 5
    ]
    messages = sound + mutants(sound, 3000)
    total: Counter[str] = Counter()
    for some in batched(messages, 500):  # the inbox of a turn takes as many
        both = both_ways(some, joined=joined)
        both.ours(len(some))
        sent = both.ours_sent()
        both.reference(len(some))
        assert sent == both.reference_sent(), f"seed {SEED}"
        decided, counters = both.decisions(), both.switch.counters
        assert decided["forwarded"] == counters["forwarded"], f"seed {SEED}"
        assert decided["delivered"] == counters["delivered"], f"seed {SEED}"
        answers = [received for received in both.switch.take_inbox() if received.verdict >= Verdict.TTL_EXCEEDED]
        assert decided["refused"] == len(answers), f"seed {SEED}"
        total.update(decided)
    assert min(total.values()) > 50, "a decision that hardly comes up shows nothing"


def batched(messages: list[bytes], size: int) -> list[list[bytes]]:
    return [messages[i : i + size] for i in range(0, len(messages), size)]
