"""contrib/wireshark/xor_fast.lua in tshark: it shows what the dissector does not know, and bears any input."""

import random
import ssl
import subprocess
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import pytest

from tests.reference.mutants import Mutants
from tests.wireshark import capture
from tests.wireshark.expected import MODELS
from tests.wireshark.faults import FAULTS, frame, of_code
from tests.wireshark.random_messages import DissectableMessages
from xor_fast import messages as m
from xor_fast.cext import codec, wire
from xor_fast.errors import WireError
from xor_fast.messages import Code, XmppLocationType

FOLDER = Path(__file__).parents[2] / "contrib" / "wireshark"
PLUGIN = f"-Xlua_script:{FOLDER / 'xor_fast.lua'}"
XMPP_LOCATION = 5
NODE_A, NODE_B = b"\xaa" * 16, b"\xbb" * 16
SIGNATURE = m.Signature(4, 3, m.SignerIdentity(1, 4, b"\xc4" * 32), b"signature")

pytestmark = [
    pytest.mark.part("vectors"),
    pytest.mark.skipif(not capture.TSHARK, reason="tshark is not installed"),
]


def shown(path: Path, *options: str, fields: str) -> list[list[list[str]]]:
    """For each packet, for each of the fields, its values."""
    arguments = [argument for name in fields.split() for argument in ("-e", name)]
    text = capture.tshark(path, PLUGIN, *options, "-Tfields", "-Eaggregator=;", *arguments)
    return [[value.split(";") if value else [] for value in line.split("\t")] for line in text.split("\n")[:-1]]


def stored(value: bytes, exists: bool = True, key: bytes = NODE_A) -> m.StoredData:
    return m.StoredData(1700000000000, 60, m.DictionaryEntry(key, m.DataValue(exists, value)), SIGNATURE)


def store(*values: m.StoredData, kind: int = XMPP_LOCATION) -> bytes:
    return frame(Code.STORE_REQ, m.StoreReq(NODE_A, 0, (m.StoreKindData(kind, 1, values),)))


def address(text: str) -> bytes:
    return codec.encode_struct(m.XmppLocation(XmppLocationType.ADDRESS, text.encode()))


def route(*destinations: m.Destination, priority: int = 0) -> bytes:
    return codec.encode_struct(m.XmppLocation(XmppLocationType.ROUTE, priority=priority, destination_list=destinations))


def written(tmp_path: Path, *frames: bytes) -> Path:
    return capture.write(tmp_path / "frames.pcap", [(0, data) for data in frames])


# --- what it shows --------------------------------------------------------------------------------------------------


class LocatedMessages(DissectableMessages):
    """Messages whose values of XMPP-LOCATION are locations."""

    def kind(self) -> int:
        return XMPP_LOCATION if self.bits(1) else super().kind()

    def data_value(self) -> m.DataValue:
        value = super().data_value()
        if self.kind_at_work == XMPP_LOCATION and value.exists:
            return m.DataValue(True, codec.encode_struct(self.location()))
        return value

    def location(self) -> m.XmppLocation:
        choice = self.bits(2)
        if choice == 0:
            return m.XmppLocation(1, f"{self.u32():x}@жульетта.example".encode())
        if choice == 1:
            return m.XmppLocation(3 + self.bits(4), self.opaque())
        return m.XmppLocation(2, b"", self.bits(8), tuple(self.destination() for _ in range(self.bits(3))))


CODES = {
    Code.STORE_REQ,
    Code.FETCH_ANS,
    Code.FETCH_REQ,
    Code.STAT_REQ,
    Code.ATTACH_REQ,
    Code.APP_ATTACH_ANS,
    Code.FIND_REQ,
}


def of_location(message: m.Message) -> Iterator[tuple[bytes, m.DataValue, m.XmppLocation | None]]:
    """Key, value and, where there is one, location of what a StoreReq or FetchAns says of XMPP-LOCATION."""
    match message.body:
        case m.StoreReq(kind_data=kinds) | m.FetchAns(kind_responses=kinds):
            for values in (kind.values for kind in kinds if kind.kind == XMPP_LOCATION):
                for entry in (data.value for data in values):
                    location = codec.decode_struct(m.XmppLocation, entry.value.value) if entry.value.exists else None
                    yield entry.key, entry.value, location


