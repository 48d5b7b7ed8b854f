"""The RELOAD frames of a pcap or pcapng file. tshark reads TCP, TLS and DTLS; what it hands over is cut into frames.

A stream is taken for TLS or RELOAD by its first bytes, never by its port, and tshark is told so.
"""

import re
import shutil
import subprocess
from base64 import b64decode
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from xor_fast.errors import ConfigError
from xor_fast.messages import RELO_TOKEN

MAGICS = tuple(map(bytes.fromhex, ("a1b2c3d4", "d4c3b2a1", "a1b23c4d", "4d3cb2a1", "0a0d0d0a")))
_FIELDS = (
    "frame.number", "frame.time_relative", "ip.src", "ipv6.src", "ip.dst", "ipv6.dst",
    "tcp.stream", "tcp.srcport", "tcp.dstport", "tcp.payload", "udp.srcport", "udp.dstport", "udp.payload",
)  # fmt: skip
# Wireshark's own dissector would take the clear bytes from us, and has been hung by hostile ones (CVE-2018-7332).
_NOT_ITS_OWN = ("--disable-protocol", "reload", "--disable-protocol", "reload-framing")
_GAP = re.compile(rb"\[\d+ bytes missing in capture file\]\0?")
_RESUME = re.compile(rb"\x80.{7}\xd2ELO", re.DOTALL)  # a data frame: where reading can begin anew
_DATAGRAM = re.compile(_RESUME.pattern + rb"|\x81.{8}(?:[\x80\x81]|\Z)", re.DOTALL)  # RTP has the same first byte
_STREAMS_AT_ONCE = 500
_DATA, _ACK = 0x80, 0x81
_BEGINNINGS = b"\x80", b"\x81", RELO_TOKEN.to_bytes(4, "big")


class Packet(NamedTuple):
    """number: as Wireshark counts them; time: seconds since the first one; stream: None for UDP."""

    number: int
    time: float
    source: str
    target: str
    stream: int | None


class Piece(NamedTuple):
    """The bytes of one frame (or of what should be some), and the packet that completed them."""

    data: bytes
    packet: Packet


class Capture(NamedTuple):
    pieces: list[Piece]
    notes: list[str]  # what was not read, and why


def is_capture(data: bytes) -> bool:
    return data[:4] in MAGICS


def read_capture(path: Path, keylog: Path | None) -> Capture:
    """ConfigError when tshark is not there or cannot read the file."""
    tshark = _Tshark(path)
    survey = _Survey(tshark)
    keys = () if keylog is None else ("-o", f"tls.keylog_file:{keylog}")
    pieces: list[Piece] = []
    notes = survey.notes()
    for stream, records in _followed(tshark, survey, keys).items():
        found, said = _frames(stream, records, survey)
        pieces += found
        notes += said
    pieces += survey.datagrams
    if survey.dtls_ports:
        found, said = _dtls(tshark, survey, keys)
        pieces += found
        notes += said
    pieces.sort(key=lambda piece: piece.packet.number)
    return Capture(pieces, tshark.notes + notes)


# --- what is in the file ------------------------------------------------------------------------------


