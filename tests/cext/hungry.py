"""Decodes structures whose length fields promise more than is there, and prints the largest block that was asked for.

    LD_PRELOAD=largest.so PYTHONMALLOC=malloc python -m tests.cext.hungry

prints a JSON array of [what, bytes of input, largest block]. With PYTHONMALLOC=malloc Python's objects come from malloc
too, which the library of LARGEST_BLOCK stands in front of: nothing escapes it.
"""

import ctypes
import json
from collections.abc import Callable, Iterator

from tests.vectors.notation import overlay_of, params, struct_named, unhex
from xor_fast.cext import codec, wire
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch
from xor_fast.errors import WireError

LARGEST_BLOCK = """
#include <stddef.h>
void *__libc_malloc(size_t size);
void *__libc_calloc(size_t count, size_t size);
void *__libc_realloc(void *old, size_t size);
static size_t largest;

static void note(size_t size) {
    if (size > largest)
        largest = size;
}

void *malloc(size_t size) { note(size); return __libc_malloc(size); }
void *calloc(size_t count, size_t size) { note(count * size); return __libc_calloc(count, size); }
void *realloc(void *old, size_t size) { note(size); return __libc_realloc(old, size); }

size_t largest_since_last_time(void) {
    size_t found = largest;
    largest = 0;
    return found;
}
"""

Case = tuple[str, bytes, Callable[[bytes], object]]


def promises(data: bytes, at: int, width: int) -> Iterator[bytes]:
    """The largest length, and some below: the largest may be refused for being no length at all."""
    for value in {256**width - 1, 128 * 256 ** (width - 1), min(256**width - 1, 1 << 20)}:
        yield data[:at] + value.to_bytes(width, "big") + data[at + width :]


def structures() -> Iterator[Case]:
    """Each length field of each published vector."""
    for (vector,) in (param.values for param in params("structures.json")):
        cls, data = struct_named(vector["structure"]), unhex(vector["hex"])
        overlay = overlay_of(vector)
        for at, width in vector["lengths"]:
            for damaged in promises(data, at, width):
                yield (
                    f"{vector['from']}: {width} bytes at {at}",
                    damaged,
                    lambda d, cls=cls, overlay=overlay: codec.decode_struct(cls, d, *overlay),
                )


def messages() -> Iterator[Case]:
    """Any bytes of a message taken for a length, through the doors that take a message."""
    for (vector,) in (param.values for param in params("messages.json")):
        data, overlay = unhex(vector["hex"]), overlay_of(vector)
        doors: list[Callable[[bytes], object]] = [
            lambda d, overlay=overlay: codec.decode_message(d, *overlay),
            codec.signature_input,
            codec.stored_as_signed,
            wire.peek,
            lambda d: wire.rewrite(d, 7, b"v" * 16, 1),
        ]
        for at in range(0, len(data) - 4, 7):
            for width in (1, 2, 4):
                damaged = data[:at] + b"\xff" * width + data[at + width :]
                for door in doors:
                    yield f"{vector['from']}: {width} bytes at {at}", damaged, door


def frames() -> Iterator[Case]:
    """A frame that promises 16 MiB, of which some bytes come."""
    switch = Switch(Ring(b"o" * 16), 1)
    for size in (0xFFFFFF, 1 << 20, 1 << 16):
        for there in (0, 1, 100):
            frame = b"\x80" + bytes(4) + size.to_bytes(3, "big") + bytes(there)
            yield f"frame of {size} bytes, split_frames", frame, wire.split_frames

            def receive(data: bytes) -> None:
                link = switch.open_link(0.0, b"n" * 16)
                switch.receive(0.0, link, data)
                switch.close_link(link)

            yield f"frame of {size} bytes, Switch.receive", frame, receive


def a_bad_one() -> Iterator[Case]:
    """What a decoder that believes a length would do: it has to show."""
    yield "bad", b"\x00\xff\xff", lambda data: bytes(int.from_bytes(data, "big"))


def main() -> None:
    library = ctypes.CDLL(None)
    library.largest_since_last_time.restype = ctypes.c_size_t
    found = []
    for source in (structures, messages, frames, a_bad_one):
        for what, data, door in source():
            for _ in range(2):  # once for caches that fill and dicts that grow
                library.largest_since_last_time()
                try:
                    door(data)
                except WireError:
                    pass
                largest = library.largest_since_last_time()
            found.append((f"{source.__name__}: {what}", len(data), largest))
    print(json.dumps(found))


if __name__ == "__main__":
    main()
