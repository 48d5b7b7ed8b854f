"""RELOAD frames into a capture, and what tshark shows of them."""

import codecs
import shutil
import struct
import subprocess
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple
from xml.parsers import expat

TSHARK = shutil.which("tshark")


def run(*arguments: str) -> str:
    done = subprocess.run(["tshark", *arguments], capture_output=True, text=True, errors="replace", check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


VERSION = run("--version").split()[2] if TSHARK else ""
CLIENT_PORT, PORT = 40000, 6084
SEGMENT = 16384
# The models of Kinds that stand in an overlay's configuration, which the dissector has not seen
KINDS = {5: "XMPP-LOCATION DICTIONARY", 0xF0000001: "K1 SINGLE", 0xF0000002: "K2 ARRAY", 0xFFFFFFFD: "K3 DICTIONARY"}
OPTIONS = [f'-ouat:reload_kindids:"{kind}",' + ",".join(f'"{w}"' for w in row.split()) for kind, row in KINDS.items()]


def write(path: Path, frames: Iterable[tuple[int, bytes]], port: int = PORT) -> Path:
    """A pcap file of one TCP connection: (side, frame) each, side 0 the client; a frame begins a segment."""
    ends = ((b"\x0a\0\0\1", CLIENT_PORT), (b"\x0a\0\0\2", port))
    sent = [1, 1]
    now = 0
    with path.open("wb") as file:
        file.write(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 1 << 18, 101))  # 101: begins with the IP header
        for side, frame in frames:
            (source, source_port), (target, target_port) = ends[side], ends[1 - side]
            for at in range(0, len(frame), SEGMENT):
                piece = frame[at : at + SEGMENT]
                ports = source_port, target_port, sent[side], sent[1 - side]
                tcp = struct.pack(">HHIIBBHHH", *ports, 0x50, 0x18, 65535, 0, 0) + piece
                ip = struct.pack(">BBHHHBBH4s4s", 0x45, 0, 20 + len(tcp), 0, 0x4000, 64, 6, 0, source, target)
                now += 1
                file.write(struct.pack("<IIII", now // 1000, now % 1000 * 1000, 20 + len(tcp), 20 + len(tcp)))
                file.write(ip + tcp)
                sent[side] = (sent[side] + len(piece)) & 0xFFFFFFFF
    return path


def tshark(capture: Path, *arguments: str) -> str:
    return run("-r", str(capture), *arguments)


class Shown(NamedTuple):
    """One field as tshark shows it."""

    name: str
    label: str
    show: str
    value: str  # its bytes, as hex
    content: bytes  # its part of the message


class Frame(NamedTuple):
    """fields: those of the framing and of the message, outer before inner; notes: what the dissector complains of."""

    fields: list[Shown]
    notes: list[str]


# What lies in them is no business of the RELOAD dissector, or known to be nonsense (test_dissector.py).
CLOSED = {"xml", "certificate", "storeddataspecifier.keys"}


def frames(capture: Path, messages: Iterable[bytes], *options: str) -> Iterator[Frame]:
    """Every frame of the capture; messages: what its data frames carry, in their order."""
    command = [
        "tshark",
        "-r",
        str(capture),
        *OPTIONS,
        *options,
        "-T",
        "pdml",
        "-J",
        "reload reload-framing _ws.malformed",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL) as process:
        reader = _PdmlReader(iter(messages))
        assert process.stdout is not None
        while chunk := process.stdout.read(1 << 16):
            reader.parse(chunk)
            yield from reader.take()
    assert process.returncode == 0


class _PdmlReader:
    """PDML (the XML of tshark) piece by piece, so that a capture of any size takes little memory."""

    def __init__(self, messages: Iterator[bytes]) -> None:
        self._messages = messages
        self._text = codecs.getincrementaldecoder("utf-8")("replace")  # tshark cuts long labels within a character
        self._parser = expat.ParserCreate()
        self._parser.StartElementHandler = self._start
        self._parser.EndElementHandler = self._end
        self._done: list[Frame] = []
        self._packet: list[Frame] = []
        self._depth = 0
        self._closed_at = 0
        self._message, self._message_at = b"", 0

    def parse(self, chunk: bytes) -> None:
        self._parser.Parse(self._text.decode(chunk))

    def take(self) -> list[Frame]:
        done, self._done = self._done, []
        return done

    def _start(self, element: str, given: dict[str, str]) -> None:
        self._depth += 1
        name = given.get("name", "").removeprefix("reload.")
        if self._closed_at:
            return
        if element == "proto" and name == "reload-framing":
            self._packet.append(Frame([], []))
        elif element == "proto" and name == "reload":
            self._message, self._message_at = next(self._messages), int(given["pos"])
        elif self._packet and name in ("_ws.malformed", "_ws.expert.message"):
            self._packet[-1].notes.append(given.get("show") or given["showname"])
        elif self._packet and not name.startswith("_ws."):
            self._field(name, given)

    def _field(self, name: str, given: dict[str, str]) -> None:
        if "pos" not in given:
            return  # of a protocol that is filtered out
        at = int(given["pos"]) - self._message_at
        label = given.get("showname", "")
        content = self._message[at : at + int(given["size"])]
        self._packet[-1].fields.append(Shown(name, label, given.get("show", ""), given.get("value", ""), content))
        if name in CLOSED and "opaque" not in label:  # a certificate of another type than X.509 is opaque
            self._closed_at = self._depth

    def _end(self, element: str) -> None:
        if self._depth == self._closed_at:
            self._closed_at = 0
        self._depth -= 1
        if element == "packet":
            self._done += self._packet
            self._packet = []