FIELDS = """xor.version xor.application xor.candidate.priority xor.candidate.type xor.fetch.key xor.location.key
    xor.location.exists xor.location.type xor.location.address xor.location.priority xor.location.destination.type
    xor.location.node_id xor.location.resource_id xor.location.opaque_id"""


def expected(message: m.Message) -> list[list[str]]:
    """The values of FIELDS by our own codec."""
    candidates = getattr(message.body, "candidates", ())
    application = getattr(message.body, "application", None)
    keys = [
        key
        for specifier in getattr(message.body, "specifiers", ())
        if specifier.kind == XMPP_LOCATION
        for key in specifier.model_specifier
    ]
    entries = list(of_location(message))
    locations = [location for _, _, location in entries if location]
    routes = [location for location in locations if location.type == XmppLocationType.ROUTE]
    destinations = [destination for location in routes for destination in location.destination_list]
    by_type = {type_: [d.value.hex() for d in destinations if d.type == type_ and d.value] for type_ in (1, 2, 3)}
    return [
        [str(message.header.version)],
        [] if application is None else [str(application)],
        [str(candidate.priority) for candidate in candidates],
        [str(candidate.type) for candidate in candidates],
        [key.hex() for key in keys if key],
        [key.hex() for key, _, _ in entries if key],
        [str(int(value.exists)) for _, value, _ in entries],
        [str(location.type) for location in locations],
        [location.address.decode() for location in locations if location.type == XmppLocationType.ADDRESS],
        [str(location.priority) for location in routes],
        [str(destination.type) for destination in destinations if not destination.compact],
        by_type[1],
        by_type[2],
        by_type[3],
    ]


def test_it_shows_what_our_codec_decodes(certificates: list[bytes], tmp_path: Path, rng: random.Random) -> None:
    make = LocatedMessages(rng, certificates)
    messages: list[bytes] = []
    while len(messages) < 1500:
        data = make.encoded()
        code = codec.decode_message(data, make.node_id_length).code
        if make.node_id_length == 16 and code in CODES and len(data) < capture.SEGMENT:  # one packet each
            messages.append(data)
    path = written(tmp_path, *(wire.data_frame(n, data) for n, data in enumerate(messages)))
    rows = shown(path, "-Yreload", fields=FIELDS)
    assert len(rows) == len(messages)
    seen = [0] * len(FIELDS.split())
    for data, row in zip(messages, rows, strict=True):
        want = expected(codec.decode_message(data, 16, MODELS))
        assert row == want, data.hex()
        seen = [count + len(values) for count, values in zip(seen, want, strict=True)]
    assert min(seen) > 0, str(seen)


def test_the_tree_says_it_in_words(tmp_path: Path) -> None:
    to_b = m.Destination(1, NODE_B)
    path = written(tmp_path, store(stored(address("juliet@capulet.lit")), stored(route(to_b, priority=7))))
    text = capture.tshark(path, PLUGIN, "-Oxor")
    lines = [line.strip() for line in text[text.index("XMPP Overlay for RELOAD") :].split("\n") if line.strip()]
    assert lines == [
        "XMPP Overlay for RELOAD (XEP-0415)",
        "version: 1.0 (RFC 6940) (10)",
        "kind: 5 (XMPP-LOCATION)",
        "XmppLocation: the address juliet@capulet.lit",
        f"key (Node-ID of the writer): {NODE_A.hex()}",
        "exists: True",
        "type: xmpp_location_address (1)",
        "address: juliet@capulet.lit",
        "XmppLocation: a route of 1 destination",
        f"key (Node-ID of the writer): {NODE_A.hex()}",
        "exists: True",
        "type: xmpp_location_route (2)",
        "priority: 7",
        "Destination: node",
        "type: node (1)",
        f"node_id: {NODE_B.hex()}",
    ]


def test_application_5222_has_its_name(tmp_path: Path) -> None:
    candidate = m.IceCandidate(m.IpAddressPort(1, b"\1\2\3\4", 5), 4, b"f", 678)
    attach = m.AppAttachReqAns(b"u", b"p", 5222, b"passive", (candidate,))
    text = capture.tshark(written(tmp_path, frame(Code.APP_ATTACH_REQ, attach)), PLUGIN, "-Oxor")
    assert "    application: xmpp (XEP-0415) (5222)\n" in text
    assert "    IceCandidate: priority 678\n        priority: 678\n        type: host (1)\n" in text


