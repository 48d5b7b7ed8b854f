"""Wireshark's dissector as a decoder we did not write: it takes our messages apart without a complaint.

Known faults of the dissector (packet-reload.c of tshark 4.0), left out of what is compared: it names version 0x0a
unknown, reads ICE candidate priorities at a wrong place, and dictionary keys of Fetch requests too.
"""

import shutil
import subprocess
from collections.abc import Iterable
from pathlib import Path

import pytest

from xor_fast import messages as m
from xor_fast.cext import codec, wire
from xor_fast.messages import Code

pytestmark = [
    pytest.mark.part("vectors"),
    pytest.mark.skipif(not (shutil.which("tshark") and shutil.which("text2pcap")), reason="tshark is not installed"),
]

NODE_A, NODE_B = b"\xaa" * 16, b"\xbb" * 16
IDENTITY = m.SignerIdentity(1, 4, b"\xc4" * 32)
SIGNATURE = m.Signature(4, 3, IDENTITY, b"\x30\x06" + b"\x02\x01\x01" * 2)
SECURITY = m.SecurityBlock((), SIGNATURE)
HOST = m.IceCandidate(m.IpAddressPort(1, b"\x7f\0\0\1", 4000), 4, b"f1", 0x7EFFFFFF)
SRFLX = m.IceCandidate(
    m.IpAddressPort(2, b"\x20\x01\x0d\xb8" + bytes(12), 4001), 1, b"f2", 1, 2, m.IpAddressPort(1, b"\x0a\0\0\1", 4000)
)
# Kind 1 is SIP-REGISTRATION, the only dictionary the dissector knows; a URI in it has the layout of an XMPP address.
LOCATION = codec.encode_struct(m.XmppLocation(1, b"juliet@capulet.lit"))
ENTRY = m.DictionaryEntry(NODE_A, m.DataValue(True, LOCATION))
STORED = m.StoredData(1700000000000, 3600, ENTRY, SIGNATURE)

BODIES: list[tuple[Code, m.Body, str]] = [
    (Code.PING_REQ, m.PingReq(b"12345678"), "Ping Request"),
    (Code.PING_ANS, m.PingAns(1, 1700000000000), "Ping Response"),
    (Code.ATTACH_REQ, m.AttachReqAns(b"ufrg", b"p" * 22, b"passive", (HOST, SRFLX), True), "Attach Request"),
    (Code.ATTACH_ANS, m.AttachReqAns(b"ufrg", b"p" * 22, b"active", (HOST,), False), "Attach Response"),
    (Code.APP_ATTACH_REQ, m.AppAttachReqAns(b"ufrg", b"p" * 22, 5222, b"passive", (HOST,)), "AppAttach Request"),
    (Code.JOIN_REQ, m.JoinReq(NODE_A), "Join Request"),
    (Code.JOIN_ANS, m.JoinAns(), "Join Response"),
    (Code.LEAVE_REQ, m.LeaveReq(NODE_A, codec.encode_struct(m.ChordLeaveData(1, (NODE_B,)))), "Leave Request"),
    (Code.UPDATE_REQ, m.UpdateReq(60, 3, (NODE_A,), (NODE_B,), (NODE_A, NODE_B)), "Update Request"),
    (Code.ROUTE_QUERY_REQ, m.RouteQueryReq(True, m.Destination(2, NODE_A)), "RouteQuery Request"),
    (Code.STORE_REQ, m.StoreReq(NODE_A, 0, (m.StoreKindData(1, 1, (STORED,)),)), "Store Request"),
    (Code.STORE_ANS, m.StoreAns((m.StoreKindResponse(1, 2, (NODE_A, NODE_B)),)), "Store Response"),
    (Code.FETCH_ANS, m.FetchAns((m.FetchKindResponse(1, 2, (STORED,)),)), "Fetch Response"),
    (Code.ERROR, m.ErrorResponse(3, b"not here"), "Error Response Error_Not_Found"),
]


def message(code: Code, body: m.Body, number: int) -> bytes:
    header = m.ForwardingHeader(
        1, 22, 100, number, (m.Destination(1, NODE_B),), (m.Destination(1, NODE_A), m.Destination(3, b"\x80\1", True))
    )
    return codec.encode_message(m.Message(header, code, body, (), SECURITY))


def hexdump(packets: Iterable[bytes]) -> str:
    """The form text2pcap reads; each packet starts again at offset 0."""
    lines = []
    for packet in packets:
        lines += [f"{at:06x} {packet[at : at + 16].hex(' ')}" for at in range(0, len(packet), 16)]
    return "\n".join(lines) + "\n"


def tshark(capture: Path, *arguments: str) -> list[str]:
    done = subprocess.run(["tshark", "-r", str(capture), *arguments], capture_output=True, text=True, check=True)
    return done.stdout.splitlines()


@pytest.fixture(scope="module")
def capture(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("tshark")
    frames = [wire.data_frame(i, message(code, body, i + 1)) for i, (code, body, _) in enumerate(BODIES)]
    (folder / "frames.txt").write_text(hexdump(frames))
    made = ["text2pcap", "-q", "-T", "40000,6084", str(folder / "frames.txt"), str(folder / "frames.pcap")]
    subprocess.run(made, check=True, capture_output=True)
    return folder / "frames.pcap"


def test_nothing_is_malformed(capture: Path) -> None:
    assert tshark(capture, "-Y", "_ws.malformed") == []


FIELDS = "message.code forwarding.trans_id forwarding.overlay forwarding.ttl forwarding.configuration_sequence"


def test_every_message_is_recognised(capture: Path) -> None:
    names = [f"reload.{name}" for name in FIELDS.split()] + ["_ws.col.Info"]
    rows = tshark(capture, "-T", "fields", *[argument for name in names for argument in ("-e", name)])
    assert len(rows) == len(BODIES)
    for number, (row, (code, _, info)) in enumerate(zip(rows, BODIES, strict=True), 1):
        values = row.split("\t")
        assert [int(value, 0) for value in values[:-1]] == [code, number, 1, 100, 22]
        assert values[-1].strip() == info


@pytest.mark.parametrize("code", [Code.STORE_REQ, Code.FETCH_ANS])
def test_a_stored_value_is_taken_apart(capture: Path, code: Code) -> None:
    seen = {line.strip() for line in tshark(capture, "-O", "reload", "-Y", f"reload.message.code == {code:d}")}
    assert seen >= {
        "kind (KindId): 1 (SIP-REGISTRATION)",
        "storage_time (uint64): Nov 14, 2023 22:13:20.000000000 UTC",
        "lifetime (uint32): 3600",
        f"NodeId: {NODE_A.hex()}",
        "exists (Boolean): True",
        "data (string): juliet@capulet.lit",
        "hash (HashAlgorithm): SHA256 (4)",
        "signature (SignatureAlgorithm): ECDSA (3)",
        "identity_type (SignerIdentityType): cert_hash (1)",
        f"data (bytes): {IDENTITY.certificate_hash.hex()}",
        f"data (bytes): {SIGNATURE.signature_value.hex()}",
    }
