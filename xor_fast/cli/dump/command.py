"""`xor-fast dump`: RELOAD bytes, from wherever a person has them, as a readable tree or as JSON."""

import sys
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from xor_fast.cli.data import read_overlay, wall_ms
from xor_fast.cli.dump import show
from xor_fast.cli.dump.capture import Packet, is_capture, read_capture
from xor_fast.cli.dump.checks import Checker
from xor_fast.cli.dump.content import DEFAULT_KINDS, Kind
from xor_fast.cli.dump.hextext import read_hex
from xor_fast.cli.dump.items import Dumper, Item, body_of, form_of
from xor_fast.cli.output import Exit, Output
from xor_fast.config import NAMED_KINDS, Overlay, check_certificate
from xor_fast.errors import ConfigError
from xor_fast.messages import DataModel
from xor_fast.trust.certificates import certificates_from_pem


class Options(NamedTuple):
    """What the command line says besides the input; see `xor_fast.cli.app`."""

    structure: str | None = None
    code: str | None = None
    skip: int = 0
    node_id_length: int | None = None
    kinds: tuple[str, ...] = ()
    certificates: tuple[Path, ...] = ()
    config: Path | None = None
    keylog: Path | None = None
    brief: bool = False
    full: bool = False
    as_json: bool = False


class Shown(NamedTuple):
    """An item, and the packet it came in if it is of a capture. joined: made of fragments that stand before it."""

    item: Item
    packet: Packet | None
    joined: bool


def dump(inputs: list[str], options: Options) -> int:
    """Exit code 0; or 1 when something is malformed, or a signature does not hold, or nothing was there to read."""
    output = Output(options.as_json)
    overlay = read_overlay(options.config) if options.config else None
    dumper = _dumper(options, overlay)
    is_good, is_first = True, True
    warnings.simplefilter("ignore")  # of cryptography, about certificates that others made
    for shown in _shown(inputs, options, dumper, output):
        _print(shown, options, output, is_first=is_first)
        is_good, is_first = is_good and shown.item.is_good, False
    return Exit.DONE if is_good and not is_first else Exit.NO_SUCCESS


# --- what comes in ------------------------------------------------------------------------------------


def _shown(inputs: list[str], options: Options, dumper: Dumper, output: Output) -> Iterator[Shown]:
    if options.structure and options.code:
        raise ConfigError("--as and --code both say what the input is: leave one out")
    form = form_of(options.structure) if options.structure else body_of(options.code) if options.code else None
    if inputs and not any(name == "-" or _is_file(name) for name in inputs):
        yield from _of_bytes(_from_command_line(inputs), form, options, dumper)
        return
    for data, path in _sources(inputs):
        if is_capture(data) and form is None:
            yield from _of_capture(data, path, options, dumper, output)
        else:
            text = _text(data)
            yield from _of_bytes([data] if text is None else read_hex(text), form, options, dumper)


def _of_bytes(packets: list[bytes], form: str | None, options: Options, dumper: Dumper) -> Iterator[Shown]:
    for whole in packets:
        packet = whole[options.skip :]
        if not packet and form is None:
            raise ConfigError("the input holds no bytes to dump")
        items = dumper.all_of(packet) if form is None else dumper.one(packet, form)
        yield from (Shown(item, None, item.data is not packet) for item in items)


def _sources(inputs: list[str]) -> Iterator[tuple[bytes, Path | None]]:
    """The bytes of each file, or of standard input."""
    if not inputs:
        if sys.stdin.isatty():
            raise ConfigError("nothing to dump: give a file, hex, or bytes on standard input; --help shows more")
        inputs = ["-"]
    for name in inputs:
        path = None if name == "-" else Path(name)
        data = sys.stdin.buffer.read() if path is None else _content(path)
        if not data.strip():
            raise ConfigError(f"{'standard input' if path is None else name} is empty")
        yield data, path


def _from_command_line(inputs: list[str]) -> list[bytes]:
    """Hex, which may be of several words."""
    text = " ".join(inputs)
    try:
        return read_hex(text)
    except ConfigError as error:
        raise ConfigError(f"{text[:60]!r} is neither a file here nor hex ({error})") from None


def _is_file(name: str) -> bool:
    try:
        return Path(name).exists()
    except (OSError, ValueError):  # hex may be longer than a name of a file can be
        return False


