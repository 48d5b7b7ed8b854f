"""Hex as people paste it -> bytes: plain digits, C arrays, and the dumps of xxd, hexdump, od, tcpdump and Wireshark."""

import re
from contextlib import suppress
from typing import NamedTuple

from xor_fast.errors import ConfigError

_FILLERS = re.compile(r"0x|\\x|[\s:,;._\-\"'{}()\[\]]", re.IGNORECASE)
_DUMP_LINE = re.compile(r"\s*(?:0x)?([0-9a-fA-F]{4,16})(:\s*|\s+|$)(.*)")
_DIGITS = re.compile(r"[0-9a-fA-F]+")
_HALF_LINE = 16  # digits
_WIDEST = 64  # bytes in a line
_MOST = 1 << 24  # bytes that lines left out by `*` may stand for


class _Line(NamedTuple):
    offset: str  # digits
    gap: str
    rest: str


def read_hex(text: str) -> list[bytes]:
    """The packets in `text`; only a dump whose offsets begin anew holds more than one.

    ConfigError with the line and what it holds that is no hex.
    """
    dump = _dump_lines([line for line in text.splitlines() if line.strip()])
    if dump is not None:
        return [_packet(packet) for packet in _split(dump)]
    array = re.search(r"=\s*\{([^{}]*)\}", text)  # of a C program; what is around it are names
    lines = [line for line in (array[1] if array else text).splitlines() if line.strip()]
    return [b"".join(_plain(line, number) for number, line in enumerate(_joined(lines), 1))]


def _joined(lines: list[str]) -> list[str]:
    """A line break may fall between the two digits of a byte only if all of it is one run of digits."""
    whole = "".join(line.strip() for line in lines)
    return [whole] if _DIGITS.fullmatch(whole) else lines


def _plain(line: str, number: int) -> bytes:
    digits = _FILLERS.sub("", line)
    wrong = re.search(r"[^0-9a-fA-F]", digits)
    if wrong:
        raise ConfigError(f"line {number} of the input: {wrong.group()!r} is no hex digit")
    if len(digits) % 2:
        raise ConfigError(f"line {number} of the input: an odd number of hex digits, so half a byte is missing")
    return bytes.fromhex(digits)


# --- dumps with an offset at the beginning of each line -----------------------------------------------


def _dump_lines(lines: list[str]) -> list[_Line | None] | None:
    """The lines of a dump, None among them for a `*`; or None if this is not one.

    Plain digits may look alike. So the first offset must be 0, and what follows must be told from it by a colon, by two
    blanks, or by the offset of the next line.
    """
    found: list[_Line | None] = []
    for line in lines:
        match = _DUMP_LINE.match(line)
        if match is None and line.strip() != "*":
            return None
        found.append(_Line(match[1], match[2], match[3]) if match else None)
    whole = [line for line in found if line is not None]
    if not whole or found[0] is None or int(whole[0].offset, 16):
        return None
    if ":" in whole[0].gap or (len(whole[0].gap) >= 2 and whole[0].rest):
        return found
    follows = len(whole) > 1 and len(whole[0].offset) == len(whole[1].offset)
    if not follows:
        return None
    count = len(_read(whole[0].rest, _WIDEST))
    is_even = _has_words(whole[0])  # of the last word a half may be left over
    steps = {int(whole[1].offset, base) for base in (16, 8) if base == 16 or set(whole[1].offset) <= set("01234567")}
    return found if None in found or {count, count - is_even} & steps else None


def _has_words(line: _Line) -> bool:
    """`hexdump` and `od -x` without other options write 16-bit words of a little-endian machine."""
    return len(line.offset) == 7 and re.match(r"[0-9a-fA-F]{4}( |$)", line.rest) is not None


def _split(dump: list[_Line | None]) -> list[list[_Line | None]]:
    packets: list[list[_Line | None]] = []
    for line in dump:
        if line is not None and not int(line.offset, 16):
            packets.append([])
        packets[-1].append(line)
    return packets


def _packet(lines: list[_Line | None]) -> bytes:
    """By offsets in hex; od writes them in octal, with 7 digits and single bytes."""
    first = lines[0]
    assert first is not None
    bases = (8, 16) if len(first.offset) == 7 and not _has_words(first) else (16, 8)
    for base in bases:
        with suppress(ValueError):
            return _assembled(lines, base)
    raise ConfigError("the offsets of the hex dump do not fit the bytes beside them: some are missing")


def _assembled(lines: list[_Line | None], base: int) -> bytes:
    """ValueError when an offset in this base is not the number of bytes before it."""
    data = bytearray()
    repeated = 0  # how many bytes a `*` says again; 0 for none
    width = 0
    has_words = lines[0] is not None and _has_words(lines[0])
    for line, after in zip(lines, [*lines[1:], None], strict=True):
        if line is None:
            repeated = width
            continue
        offset = int(line.offset, base)
        if repeated:
            data += data[-repeated:] * ((min(offset, _MOST) - len(data)) // repeated)
            repeated = 0
        if has_words and not line.rest and offset == len(data) - 1:
            del data[offset:]  # of the last word only a half was there
        if offset != len(data):
            raise ValueError
        step = int(after.offset, base) - offset if after else 0
        piece = _read(line.rest, step + has_words if step > 0 else width or _WIDEST)
        width = len(piece)
        data += _swapped(piece) if has_words else piece
    return bytes(data)


def _read(rest: str, most: int) -> bytes:
    """The bytes at the beginning of a line, up to the characters that stand behind them."""
    found = ""
    at = 0
    while len(found) < 2 * most:
        match = _DIGITS.match(rest, at)
        if match is None or len(match[0]) % 2:
            break
        found += match[0]
        gap = len(rest[match.end() :]) - len(rest[match.end() :].lstrip(" "))
        # Two blanks divide the line in its middle; anywhere else they end it
        if gap > 2 or (gap == 2 and len(found) != _HALF_LINE) or not rest[match.end() :].startswith((" ", "-")):
            break
        at = match.end() + max(gap, 1)
    return bytes.fromhex(found[: 2 * most])


def _swapped(words: bytes) -> bytes:
    return b"".join(words[at : at + 2][::-1] for at in range(0, len(words), 2))