@pytest.mark.parametrize(
    ("text", "numbers"),
    [
        ('xor.location.address == "juliet@capulet.lit"', [1]),
        ("xor.location.type == 2", [2]),
        (f"xor.location.node_id == {NODE_B.hex(':')}", [2]),
        ("xor.kind", [1, 2, 4]),
        ("xor.location", [1, 2]),
        ("xor.application == 5222", [3]),
        ("xor.version == 10", [1, 2, 3, 4]),
        ("xor.fetch.all", [4]),
    ],
)
def test_its_fields_can_be_filtered_for(tmp_path: Path, text: str, numbers: list[int]) -> None:
    path = written(
        tmp_path,
        store(stored(address("juliet@capulet.lit"))),
        store(stored(route(m.Destination(1, NODE_B)))),
        frame(Code.APP_ATTACH_ANS, m.AppAttachReqAns(b"u", b"p", 5222, b"active", ())),
        frame(Code.FETCH_REQ, m.FetchReq(NODE_A, (m.StoredDataSpecifier(XMPP_LOCATION, 0, b"\0\0"),))),
    )
    assert [int(row[0][0]) for row in shown(path, f"-Y{text}", fields="frame.number")] == numbers


def test_the_kind_can_be_another(tmp_path: Path) -> None:
    private = 0xF0000001
    path = written(tmp_path, store(stored(address("a@b")), kind=private), store(stored(address("c@d"))))
    assert shown(path, fields="xor.location.address") == [[[]], [["c@d"]]]
    assert shown(path, f"-oxor.kind:{private}", fields="xor.location.address") == [[["a@b"]], [[]]]


# --- what is wrong --------------------------------------------------------------------------------------------------

NODE = m.Destination(1, NODE_B)
WRONG = {
    b"": "type is cut short",
    b"\0\0\0": "XmppLocation of type 0",
    b"\1\0": "XmppLocation is cut short",
    b"\1\0\5\0\4a": "XmppLocation is cut short",
    b"\1\0\4\0\3ab": "address is cut short",
    b"\1\0\4\0\1ab": "XmppLocation is longer than its content",
    b"\1\0\4\0\2abc": "value is longer than its content",
    b"\1\0\2\0\0": "address is empty",
    b"\1\0\4\0\2\xc3\x28": "address is not UTF-8",
    b"\1\0\4\0\2\xc0\xaf": "address is not UTF-8",
    b"\1\0\5\0\3\xed\xa0\x80": "address is not UTF-8",
    b"\2\0\0": "priority is cut short",
    b"\2\0\4\7\0\1\1": "Destination is cut short",
    b"\2\0\5\7\0\2\1\0": "Node-ID of 0 bytes",
    b"\2\0\5\7\0\2\0\0": "Destination of type 0",
    b"\2\0\7\7\0\4\2\2\0a": "Destination is longer than its content",
    b"\2\0\4\7\0\1\x80": "opaque id of two bytes is cut short",
    b"\2\0\4\7\0\0a": "XmppLocation is longer than its content",
}


def test_malformed_locations_have_an_expert_item(tmp_path: Path) -> None:
    path = written(tmp_path, *(store(stored(value)) for value in WRONG))
    rows = shown(path, "-Yxor.malformed", fields="_ws.expert.message")
    assert [row[0] for row in rows] == [["Unknown Data Model", f"Malformed: {text}"] for text in WRONG.values()]


def test_strange_locations_have_a_warning(tmp_path: Path) -> None:
    path = written(
        tmp_path,
        store(stored(address("a@b/c"))),
        store(stored(route(NODE, m.Destination(2, NODE_A)))),
        store(stored(route())),
    )
    assert shown(path, "-Yxor.location.address.full", fields="frame.number") == [[["1"]]]
    assert shown(path, "-Yxor.location.route.end", fields="frame.number") == [[["2"]], [["3"]]]


def test_no_input_is_an_error(certificates: list[bytes], tmp_path: Path, rng: random.Random) -> None:
    """Mutants of whole messages, and mutants of what lies in a location, in messages that are in order."""
    make, mutants = LocatedMessages(rng, certificates), Mutants(rng)
    frames = [of_code(Code.PING_REQ)]
    for _ in range(1500):
        data = make.encoded()
        frames.append(wire.data_frame(1, mutants.of_message(data)))
        with suppress(WireError):
            location = codec.encode_struct(make.location())
            frames.append(store(stored(mutants.edited(location), key=rng.randbytes(rng.randrange(20)))))
    path = written(tmp_path, *(data for data in frames if len(data) < 1 << 17))
    done = subprocess.run(["tshark", "-r", path, PLUGIN, "-Oxor"], capture_output=True, errors="replace", text=True)
    assert done.returncode == 0
    assert "Lua" not in done.stdout + done.stderr
    assert done.stdout.count("XmppLocation") > 1500
    assert done.stdout.count("Malformed: ") > 300


