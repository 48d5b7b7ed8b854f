"""Wireshark's dissector, written by others from the same text, reads in our messages what we wrote.

Random messages of every code and every form, an ACK after each, are taken apart by tshark: nothing is malformed, and
each field it shows has our value. What it reads wrongly stands in faults.py. XOR_FAST_TSHARK_COUNT sets another number
of messages than 10,000.
"""

import os
import random
import re
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from enum import IntEnum
from pathlib import Path
from struct import pack_into
from typing import Any

import pytest

from tests.wireshark import capture
from tests.wireshark.capture import Shown
from tests.wireshark.expected import MODELS, NAMES, ROWS, Expectation, Expected
from tests.wireshark.faults import FAULTS, frame, of_code
from tests.wireshark.random_messages import DissectableMessages
from xor_fast import messages as m
from xor_fast.cext import codec, wire
from xor_fast.errors import ErrorCode
from xor_fast.messages import Code

COUNT = int(os.environ.get("XOR_FAST_TSHARK_COUNT") or 10000)

pytestmark = [
    pytest.mark.part("vectors"),
    pytest.mark.skipif(not capture.TSHARK, reason="tshark is not installed"),
]

# What is shown but not compared, and why.
UNCOMPARED = {
    **dict.fromkeys(("length.8", "length.16", "length.24", "length.32"), "what they bound is compared"),
    **{f"forwarding.{name}.length": "as above" for name in ("via_list", "destination_list", "options")},
    "reload_framing.message.length": "as above",
    "reload_framing.message.data": "its fields are compared",
    "forwarding.token": "a constant; nothing else is dissected",
    **{f"forwarding.fragment.{bits}": "bits of a field" for bits in ("fragmented", "last", "reserved", "offset")},
    "forwarding.option.flag.ignore_state_keeping": "bits of a field",
    "forwarding.option.flag.response_copy": "as above",
    "forwarding.option.flags.destination_critical": "as above",
    "forwarding.option.flags.forward_critical": "as above",
    "icecandidate.priority": "a fault",
    "message_extension.content": "a fault",
}
# What tshark notes of messages that are in order, and why.
NOTES = {
    "Unknown identity type": "a fault",
    "Unknown Data Model": "a Kind that nobody told it of",
    "Trailing stray characters": "a zero byte in what it shows as text",
}


requirement = pytest.mark.req  # here ids are put together of their parts


def codec_requirements(names: str) -> pytest.MarkDecorator:
    return requirement(*(f"codec.{name}" for name in names.split()))


# --- one message ----------------------------------------------------------------------------------------------------


def has_value(shown: Shown, value: int | bytes | str | None) -> bool:
    match value:
        case None:
            return True
        case bytes():
            return shown.content == value if shown.name in capture.CLOSED else shown.value == value.hex()
        case str():
            return shown.label == value
    # Of a time, which is shown as a date, the bytes
    return (int(shown.value, 16) if shown.show.endswith("UTC") else int(shown.show, 0)) == value


def difference(fields: Iterable[Shown], expected: Iterable[Expected]) -> str | None:
    shown = [f for f in fields if f.name in NAMES and (f.value or not f.name.startswith("opaque."))]
    expected = list(expected)
    for number, (seen, (name, value)) in enumerate(zip(shown, expected, strict=False)):
        if seen.name != name or not has_value(seen, value):
            return f"field {number}: {name} is {value!r}, shown is {seen!r}"
    return None if len(shown) == len(expected) else f"{len(expected)} fields, {len(shown)} shown"


def of_data(sequence: int, inside: Iterable[Expected]) -> Iterator[Expected]:
    yield from (("reload_framing.type", 128), ("reload_framing.sequence", sequence))
    yield from inside


def of_ack(sequence: int, received: int) -> Iterator[Expected]:
    yield from (("reload_framing.type", 129), ("reload_framing.ack_sequence", sequence))
    yield "reload_framing.received", received


# --- 10,000 messages ------------------------------------------------------------------------------------------------


@dataclass
class Verdict:
    differences: list[str] = field(default_factory=list)
    frames: int = 0
    compared: int = 0
    codes: Counter[int] = field(default_factory=Counter)
    rows: set[Any] = field(default_factory=set)
    names: set[str] = field(default_factory=set)

    def judge(self, path: Path, messages: list[bytes], node_id_length: int, source: random.Random) -> None:
        """Messages of an overlay, and an ACK after each."""
        expectation = Expectation(node_id_length)
        frames: list[tuple[int, bytes]] = []
        expected: list[Iterator[Expected]] = []
        for data in messages:
            message = codec.decode_message(data, node_id_length, MODELS)
            self.codes[message.code] += 1
            side = int(message.code % 2 == 0)  # of an answer
            sequence, received = source.getrandbits(32), source.getrandbits(32)
            frames += [(side, wire.data_frame(sequence, data)), (1 - side, wire.ack_frame(sequence, received))]
            expected += [of_data(sequence, expectation.of_message(message)), of_ack(sequence, received)]
        capture.write(path, frames)
        found = capture.frames(path, messages, "-o", f"reload.nodeid_length:{node_id_length}")
        for (_, sent), inside, shown in zip(frames, expected, found, strict=True):
            self.frames += 1
            self.compared += sum(f.name in NAMES for f in shown.fields)
            self.names.update(f.name for f in shown.fields if f.value)
            notes = set(shown.notes) - NOTES.keys()
            if problem := difference(shown.fields, inside) or (notes and f"noted: {notes}"):
                self.differences.append(f"{sent.hex()}, node-id-length {node_id_length}: {problem}")
        self.rows |= expectation.used


