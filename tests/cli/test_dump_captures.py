"""`xor-fast dump` of packets: TCP and UDP put together here, TLS and DTLS of real programs, tshark as the judge."""

import json
import socket
import struct
import subprocess
import threading
import xml.etree.ElementTree as ET
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from itertools import pairwise
from pathlib import Path
from typing import Any

from typer.testing import CliRunner

from tests.vectors.notation import load, unhex
from xor_fast.cli.app import app
from xor_fast.cli.children import Child

MESSAGES = {vector["message_code"]: unhex(vector["hex"]) for vector in load("messages.json")}
CLIENT, SERVER = ("127.0.0.1", 40000), ("127.0.0.2", 12345)


def dump(*arguments: str, code: int = 0) -> tuple[list[dict[str, Any]], list[str]]:
    """The items, and the notes."""
    done = CliRunner().invoke(app, ["dump", "--json", *arguments])
    assert done.exit_code == code, done.output
    events = [json.loads(line) for line in done.stdout.splitlines()]
    return [e for e in events if e["event"] == "dump"], [e["text"] for e in events if e["event"] == "note"]


def frame(number: int, message: bytes) -> bytes:
    return b"\x80" + number.to_bytes(4, "big") + len(message).to_bytes(3, "big") + message


def ack(number: int, received: int) -> bytes:
    return b"\x81" + struct.pack(">II", number, received)


# --- packets put together here ------------------------------------------------------------------------

Address = tuple[str, int]


def packet(protocol: int, source: Address, target: Address, payload: bytes, sequence: int = 0, acked: int = 0) -> bytes:
    ports = struct.pack(">HH", source[1], target[1])
    if protocol == 6:
        layer = ports + struct.pack(">IIBBHHH", sequence, acked, 5 << 4, 0x18, 65535, 0, 0) + payload
    else:
        layer = ports + struct.pack(">HH", 8 + len(payload), 0) + payload
    return ip(protocol, source, target, layer)


def ip(protocol: int, source: Address, target: Address, layer: bytes) -> bytes:
    hosts = socket.inet_aton(source[0]) + socket.inet_aton(target[0])
    return struct.pack(">BBHHHBBH", 0x45, 0, 20 + len(layer), 0, 0x4000, 64, protocol, 0) + hosts + layer


def tcp(source: Address, target: Address, sequence: int, payload: bytes, acked: int = 0) -> bytes:
    return packet(6, source, target, payload, 1000 + sequence, 1000 + acked)


def udp(source: Address, target: Address, payload: bytes) -> bytes:
    return packet(17, source, target, payload)


def write_pcap(path: Path, packets: list[bytes]) -> str:
    """A pcap file of IP packets, one a millisecond."""
    records = [struct.pack("<IIII", 0, 1000 * n, len(data), len(data)) + data for n, data in enumerate(packets)]
    path.write_bytes(struct.pack("<IHHiIII", 0xA1B2C3D4, 2, 4, 0, 0, 65535, 101) + b"".join(records))
    return str(path)


def summaries(items: list[dict[str, Any]]) -> list[str]:
    return [",".join(item["summary"].split(",")[:1]) for item in items]


def test_clear_tcp_is_put_in_order_and_cut_into_frames(tmp_path: Path) -> None:
    """Segments that cut frames anywhere, come twice and in the wrong order; answers between them."""
    there = frame(0, MESSAGES[23]) + frame(1, MESSAGES[9]) + frame(2, MESSAGES[7])
    back = ack(0, 0) + ack(1, 2) + frame(0, MESSAGES[24])
    cuts = [0, 3, 700, 705, 1500, 1501, len(there)]
    pieces = [tcp(CLIENT, SERVER, a, there[a:b]) for a, b in pairwise(cuts)]
    packets = [pieces[0], pieces[1], pieces[1], pieces[3], pieces[2], tcp(SERVER, CLIENT, 0, back[:20]), *pieces[4:]]
    items, notes = dump(write_pcap(tmp_path / "x.pcap", [*packets, tcp(SERVER, CLIENT, 20, back[20:])]))
    assert not notes
    by_source: dict[str, list[str]] = {}
    for item in items:
        by_source.setdefault(item["packet"]["source"], []).append(item["summary"].split(", trans")[0])
    assert by_source["127.0.0.1:40000"] == ["data 0; ping_req", "data 1; fetch_req", "data 2; store_req"]
    assert by_source["127.0.0.2:12345"] == ["ack 0, 0x00000000", "ack 1, 0x00000002, 0", "data 0; ping_ans"]
    numbers = [item["packet"]["number"] for item in items]
    assert numbers == sorted(numbers)
    assert all(item["tree"]["offset"] == 0 for item in items)