class _Survey:
    """One pass over the packets: which are there, and what each stream begins with."""

    def __init__(self, tshark: "_Tshark") -> None:
        self.packets: dict[int, Packet] = {}
        self.first: dict[int, Packet] = {}  # of each stream
        self.tls: dict[int, str] = {}  # stream -> port of the server
        self.clear: list[int] = []
        self.datagrams: list[Piece] = []
        self.dtls_ports: set[str] = set()
        self._others = 0
        for row in tshark.table("tcp.len > 0 or udp.length > 8", _FIELDS):
            self._row(row)

    def _row(self, row: dict[str, str]) -> None:
        hosts = row["ip.src"] or row["ipv6.src"], row["ip.dst"] or row["ipv6.dst"]
        is_tcp = bool(row["tcp.stream"])
        ports = (row["tcp.srcport"], row["tcp.dstport"]) if is_tcp else (row["udp.srcport"], row["udp.dstport"])
        source, target = (
            f"[{host}]:{port}" if ":" in host else f"{host}:{port}" for host, port in zip(hosts, ports, strict=True)
        )
        stream = int(row["tcp.stream"]) if is_tcp else None
        packet = Packet(int(row["frame.number"]), float(row["frame.time_relative"] or 0), source, target, stream)
        self.packets[packet.number] = packet
        digits = (row["tcp.payload"] or row["udp.payload"]).replace(":", "")
        if stream is None:
            self._datagram(packet, bytes.fromhex(digits), ports)
        elif stream not in self.first:
            self.first[stream] = packet
            self._stream(stream, bytes.fromhex(digits), ports[1])

    def _stream(self, stream: int, first: bytes, server_port: str) -> None:
        if first[:1] in (b"\x14", b"\x15", b"\x16", b"\x17") and first[1:2] == b"\x03":
            self.tls[stream] = server_port
        elif first[:1] in (b"\x80", b"\x81") or _RESUME.search(first):
            self.clear.append(stream)
        else:
            self._others += 1

    def _datagram(self, packet: Packet, data: bytes, ports: tuple[str, str]) -> None:
        if _DATAGRAM.match(data):
            self.datagrams.append(Piece(data, packet))
        elif data[1:2] == b"\xfe" and 20 <= data[0] <= 25:
            self.dtls_ports.update(ports)

    def notes(self) -> list[str]:
        text = f"{self._others} TCP streams that are neither TLS nor RELOAD are passed over"
        return [text] if self._others else []


class _Tshark:
    """tshark over one file. notes: what it found wrong in what it could read, as of a file that is cut short."""

    def __init__(self, path: Path) -> None:
        self.notes: list[str] = []
        self._path = path

    def table(self, shown: str, names: Iterable[str], *options: str, occurrence: str = "f") -> Iterator[dict[str, str]]:
        names = list(names)
        wanted = [option for name in names for option in ("-e", name)]
        text = self.run(*options, "-Y", shown, "-T", "fields", "-E", f"occurrence={occurrence}", *wanted)
        for line in text.splitlines():
            yield dict(zip(names, line.split("\t"), strict=True))

    def run(self, *options: str) -> str:
        program = shutil.which("tshark")
        if program is None:
            raise ConfigError(
                "captures are read with tshark, which is not here: install tshark (apt-get install tshark)"
            )
        done = subprocess.run(
            [program, "-n", "-r", str(self._path), *_NOT_ITS_OWN, *options],
            capture_output=True, text=True, errors="replace",
        )  # fmt: skip
        said = [line.removeprefix("tshark: ") for line in done.stderr.splitlines() if line.startswith("tshark: ")]
        new = [line for line in said if line not in self.notes]
        if done.returncode and not done.stdout and (new or not said):  # a pass may find nothing in what is there
            raise ConfigError(
                f"{self._path} cannot be read: {said[0] if said else f'tshark ended with {done.returncode}'}"
            )
        self.notes += new
        return done.stdout


# --- streams ------------------------------------------------------------------------------------------


class _Record(NamedTuple):
    """peer: 0 or 1, which side sent it; of a gap the packet is one that told of it, and may be of the other side."""

    packet: Packet
    peer: str
    data: bytes


def _followed(tshark: _Tshark, survey: _Survey, keys: tuple[str, ...]) -> dict[int, list[_Record]]:
    """The clear bytes of each stream as they came; [] where nothing could be decrypted."""
    found: dict[int, list[_Record]] = {stream: [] for stream in sorted([*survey.tls, *survey.clear])}
    decode = [option for port in sorted(set(survey.tls.values())) for option in ("-d", f"tcp.port=={port},tls")]
    streams = [("tls", stream) for stream in survey.tls] + [("tcp", stream) for stream in survey.clear]
    for at in range(0, len(streams), _STREAMS_AT_ONCE):
        some = streams[at : at + _STREAMS_AT_ONCE]
        follow = [option for kind, stream in some for option in ("-z", f"follow,{kind},yaml,{stream}")]
        for number, peer, data in _yaml(tshark.run(*keys, *decode, "-q", *follow)):
            packet = survey.packets.get(number)
            if packet is not None and packet.stream is not None:
                found[packet.stream].append(_Record(packet, peer, data))
    return found


