"""What Wireshark's RELOAD dissector (version 4.0) is known to read wrongly, each with a frame that shows it."""

from typing import NamedTuple

from xor_fast import messages as m
from xor_fast.cext import codec, wire
from xor_fast.messages import Body, Code

NODE = b"\xaa" * 16
BY_HASH = m.SignerIdentity(1, 4, b"\xc4" * 32)
SIGNATURE = m.Signature(4, 3, BY_HASH, b"signature")


def frame(code: int, body: Body | bytes, **parts: object) -> bytes:
    header = m.ForwardingHeader(
        1, 2, 100, 3, parts.get("destination_list", ()), parts.get("via_list", ()), parts.get("options", ())
    )
    security = m.SecurityBlock((), parts.get("signature", SIGNATURE))
    return wire.data_frame(
        1, codec.encode_message(m.Message(header, code, body, parts.get("extensions", ()), security))
    )


def candidate(type_: int, related: m.IpAddressPort | None = None) -> bytes:
    """A frame with one candidate 1.2.3.4:5 of priority 6; its type is put in unseen by the codec."""
    of_ours = m.IceCandidate(m.IpAddressPort(1, b"\1\2\3\4", 5), 4, b"", 6, 2 if related else 1, related)
    data = bytearray(frame(Code.ATTACH_ANS, m.AttachReqAns(b"", b"", b"", (of_ours,), False)))
    data[data.index(b"\1\2\3\4\0\5\4\0\0\0\0\6") + 12] = type_
    return bytes(data)


def of_code(code: int) -> bytes:
    """A frame with an empty body, whatever the code asks for."""
    data = bytearray(frame(5, b""))
    data[8 + 38 : 8 + 40] = code.to_bytes(2, "big")
    return bytes(data)


def fetch(*specifiers: m.StoredDataSpecifier) -> bytes:
    return frame(Code.FETCH_REQ, m.FetchReq(NODE, specifiers))


def error(code: int, info: bytes) -> bytes:
    return frame(Code.ERROR, m.ErrorResponse(code, info))


class Fault(NamedTuple):
    """name: the field of Wireshark, or what is wrong in a word. shows: a line of `tshark -V` that is wrong."""

    name: str
    section: str
    what: str
    frame: bytes
    shows: str


FAULTS = [
    Fault(
        "icecandidate.priority",
        "6.5.1.1",
        "is read at the start of the candidate, where the address stands",
        candidate(1),
        "priority (uint32): 17170690",  # 01 06 01 02: type and length of the address, its first two bytes
    ),
    Fault(
        "icecandidate.type",
        "6.5.1.1",
        "3, which is reserved, is named prflx",
        candidate(3, m.IpAddressPort(1, b"\1\1\1\1", 1)),
        "Ice candidate type: prflx (3)",
    ),
    Fault(
        "storeddataspecifier.keys",
        "7.4.2.1",
        "dictionary keys of Fetch and Stat requests are read at the start of the list of specifiers",
        fetch(m.StoredDataSpecifier(1, 0, (NODE,))),
        "indices(9 keys)",
    ),
    Fault("version", "6.3.2", "0x0a, which is 1.0, has no name", frame(5, b""), "version (uint8): Unknown (0x0a)"),
    Fault(
        "destination.data.compressed_id",
        "6.3.2.2",
        "an opaque id is named compressed",
        frame(5, b"", destination_list=(m.Destination(3, b"id"),)),
        "Destination: compressed",
    ),
    Fault(
        "forwarding.option.type",
        "14.12",
        "exp-forward has no name",
        frame(5, b"", options=(m.ForwardingOption(1, 0, b""),)),
        "type (ForwardingOptionType): Unknown (1)",
    ),
    Fault(
        "message_extension.content",
        "6.3.3",
        "begins with the four bytes of its length",
        frame(5, b"", extensions=(m.MessageExtension(1, False, b"abc"),)),
        "extension_content: 00000003616263 (opaque<3>)",
    ),
    Fault(
        "message.contents",
        "6.3.3",
        "are not found in a message of more than 65,535 bytes: its length is kept in 16 bits",
        frame(5, bytes(65536)),
        "[Expert Info (Error/Protocol): Truncated MessageContents]",
    ),
    Fault(
        "signature.identity.identity",
        "6.3.4",
        "none (3), the identity of synthetic values, is called unknown, with an expert item of severity error",
        frame(5, b"", signature=m.UNSIGNED),
        "[Expert Info (Error/Protocol): Unknown identity type]",
    ),
    Fault(
        "error_response_info",
        "6.3.3.1",
        "is read over its end if it is no StoreAns (Error_Generation_Counter_Too_Low) or list of Kinds"
        " (Error_Unknown_Kind)",
        error(0x5, b"text"),
        "[Malformed Packet: RELOAD]",
    ),
    Fault("Error_Invalid_Message", "14.9", "0x14 has no name", error(0x14, b""), "error_code (uint16): Unknown (20)"),
    Fault(
        "leavereq",
        "6.4.2.2",
        "overlay_specific_data that is empty is taken for a ChordLeaveData, made of what follows",
        frame(Code.LEAVE_REQ, m.LeaveReq(NODE, b"")),
        "type (ChordLeaveType): reserved (0)",
    ),
    Fault(
        "configupdatereq.config_data",
        "6.5.4.1",
        "is called malformed if fewer bytes follow the document than the forwarding header has",
        frame(Code.CONFIG_UPDATE_REQ, m.ConfigUpdateReq(1, b"<a/>"), via_list=(m.Destination(1, NODE),) * 9),
        "[Malformed Packet: RELOAD]",
    ),
    Fault(
        "message.body",
        "14.8",
        "exp_a is named Exp_B and exp_b Exp_A, in the column Info too",
        frame(Code.EXP_A_REQ, b""),
        "ForwardingHeader: Exp_B Request",
    ),
    Fault(
        "kinddata.kind",
        "14.6",
        "Kinds 4 to 15 have names of a draft on diagnostics; 5 is XMPP-LOCATION in XEP-0415",
        fetch(m.StoredDataSpecifier(5, 0, b"")),
        "kind (KindId): 5 (RESERVED_SOFTWARE_VERSION)",
    ),
    Fault(
        "reload_framing.parsed_received",
        "6.6.2",
        "frames are named one too low: bit N-M stands for frame M",
        wire.ack_frame(100, 0b110),
        "[Acked Frames:[97,98]]",
    ),
]