def test_after_a_lost_segment_reading_goes_on_with_the_next_frame(tmp_path: Path) -> None:
    there = frame(0, MESSAGES[23]) + frame(1, MESSAGES[9]) + frame(2, MESSAGES[7]) + frame(3, MESSAGES[24])
    lost = len(frame(0, MESSAGES[23])) + 100
    parts = [tcp(CLIENT, SERVER, 0, there[:lost]), tcp(CLIENT, SERVER, lost + 50, there[lost + 50 :])]
    parts.append(tcp(SERVER, CLIENT, 0, ack(3, 14), acked=len(there)))  # so it was lost to the capture only
    items, notes = dump(write_pcap(tmp_path / "x.pcap", parts))
    assert sorted(summaries(items)) == ["ack 3", "data 0; ping_req", "data 2; store_req", "data 3; ping_ans"]
    assert any("missing" in note for note in notes)


def test_a_capture_that_begins_and_ends_within_frames(tmp_path: Path) -> None:
    there = frame(0, MESSAGES[23]) + frame(1, MESSAGES[9]) + frame(2, MESSAGES[7])
    items, notes = dump(write_pcap(tmp_path / "x.pcap", [tcp(CLIENT, SERVER, 0, there[50:-10])]))
    assert summaries(items) == ["data 1; fetch_req"]
    assert any("before it are no frames" in note for note in notes)
    assert any("ends within a frame" in note for note in notes)


def test_clear_udp_and_what_is_not_ours(tmp_path: Path) -> None:
    packets = [
        udp(CLIENT, SERVER, frame(0, MESSAGES[23])),
        udp(SERVER, CLIENT, ack(0, 0)),
        udp(SERVER, CLIENT, ack(1, 0) + frame(1, MESSAGES[24])),
        udp(SERVER, CLIENT, b"\0\1\0\0\x21\x12\xa4\x42" + bytes(12)),  # STUN
        udp(SERVER, CLIENT, b"\x80\x60" + bytes(170)),  # RTP begins as our frames do
        udp(SERVER, CLIENT, b"\x81\x60" + bytes(174)),
        tcp(("127.0.0.9", 1), ("127.0.0.9", 80), 0, b"GET / HTTP/1.1\r\n\r\n"),
    ]
    items, notes = dump(write_pcap(tmp_path / "x.pcap", packets))
    assert summaries(items) == ["data 0; ping_req", "ack 0", "ack 1", "data 1; ping_ans"]
    assert [item["packet"]["stream"] for item in items] == [None] * 4
    assert notes == ["1 TCP streams that are neither TLS nor RELOAD are passed over"]


def test_datagrams_whose_bytes_were_not_captured(tmp_path: Path) -> None:
    """Their headers tell of 100 bytes: a short snaplen, and an ICMP error, which quotes the headers alone (RFC 792)."""
    bare = udp(CLIENT, SERVER, bytes(100))[:28]
    unreachable = ip(1, SERVER, CLIENT, bytes.fromhex("0303000000000000") + bare)
    items, notes = dump(write_pcap(tmp_path / "x.pcap", [bare, unreachable, udp(CLIENT, SERVER, ack(0, 0))]))
    assert summaries(items) == ["ack 0"]
    assert not notes


def test_a_file_that_is_cut_short_is_read_up_to_there_and_a_note_says_so(tmp_path: Path) -> None:
    dtls = udp(CLIENT, SERVER, b"\x16\xfe\xfd" + bytes(30))
    packets = [dtls, tcp(CLIENT, SERVER, 0, ack(0, 0)), udp(CLIENT, SERVER, ack(1, 0)), udp(CLIENT, SERVER, ack(2, 0))]
    path = Path(write_pcap(tmp_path / "x.pcap", packets))
    path.write_bytes(path.read_bytes()[:-5])
    items, notes = dump(str(path))
    assert summaries(items) == ["ack 0", "ack 1"]
    assert [("cut short" in note, "--keylog" in note) for note in notes] == [(True, False), (False, True)]