@pytest.fixture(scope="module")
def verdict(
    certificates: list[bytes], pytestconfig: pytest.Config, tmp_path_factory: pytest.TempPathFactory
) -> Verdict:
    source = random.Random(pytestconfig.option.hypothesis_seed)
    make = DissectableMessages(source, certificates)
    messages: dict[int, list[bytes]] = defaultdict(list)
    for _ in range(COUNT):
        data = make.encoded()
        messages[make.node_id_length].append(data)
    found = Verdict()
    for node_id_length, of_it in messages.items():
        found.judge(tmp_path_factory.mktemp("tshark") / "frames.pcap", of_it, node_id_length, source)
    return found


@codec_requirements(
    """byte-order message-parts length-prefix node-id kind-id ip-address-v4 ip-address-v6 forwarding-header
    list-lengths-bytes destination-node destination-resource destination-opaque destination-compressed forwarding-option
    message-contents message-extension error-response generic-certificate security-block signer-identity signature
    join-req join-ans leave-req route-query-req route-query-ans-chord probe-req probe-ans
    ice-extension attach app-attach ping-req ping-ans config-update-req framed-data framed-ack
    stored-data data-value array-entry dictionary-entry store-req store-kind-data store-kind-response store-ans
    unknown-kinds array-range fetch-req fetch-ans stat-req meta-data stored-meta-data stat-ans find-req find-ans
    turn-server chord-update chord-leave"""
)
@pytest.mark.timeout(100 + COUNT // 20)
def test_tshark_reads_what_we_wrote(verdict: Verdict) -> None:
    assert verdict.differences == []
    assert verdict.frames == 2 * COUNT
    assert verdict.compared > 30 * COUNT


@pytest.mark.skipif(COUNT < 5000, reason="too few messages to hold everything")
def test_every_structure_and_code_was_among_them(verdict: Verdict) -> None:
    assert verdict.rows == ROWS.keys()
    assert verdict.codes.keys() >= set(Code)


def test_nothing_it_shows_is_passed_over(verdict: Verdict) -> None:
    assert verdict.names - NAMES <= UNCOMPARED.keys()


def test_a_wrong_byte_is_noticed(certificates: list[bytes], tmp_path: Path, rng: random.Random) -> None:
    make = DissectableMessages(rng, certificates)
    data = make.encoded()
    header = wire.peek(data)
    wrong = bytearray(data)
    wrong[rng.choice((4, 8, 11, 20, 28, header.header_size + 1))] ^= 1
    path = capture.write(tmp_path / "frames.pcap", [(0, wire.data_frame(0, bytes(wrong)))])
    (shown,) = capture.frames(path, [bytes(wrong)], "-o", f"reload.nodeid_length:{make.node_id_length}")
    message = codec.decode_message(data, make.node_id_length, MODELS)
    assert difference(shown.fields, of_data(0, Expectation(make.node_id_length).of_message(message)))


def test_what_is_cut_short_is_noted(tmp_path: Path) -> None:
    header = m.ForwardingHeader(1, 2, 3, 4, (), ())
    unsigned = m.SecurityBlock((), m.Signature(0, 0, m.SignerIdentity(1, 0, b""), b""))
    data = codec.encode_message(m.Message(header, Code.PING_ANS, m.PingAns(5, 6), (), unsigned))
    data = data[:19] + bytes([data[19] - 3]) + data[20:-3]
    path = capture.write(tmp_path / "frames.pcap", [(0, wire.data_frame(0, data))])
    (shown,) = capture.frames(path, [data])
    assert any("Malformed" in note or "Truncated" in note for note in shown.notes)


# --- fragments ------------------------------------------------------------------------------------------------------


def fragments(data: bytes, size: int) -> list[bytes]:
    """As RFC 6940 6.7: a copy of the header each, with the offset of its part of what follows the header."""
    start = wire.peek(data).header_size
    found = []
    for at in range(start, len(data), size):
        part = bytearray(data[:start] + data[at : at + size])
        last = 0x40000000 if at + size >= len(data) else 0
        pack_into(">II", part, 12, 0x80000000 | last | (at - start), len(part))
        found.append(bytes(part))
    return found


def test_fragments_are_joined(certificates: list[bytes], tmp_path: Path, rng: random.Random) -> None:
    make = DissectableMessages(rng, certificates)
    by_place = [*certificates, b"<some>"]  # compared by where they are, in a message that is one piece
    parts: list[bytes] = []
    expected: dict[int, list[Expected]] = {}
    while len(expected) < 100:
        data = make.encoded()
        if make.node_id_length == 16 and not any(content in data for content in by_place):
            message = codec.decode_message(data, 16, MODELS)
            number = message.header.transaction_id & 0xFFFFFFFF  # by which the dissector tells messages apart
            # The code of an error it looks for in the last fragment, before the fragments are joined
            if message.code != Code.ERROR and number not in expected:
                expected[number] = [*Expectation(16).of_message(message)]
                cut = fragments(data, rng.randrange(20, 500))
                parts += rng.sample(cut, len(cut))
    path = capture.write(tmp_path / "frames.pcap", [(0, wire.data_frame(0, part)) for part in parts])
    whole = [shown for shown in capture.frames(path, parts) if any(f.name == "message.code" for f in shown.fields)]
    for of_message, shown in zip(expected.values(), whole, strict=True):
        want = [("forwarding.fragment", None) if pair[0] == "forwarding.fragment" else pair for pair in of_message]
        assert difference(shown.fields, of_data(0, want)) is None


# --- names of code points -------------------------------------------------------------------------------------------

OURS: dict[str, type[IntEnum]] = {
    "reload.error_response.code": ErrorCode,
    "reload.forwarding.destination.type": m.DestinationType,
    "reload.message_extension.type": m.MessageExtensionType,
    "reload.ipaddressport.type": m.AddressType,
    "reload.overlaylink.type": m.OverlayLinkType,
    "reload.icecandidate.type": m.CandidateType,
    "reload.certificate.type": m.CertificateType,
    "reload.signature.identity.type": m.SignerIdentityType,
    "reload.hash_algorithm": m.HashAlgorithm,
    "reload.signature_algorithm": m.SignatureAlgorithm,
    "reload.probe_information.type": m.ProbeInformationType,
    "reload.configupdatereq.type": m.ConfigUpdateType,
    "reload.chordupdate.type": m.ChordUpdateType,
    "reload.chordleavedata.type": m.ChordLeaveType,
}
UNNAMED = {"INVALID_MESSAGE", "OPAQUE_ID"}  # faults


@codec_requirements(
    """err.forbidden err.not-found err.request-timeout err.generation-too-low err.incompatible err.forwarding-option
    err.data-too-large err.data-too-old err.ttl-exceeded err.message-too-large err.unknown-kind err.unknown-extension
    err.response-too-large err.config-too-old err.config-too-new err.in-progress hash-algorithms signature-algorithms"""
)
def test_code_points_have_the_names_we_give_them() -> None:
    theirs: dict[tuple[str, int], str] = {}
    for line in capture.run("-G", "values").split("\n"):
        kind, name, *value = line.split("\t") if "\t" in line else ("", "")
        if kind == "V" and name in OURS:
            theirs[name, int(value[0], 0)] = re.sub(r"[^A-Z0-9]", "_", value[1].upper().removeprefix("ERROR_"))
    for name, enum in OURS.items():
        for member in enum:
            if member.name not in UNNAMED:
                assert theirs[name, member].replace("_", "") == member.name.replace("_", "")


@codec_requirements(
    """msg.probe msg.attach msg.store msg.fetch msg.find msg.join msg.leave msg.update msg.route-query msg.ping msg.stat
    msg.app-attach msg.config-update"""
)
def test_message_codes_have_the_names_we_give_them(tmp_path: Path) -> None:
    codes = [code for code in Code if code != Code.ERROR]
    path = capture.write(tmp_path / "frames.pcap", [(0, of_code(code)) for code in codes])
    lines = capture.tshark(path, "-V").splitlines()
    shown = [line.strip() for line in lines if "message_code" in line]
    assert shown == [f"message_code (uint16): {code:d} ({code.name.lower()})" for code in codes]


def test_a_time_is_milliseconds_since_1970(tmp_path: Path) -> None:
    path = capture.write(tmp_path / "frames.pcap", [(0, frame(Code.PING_ANS, m.PingAns(1, 1700000000123)))])
    assert capture.tshark(path, "-T", "fields", "-e", "reload.ping.time") == "Nov 14, 2023 22:13:20.123000000 UTC\n"


# --- faults ---------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def lines(tmp_path_factory: pytest.TempPathFactory) -> list[set[str]]:
    """What `tshark -V` says of each fault's frame. The first frame of a connection has to be a message."""
    frames = [of_code(Code.PING_REQ), *(fault.frame for fault in FAULTS)]
    path = capture.write(tmp_path_factory.mktemp("faults") / "frames.pcap", [(0, frame) for frame in frames])
    said = capture.tshark(path, "-V", "-Y", "reload-framing").split("\n\n")
    return [{line.strip() for line in text.split("\n")} for text in said[1:]]


@pytest.mark.parametrize("number", range(len(FAULTS)), ids=[fault.name for fault in FAULTS])
def test_a_fault_is_what_the_table_says(lines: list[set[str]], number: int) -> None:
    if not capture.VERSION.startswith("4.0.") and FAULTS[number].shows not in lines[number]:
        pytest.skip(f"tshark {capture.VERSION} no longer has it")
    assert FAULTS[number].shows in lines[number]