def _content(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise ConfigError(f"{path} cannot be read: {error.strerror}") from None


def _text(data: bytes) -> str | None:
    """UTF-8 without control characters is text, and so hex; no frame and no message begins as UTF-8 does."""
    try:
        text = data.decode()
    except UnicodeDecodeError:
        return None
    return text if all(c.isprintable() or c.isspace() for c in text) else None


def _of_capture(data: bytes, path: Path | None, options: Options, dumper: Dumper, output: Output) -> Iterator[Shown]:
    if options.keylog is not None:
        _content(options.keylog)
    with tempfile.NamedTemporaryFile(suffix=".pcapng") as file:
        if path is None:  # tshark reads a file more than once
            file.write(data)
            file.flush()
        capture = read_capture(path or Path(file.name), options.keylog)
    for note in capture.notes:
        output.say("note", None, text=note)
        if not options.as_json:
            print(f"note: {note}", file=sys.stderr)
    if not capture.pieces:
        raise ConfigError(f"{path or 'the capture'}: no RELOAD frames that could be read")
    for piece in capture.pieces:
        for item in dumper.all_of(piece.data):
            yield Shown(item, piece.packet, item.data is not piece.data)


# --- what is known besides ----------------------------------------------------------------------------


def _dumper(options: Options, overlay: Overlay | None) -> Dumper:
    length = options.node_id_length or (overlay.node_id_length if overlay else 16)
    kinds = dict(DEFAULT_KINDS)
    if overlay is not None:
        kinds |= {kind.id: Kind(kind.model, kind.name) for kind in overlay.kinds}
    for text in options.kinds:
        kinds |= dict(_kind(part) for part in text.split(","))
    certificates = [der for path in options.certificates for der in _certificates(path)]
    checker = Checker(overlay, certificates, wall_ms())
    return Dumper(length, kinds, overlay.instance_name if overlay else None, checker)


def _kind(text: str) -> tuple[int, Kind]:
    """Of --kinds: 77=array, or 77=XMPP-LOCATION for a Kind that is known under another number."""
    number, _, what = text.partition("=")
    try:
        kind_id = int(number, 0)
        if what.upper() in NAMED_KINDS:
            return kind_id, Kind(NAMED_KINDS[what.upper()][1], what.upper())
        return kind_id, Kind(DataModel[what.upper()])
    except (KeyError, ValueError):
        known = ", ".join(NAMED_KINDS)
        raise ConfigError(
            f"--kinds {text}: needed is NUMBER=single, =array, =dictionary, or the name of a known Kind: {known}"
        ) from None


def _certificates(path: Path) -> list[bytes]:
    content = _content(path)
    try:
        if b"-----BEGIN" in content:
            return certificates_from_pem(content)
        check_certificate(content)
    except (ValueError, ConfigError):
        raise ConfigError(f"--certificate {path}: neither PEM nor DER of an X.509 certificate") from None
    return [content]


# --- what goes out ------------------------------------------------------------------------------------


def _print(shown: Shown, options: Options, output: Output, *, is_first: bool) -> None:
    item, packet = shown.item, shown.packet
    if options.as_json:
        _print_json(shown, output, brief=options.brief)
        return
    where = f"packet {packet.number}  {packet.time:.6f} s  {packet.source} > {packet.target}: " if packet else ""
    if shown.joined:
        where += "all fragments joined: "
    if not is_first and not options.brief:
        print()
    print(where + item.summary())
    if not options.brief:
        for line in show.lines(item.top, item.checks, is_full=options.full):
            print(line)
    if item.problem is not None:
        print(show.complaint(item.data, item.problem))


def _print_json(shown: Shown, output: Output, *, brief: bool) -> None:
    item, packet, problem = shown.item, shown.packet, shown.item.problem
    fields: dict[str, object] = {"summary": item.summary(), "joined": shown.joined}
    if packet is not None:
        fields["packet"] = packet._asdict()
    if problem is not None:
        fields["problem"] = {
            "offset": problem.offset,
            "structure": problem.structure,
            "rule": problem.rule,
            "bytes": show.excerpt(item.data, problem.offset),
        }
    if not brief:
        fields["tree"] = show.as_json(item.top, item.checks)
    output.say("dump", None, **fields)