def test_a_capture_without_anything_of_ours(tmp_path: Path) -> None:
    path = write_pcap(tmp_path / "x.pcap", [tcp(CLIENT, SERVER, 0, b"GET / HTTP/1.1\r\n\r\n")])
    done = CliRunner().invoke(app, ["dump", path])
    assert done.exit_code == 2
    assert "no RELOAD frames" in done.stderr


def test_a_malformed_frame_in_a_capture(tmp_path: Path) -> None:
    wrong = bytearray(MESSAGES[23])
    wrong[10] = 9  # the version
    items, _ = dump(write_pcap(tmp_path / "x.pcap", [udp(CLIENT, SERVER, frame(0, bytes(wrong)))]), code=1)
    assert items[0]["problem"]["rule"] == "the version is not 1.0"
    assert items[0]["problem"]["offset"] == 8 + 10
    assert items[0]["problem"]["bytes"].endswith(">09< " + wrong[11:19].hex(" ") + " ...")


# --- tshark's own dissector, as the judge of offsets --------------------------------------------------

FIELDS = {  # as tshark calls them: as the tree does, "structure.field"
    "reload.forwarding.token": "ForwardingHeader.relo_token",
    "reload.forwarding.overlay": "ForwardingHeader.overlay",
    "reload.forwarding.configuration_sequence": "ForwardingHeader.configuration_sequence",
    "reload.forwarding.version": "ForwardingHeader.version",
    "reload.forwarding.ttl": "ForwardingHeader.ttl",
    "reload.forwarding.fragment": "ForwardingHeader.fragment",
    "reload.forwarding.trans_id": "ForwardingHeader.transaction_id",
    "reload.forwarding.via_list.length": "ForwardingHeader.via_list_length",
    "reload.forwarding.destination_list.length": "ForwardingHeader.destination_list_length",
    "reload.forwarding.options.length": "ForwardingHeader.options_length",
    "reload.message.code": "Message.code",
    "reload.certificate.type": "GenericCertificate.type",
    "reload.hash_algorithm": "Signature.hash_algorithm",
    "reload.signature_algorithm": "Signature.signature_algorithm",
    "reload.signature.identity.type": "SignerIdentity.identity_type",
    "reload.signeridentityvalue.hash_alg": "SignerIdentity.hash_alg",
    "reload.signature.identity.value.certificate_hash": "SignerIdentity.certificate_hash",
    "reload.signature.value": "Signature.signature_value",
}


def places(tree: dict[str, Any]) -> Iterator[tuple[str, int, int]]:
    for name, child in tree.get("fields", {}).items():
        yield f"{tree['type']}.{name}", child["offset"], child["size"]
        yield from places(child)
    for child in tree.get("items", []):
        yield from places(child)


def test_fields_stand_where_tshark_finds_them(tmp_path: Path) -> None:
    """Everything tshark finds, and of what stands in every message nothing else."""
    frames = [frame(number, message) for number, message in enumerate(MESSAGES.values())]
    packets = [tcp(("127.0.0.1", 40000 + n), ("127.0.0.2", 6084), 0, data) for n, data in enumerate(frames)]
    path = write_pcap(tmp_path / "x.pcap", packets)
    pdml = subprocess.run(["tshark", "-r", path, "-T", "pdml"], capture_output=True, check=True).stdout
    items, _ = dump(path)
    dissected = ET.fromstring(pdml).findall("packet")
    assert len(dissected) == len(items) == len(frames) > 25
    for found, item in zip(dissected, items, strict=True):
        theirs = Counter(
            (FIELDS[field.get("name", "")], int(field.get("pos", 0)) - 40, int(field.get("size", 0)))
            for field in found.iter("field")
            if field.get("name") in FIELDS
        )
        ours = Counter(places(item["tree"]))
        assert theirs
        assert not theirs - ours
        in_all = {place for place in ours if place[0] in FIELDS.values() and place[0].startswith(("Forw", "Message"))}
        assert in_all <= set(theirs)


