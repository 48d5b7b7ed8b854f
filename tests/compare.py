"""The compiled codec against the slow reference, on random messages and on damaged ones, for as long as one likes.

    python -m tests.compare --count 10000000 --jobs 2

Every random message must encode to the same bytes in both codecs, decode in both to the value it was made from, and
encode back to the same bytes. Every mutant must give the same value in both, and then its own bytes again, or be
refused by both. A value with an edited field must be encoded to the same bytes, or be refused by both. The first
difference ends the run with all that is needed to see it again.
"""

import argparse
import faulthandler
import json
import os
import random
import resource
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from itertools import islice
from typing import Any

from tests.reference import codec as reference
from tests.reference.mutants import Mutants
from tests.reference.random_messages import KINDS, RandomMessages
from xor_fast import messages as m
from xor_fast.cext import codec
from xor_fast.errors import WireError
from xor_fast.messages import DataModel

TOTALS = ("messages", "mutants", "mutants decoded", "edited values", "edited values encoded", "structures", "too long")
CODE_NAMES = {int(code): code.name for code in m.Code}
CHUNK = 1000  # messages made from one seed, so that number N is made again without the N before it
PATIENCE = 300.0  # s for a chunk, which takes less than one: a parser that does not end
MEMORY = 1 << 30  # bytes for a process, which needs 50 MB: a parser that grows
REFUSED = "refused"


class Difference(Exception):
    """Two answers where there should be one; the text tells all."""


def answer(
    refusal: type[Exception] | tuple[type[Exception], ...], function: Callable[..., Any], *arguments: object
) -> Any:
    """What the function returns, or REFUSED. No other exception is an answer."""
    try:
        return function(*arguments)
    except refusal:
        return REFUSED


def same(what: str, data: object, ours: object, theirs: object) -> None:
    if ours != theirs:
        shown = data.hex() if isinstance(data, bytes) else repr(data)
        raise Difference(f"{what}\n  of        {shown}\n  codec     {ours!r}\n  reference {theirs!r}")


def decode(cls: type[m.Body], data: bytes, *overlay: Any) -> Any:
    """By the door that users of the codec take."""
    if cls is m.Message:
        return answer(WireError, codec.decode_message, data, *overlay)
    return answer(WireError, codec.decode_struct, cls, data, *overlay)


def encode(value: m.Body) -> Any:
    return answer(WireError, codec.encode_message if isinstance(value, m.Message) else codec.encode_struct, value)


def check_value(value: m.Body, node_id_length: int, strictly: bool) -> bytes | None:
    """Both ways through both codecs: the bytes; None where both say that the value does not fit its length fields.
    `strictly` tells True from 1 and a list from a tuple as well."""
    data = encode(value)
    same("encoding", value, data, answer(reference.Invalid, reference.encode_struct, value))
    if data is REFUSED:
        return None
    decoded = decode(type(value), data, node_id_length, KINDS)
    same("decoding, and what was encoded", data, decoded, value)
    theirs = answer(reference.Invalid, reference.decode_struct, type(value), data, node_id_length, KINDS)
    same("decoding", data, decoded, theirs)
    same("encoding again", data, encode(decoded), data)
    if strictly:
        same("types", data, repr(decoded), repr(theirs))
    return bytes(data)


def check_bytes(cls: type[m.Body], data: bytes, node_id_length: int, kinds: Mapping[int, DataModel]) -> bool:
    """Whether both codecs decode the data, to the same value."""
    ours = decode(cls, data, node_id_length, kinds)
    theirs = answer(reference.Invalid, reference.decode_struct, cls, data, node_id_length, kinds)
    if ours != theirs:
        same(f"decoding a {cls.__name__}, node_id_length {node_id_length}, kinds {kinds!r},", data, ours, theirs)
    if ours is REFUSED:
        return False
    same("encoding again", data, encode(ours), data)
    return True


def check_signature_input(data: bytes, node_id_length: int) -> None:
    """The codec cuts it out without reading every structure, so it may have an answer where the reference refuses."""
    expected = answer(reference.Invalid, reference.signature_input, data, node_id_length)
    if expected is REFUSED:
        answer(WireError, codec.signature_input, data)
    else:
        same("signature input", data, answer(WireError, codec.signature_input, data), expected)


def check_edited(value: m.Body, node_id_length: int) -> bool:
    """Whether both codecs encode a value that may be none of the RFC's, and then agree on its bytes."""
    data = answer((WireError, TypeError), codec.encode_struct, value)
    theirs = answer((reference.Invalid, TypeError), reference.encode_struct, value)
    same("encoding what may be invalid", value, data, theirs)
    if data is REFUSED:
        return False
    check_bytes(type(value), data, node_id_length, KINDS)
    return True