# --- RELOAD in TLS --------------------------------------------------------------------------------------------------


def tls_conversation(writes: list[tuple[int, bytes]], folder: Path) -> Iterator[tuple[int, bytes]]:
    """(side, bytes of TCP) of a TLS connection over which these are written; its secrets go to folder/keys."""
    files = ["-keyout", folder / "key.pem", "-out", folder / "certificate.pem"]
    command = [
        "openssl",
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        "ec_paramgen_curve:P-256",
        "-noenc",
        "-subj",
        "/CN=a",
    ]
    subprocess.run([*command, *files], capture_output=True, check=True)
    server, client = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER), ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    server.load_cert_chain(folder / "certificate.pem", folder / "key.pem")
    client.check_hostname, client.verify_mode = False, ssl.CERT_NONE
    client.keylog_filename = str(folder / "keys")
    to_server, to_client, out = ssl.MemoryBIO(), ssl.MemoryBIO(), (ssl.MemoryBIO(), ssl.MemoryBIO())
    ends = client.wrap_bio(to_client, out[0]), server.wrap_bio(to_server, out[1], server_side=True)
    for side in (0, 1, 0, 1):
        with suppress(ssl.SSLWantReadError):
            ends[side].do_handshake()
        data = out[side].read()
        (to_client if side else to_server).write(data)
        yield side, data
    for side, data in writes:
        ends[side].write(data)
        yield side, out[side].read()


def test_frames_in_tls_are_dissected(certificates: list[bytes], tmp_path: Path, rng: random.Random) -> None:
    """However they lie in the records: several in one, one in several."""
    make = DissectableMessages(rng, certificates)
    streams = [b"", b""]
    ids: list[list[str]] = [[], []]
    acked: list[list[str]] = [[], []]
    for number in range(60):
        side, data = number % 2, make.encoded()
        streams[side] += wire.data_frame(number // 2, data) + wire.ack_frame(number, 1)
        ids[side].append(f"0x{wire.peek(data).transaction_id:016x}")
        acked[side].append(str(number))
    writes: list[tuple[int, bytes]] = []
    for side, stream in enumerate(streams):
        while stream:
            size = rng.choice((9, 40, 700, 3000, 16000))
            writes.append((side, stream[:size]))
            stream = stream[size:]
    path = capture.write(tmp_path / "tls.pcap", tls_conversation(writes, tmp_path), port=45803)
    keys = f"-otls.keylog_file:{tmp_path / 'keys'}"
    rows = shown(path, keys, fields="tcp.srcport reload.forwarding.trans_id reload_framing.ack_sequence")
    for side, port in enumerate((str(capture.CLIENT_PORT), "45803")):
        assert [id_ for row in rows if row[0] == [port] for id_ in row[1]] == ids[side]
        assert [number for row in rows if row[0] == [port] for number in row[2]] == acked[side]


def test_other_things_in_tls_are_left_alone(tmp_path: Path) -> None:
    writes = [
        (0, b"<?xml version='1.0'?><stream:stream>"),
        (1, b"\x80\0\0\0\0\0\0\x05hello"),
        (0, b"\x81"),
        (1, b"GET / HTTP/1.1\r\n"),
    ]
    path = capture.write(tmp_path / "tls.pcap", tls_conversation(writes, tmp_path), port=45803)
    protocols = shown(path, f"-otls.keylog_file:{tmp_path / 'keys'}", "-Ytls.app_data", fields="frame.protocols")
    assert len(protocols) >= len(writes)
    assert not any("reload" in row[0][0] for row in protocols)


# --- the manual -----------------------------------------------------------------------------------------------------


def test_the_readme_names_every_fault() -> None:
    readme = (FOLDER / "README.md").read_text()
    for fault in FAULTS:
        assert f"| `{fault.name}` | {fault.section} | {fault.what} |" in readme, fault.name