# --- TLS of two nodes, DTLS of openssl ----------------------------------------------------------------


class TcpRecorder:
    """Passes connections on to a port, and keeps what went by as packets."""

    def __init__(self, target: int) -> None:
        self.packets: list[bytes] = []
        self._target = target
        self._lock = threading.Lock()
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        threading.Thread(target=self._serve, daemon=True).start()

    def _serve(self) -> None:
        while True:
            try:
                near, peer = self._listener.accept()
            except OSError:
                return
            far = socket.create_connection(("127.0.0.1", self._target))
            ends = peer, ("127.0.0.1", self.port)
            for source, target, way in ((near, far, ends), (far, near, ends[::-1])):
                threading.Thread(target=self._pass, args=(source, target, *way), daemon=True).start()

    def _pass(self, source: socket.socket, target: socket.socket, a: Address, b: Address) -> None:
        sequence = 0
        while data := source.recv(16384):
            with self._lock:
                self.packets.append(tcp(a, b, sequence, data))
            sequence += len(data)
            target.sendall(data)
        with self._lock:
            target.shutdown(socket.SHUT_WR)

    def close(self) -> None:
        self._listener.close()


def test_tls_of_two_nodes_with_their_key_log(start: Callable[..., Child], tmp_path: Path) -> None:
    """A node joins through a recorder. The bootstrap node alone logs keys: one end's are enough."""
    first = start("quickstart", "--listen", "127.0.0.1:0", "--keylog", "keys")
    port = int(first.until("listening")["address"].rpartition(":")[2])
    recorder = TcpRecorder(port)
    second = start("node", "--ca", "data/bootstrap", "--data", "second", "--bootstrap", f"127.0.0.1:{recorder.port}")
    second.until("joined")
    for child in (second, first):
        child.signal(2)
        assert child.end() == 0
    recorder.close()
    keys = tmp_path / "keys"
    assert keys.stat().st_mode & 0o777 == 0o600
    assert "CLIENT_TRAFFIC_SECRET_0 " in keys.read_text()
    path = write_pcap(tmp_path / "tls.pcap", recorder.packets)

    done = CliRunner().invoke(app, ["dump", path])
    assert done.exit_code == 2
    assert "--keylog" in done.stderr

    items, notes = dump(path, "--keylog", str(keys), "--config", str(tmp_path / "data" / "bootstrap"))
    assert not notes
    codes = Counter(
        item["summary"].split("; ")[1].split(",")[0] for item in items if item["summary"].startswith("data")
    )
    for wanted in ("attach_req", "attach_ans", "join_req", "join_ans", "update_req", "leave_req"):
        assert codes[wanted] >= 1, codes
    assert sum(item["summary"].count("VALID and trusted") for item in items) == sum(codes.values())
    assert any(item["summary"].startswith("ack") for item in items)
    judged = tshark_codes(path, keys)
    assert Counter(item["tree"]["fields"]["message"]["fields"]["code"]["value"] for item in items
                   if item["summary"].startswith("data")) == judged  # fmt: skip