def check_one(number: int, make: RandomMessages, mutants: Mutants, found: Counter[str]) -> None:
    """One message and a mutant of it; with every eighth, an edited value, a structure and a mutant of that."""
    while (encoded := check_value(message := make.message(), make.node_id_length, number % 16 == 0)) is None:
        found["too long"] += 1
    found["messages"] += 1
    found[f"code {message.code if message.code in CODE_NAMES else 'other'}"] += 1
    found["mutants"] += 1
    mutant = mutants.of_message(encoded) if number % 8 < 5 else mutants.of_encoding(message, encoded)
    overlay = mutants.overlay(make.node_id_length)
    found["mutants decoded"] += check_bytes(m.Message, mutant, *overlay)
    if number % 8 == 0:
        check_signature_input(encoded if number % 16 else mutant, make.node_id_length)
        found["edited values"] += 1
        found["edited values encoded"] += check_edited(mutants.of_value(message), make.node_id_length)
        structure = make.structure()
        if encoded := check_value(structure, make.node_id_length, number % 16 == 0):
            found["structures"] += 1
            check_bytes(type(structure), mutants.edited(encoded), make.node_id_length, KINDS)
            check_edited(mutants.of_value(structure), make.node_id_length)


def check_chunk(seed: str, chunk: int) -> Counter[str]:
    """The comparisons of the chunk of this number, counted. A process of its own: one that does not end is ended."""
    faulthandler.dump_traceback_later(PATIENCE, exit=True)
    source = random.Random(f"{seed}:{chunk}")
    make, mutants = RandomMessages(source), Mutants(source)
    found: Counter[str] = Counter()
    for number in range(chunk * CHUNK, (chunk + 1) * CHUNK):
        try:
            check_one(number, make, mutants, found)
        except Exception as error:
            again = f"python -m tests.compare --seed {seed} --first {chunk * CHUNK} --count {CHUNK}"
            text = str(error) if isinstance(error, Difference) else repr(error)
            raise Difference(f"seed {seed}, number {number} (again: {again}): {text}") from error
    faulthandler.cancel_dump_traceback_later()
    return found


def prepare_process() -> None:
    faulthandler.enable()
    resource.setrlimit(resource.RLIMIT_DATA, (MEMORY, MEMORY))


def chunks_done(seed: str, chunks: Iterator[int], jobs: int) -> Iterator[Counter[str]]:
    """What the chunks found, as they end, in `jobs` processes; few are under way at a time."""
    with ProcessPoolExecutor(jobs, initializer=prepare_process) as pool:
        running: dict[Future[Counter[str]], int] = {}
        for chunk in islice(chunks, 2 * jobs):
            running[pool.submit(check_chunk, seed, chunk)] = chunk
        while running:
            done, _ = wait(running, return_when=FIRST_COMPLETED)
            try:
                found = [future.result() for future in done]
            except BrokenProcessPool as error:
                firsts = [chunk * CHUNK for chunk in running.values()]
                raise Difference(f"seed {seed}: a process died in 1000 messages from one of {firsts} on") from error
            for future in done:
                del running[future]
            for chunk in islice(chunks, len(done)):
                running[pool.submit(check_chunk, seed, chunk)] = chunk
            yield from found


class Progress:
    """A line that is written over on a terminal, a line a minute elsewhere."""

    def __init__(self, total: int) -> None:
        self.total = total
        self.start = self.shown = time.monotonic()

    def show(self, done: int) -> None:
        now, terminal = time.monotonic(), sys.stderr.isatty()
        if now - self.shown < (0.5 if terminal else 60.0):
            return
        self.shown = now
        left = (now - self.start) / done * (self.total - done)
        line = f"{done:,} of {self.total:,} messages and their mutants compared, {left / 60:.1f} min left"
        print(f"\r{line}   " if terminal else line, end="" if terminal else "\n", file=sys.stderr, flush=True)

    def seconds(self) -> float:
        if sys.stderr.isatty():
            print(file=sys.stderr)
        return round(time.monotonic() - self.start, 1)


def compare(seed: str, count: int, jobs: int, first: int = 0) -> dict[str, Any]:
    """At least `count` messages and as many mutants from number `first` on; the figures, or Difference. An interrupt
    ends it early."""
    progress, found = Progress(count), Counter[str]()
    start = first // CHUNK
    try:
        for chunk in chunks_done(seed, iter(range(start, start - (-count // CHUNK))), jobs):
            found += chunk
            progress.show(found["messages"])
    except KeyboardInterrupt:  # what is done counts
        pass
    codes = {name: found[f"code {code}"] for code, name in CODE_NAMES.items()} | {"other": found["code other"]}
    totals = {name: found[name] for name in TOTALS}
    return {"seed": seed, "differences": 0, **totals, "seconds": progress.seconds(), "codes": codes}


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m tests.compare", description=__doc__.partition("\n")[0])
    parser.add_argument("--count", type=int, default=100_000, help="messages, and as many mutants")
    parser.add_argument("--seed", default=str(random.SystemRandom().randrange(1 << 32)))
    parser.add_argument("--jobs", type=int, default=os.cpu_count() or 1, help="processes")
    parser.add_argument("--first", type=int, default=0, help="the number of the first message, to see one again")
    options = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    print(f"seed {options.seed}", file=sys.stderr)
    try:
        print(json.dumps(compare(options.seed, options.count, options.jobs, options.first)))
    except Difference as difference:
        sys.exit(f"\nDIFFERENCE, {difference}")


if __name__ == "__main__":
    main()