def _yaml(text: str) -> Iterator[tuple[int, str, bytes]]:
    """(number of the packet, peer, bytes) of what `-z follow,...,yaml` prints: always in one form, so this will do."""
    for block in text.split("  - packet: ")[1:]:
        head, _, rest = block.partition("data: !!binary |")
        number = re.match(r"(\d+)\s+peer: (\d)", head)
        encoded = re.match(r"[\sA-Za-z0-9+/=]*?(?=\n\S|\Z)", rest)
        if number and encoded:
            yield int(number[1]), number[2], b64decode("".join(encoded[0].split()))


def _frames(stream: int, records: list[_Record], survey: _Survey) -> tuple[list[Piece], list[str]]:
    """The frames of both directions of one stream."""
    ends = survey.first[stream]
    name = f"TCP stream {stream}, {ends.source} > {ends.target}"
    if not records:
        return [], [f"{name}: TLS, of which nothing could be decrypted: give its keys with --keylog FILE"]
    start = records[0].data
    if start[0] not in (_DATA, _ACK) and not any(_RESUME.search(record.data) for record in records):
        return [], [f"{name}: an application's own data, no RELOAD frames: it begins {start[:24]!r}"]
    pieces: list[Piece] = []
    notes: list[str] = []
    for peer in sorted({record.peer for record in records}):
        own = [record for record in records if record.peer == peer]
        source = next((record.packet.source for record in own if not _GAP.fullmatch(record.data)), "?")
        direction = _Direction(f"TCP stream {stream} from {source}")
        for record in own:
            pieces += direction.take(record)
        notes += direction.ended()
    return pieces, notes


class _Direction:
    """Cuts what one side sent into frames; begins anew at the next data frame where that is not possible."""

    def __init__(self, name: str) -> None:
        self._name = name
        self._rest = bytearray()
        self._notes: list[str] = []

    def take(self, record: _Record) -> Iterator[Piece]:
        if _GAP.fullmatch(record.data):
            self._notes.append(f"{self._name}: bytes are missing in the capture after packet {record.packet.number}")
            self._rest = bytearray(1)  # no frame: what comes is looked through for the next one
            return
        self._rest += record.data
        while self._rest:
            if self._rest[0] not in (_DATA, _ACK) and not self._resume(record.packet.number):
                return
            size = 9 if self._rest[0] == _ACK else 8 + int.from_bytes(self._rest[5:8], "big")
            if len(self._rest) < max(size, 8):
                return
            yield Piece(bytes(self._rest[:size]), record.packet)
            del self._rest[:size]

    def _resume(self, number: int) -> bool:
        found = _RESUME.search(self._rest)
        if found is None:
            self._rest[:-11] = b"\0"
            return False
        self._notes.append(
            f"{self._name}: reading goes on with the data frame in packet {number}; before it are no frames"
        )
        del self._rest[: found.start()]
        return True

    def ended(self) -> list[str]:
        if self._rest and self._rest[0] in (_DATA, _ACK):
            self._notes.append(
                f"{self._name}: the capture ends within a frame ({len(self._rest)} bytes of it are here)"
            )
        return self._notes


def _dtls(tshark: _Tshark, survey: _Survey, keys: tuple[str, ...]) -> tuple[list[Piece], list[str]]:
    """One record of DTLS holds one frame, or several."""
    pieces: list[Piece] = []
    others: list[Piece] = []
    decode = [option for port in sorted(survey.dtls_ports) for option in ("-d", f"udp.port=={port},dtls")]
    shown = "dtls.app_data && data.data"
    for row in tshark.table(shown, ("frame.number", "data.data"), *keys, *decode, occurrence="a"):
        packet = survey.packets.get(int(row["frame.number"]))
        for digits in row["data.data"].split(","):
            if packet is not None:
                piece = Piece(bytes.fromhex(digits.replace(":", "")), packet)
                (pieces if piece.data.startswith(_BEGINNINGS) else others).append(piece)
    if others:
        data, packet = others[0]
        where = f"DTLS, first in packet {packet.number}, {packet.source} > {packet.target}"
        return pieces, [f"{where}: an application's own data, no RELOAD frames: it begins {data[:24]!r}"]
    if not pieces:
        return [], ["DTLS, of which nothing could be decrypted: give its keys with --keylog FILE"]
    return pieces, []