def tshark_codes(path: str, keys: Path) -> Counter[int]:
    """Message codes as Wireshark's dissector reads them. It listens on port 6084 without TLS only, so it is given the
    bytes that tshark decrypts."""
    follow = subprocess.run(
        ["tshark", "-r", path, "-o", f"tls.keylog_file:{keys}", "-q", "-z", "follow,tls,raw,0"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    sides = {"": b"", "\t": b""}
    for line in follow.splitlines():
        digits = line.strip()
        if digits and set(digits) <= set("0123456789abcdef"):
            sides["\t" if line.startswith("\t") else ""] += bytes.fromhex(digits)
    clear = []
    for data in sides.values():
        while data:
            size = 9 if data[0] == 0x81 else 8 + int.from_bytes(data[5:8], "big")
            clear.append(tcp(("127.0.0.1", 40000 + len(clear)), ("127.0.0.9", 6084), 0, data[:size]))
            data = data[size:]
    judged = write_pcap(Path(path).with_name("clear.pcap"), clear)
    shown = subprocess.run(
        ["tshark", "-r", judged, "-T", "fields", "-e", "reload.message.code"],
        capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    return Counter(int(code, 0) for line in shown.splitlines() for code in line.split(",") if code)


@contextmanager
def udp_recorder(target: int) -> Iterator[tuple[int, list[bytes]]]:
    """As TcpRecorder, for one client's datagrams."""
    packets: list[bytes] = []
    near = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    near.bind(("127.0.0.1", 0))
    far = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
    far.connect(("127.0.0.1", target))
    clients: list[Address] = []

    def there() -> None:
        while True:
            data, client = near.recvfrom(65535)
            if not data:
                return
            clients.append(client)
            packets.append(udp(client, ("127.0.0.1", 6000), data))
            far.send(data)

    def back() -> None:
        while True:
            try:
                data = far.recv(65535)
            except ConnectionRefusedError:
                continue
            except OSError:
                return
            packets.append(udp(("127.0.0.1", 6000), clients[0], data))
            near.sendto(data, clients[0])

    for run in (there, back):
        threading.Thread(target=run, daemon=True).start()
    yield near.getsockname()[1], packets
    socket.socket(socket.AF_INET, socket.SOCK_DGRAM).sendto(b"", near.getsockname())
    far.close()


def dtls_capture(tmp_path: Path, *records: bytes) -> str:
    """Packets of a client that sends these; its keys are in `keys`."""
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes", "-subj", "/CN=x",
         "-keyout", "key.pem", "-out", "cert.pem"], cwd=tmp_path, check=True, capture_output=True,
    )  # fmt: skip
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    server = subprocess.Popen(
        ["openssl", "s_server", "-dtls1_2", "-accept", f"127.0.0.1:{port}", "-key", "key.pem", "-cert", "cert.pem",
         "-quiet"],
        cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL,
    )  # fmt: skip
    try:
        with udp_recorder(port) as (proxy, packets):
            client = subprocess.Popen(
                ["openssl", "s_client", "-dtls1_2", "-connect", f"127.0.0.1:{proxy}", "-keylogfile", "keys", "-quiet"],
                cwd=tmp_path, stdin=subprocess.PIPE, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL,
            )  # fmt: skip
            assert client.stdin is not None
            assert server.stdout is not None
            for data in records:
                client.stdin.write(data)
                client.stdin.flush()
                assert server.stdout.read(len(data)) == data
            client.kill()
            client.wait()
            client.stdin.close()
    finally:
        server.kill()
        server.wait()
    return write_pcap(tmp_path / "dtls.pcap", packets)


def test_dtls_with_its_key_log(tmp_path: Path) -> None:
    path = dtls_capture(tmp_path, frame(0, MESSAGES[23]) + ack(3, 0))
    items, notes = dump(path, "--keylog", str(tmp_path / "keys"))
    assert summaries(items) == ["data 0; ping_req", "ack 3"]
    assert not notes
    done = CliRunner().invoke(app, ["dump", path])
    assert done.exit_code == 2
    assert "DTLS" in done.stderr


def test_dtls_of_another_application(tmp_path: Path) -> None:
    path = dtls_capture(tmp_path, b"no frame", b"nor this", ack(3, 0), MESSAGES[23])
    items, notes = dump(path, "--keylog", str(tmp_path / "keys"))
    assert summaries(items) == ["ack 3", "ping_req"]
    assert len(notes) == 1
    assert "own data" in notes[0]
    assert "no frame" in notes[0]


def test_packets_a_node_wrote_itself(start: Callable[..., Child], tmp_path: Path) -> None:
    """`--pcap`: the keys are in the file, so nothing else is needed."""
    first = start("quickstart", "--listen", "127.0.0.1:0", "--pcap", "own.pcapng")
    first.until("listening")
    second = start("node", "--ca", "data/bootstrap", "--data", "second")
    second.until("joined")
    for child in (second, first):
        child.signal(2)
        assert child.end() == 0
    items, _ = dump("--brief", str(tmp_path / "own.pcapng"))
    assert any("join_req" in item["summary"] for item in items)
    assert not [item for item in items if item.get("problem")]
