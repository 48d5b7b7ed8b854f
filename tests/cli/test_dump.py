"""`xor-fast dump` as a person uses it: what goes in, what comes out, and what it says to mistakes."""

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.pki import Pki
from tests.vectors.notation import load, unhex
from xor_fast.cli.app import app
from xor_fast.cli.dump import command
from xor_fast.cli.dump.hextext import read_hex
from xor_fast.errors import ConfigError

MESSAGES = {vector["message_code"]: vector for vector in load("messages.json")}
PING = unhex(MESSAGES[23]["hex"])


def dump(*arguments: str, input: bytes | str | None = None) -> Any:
    return CliRunner().invoke(app, ["dump", *arguments], input=input)


def events(*arguments: str, input: bytes | str | None = None) -> list[dict[str, Any]]:
    done = dump("--json", *arguments, input=input)
    assert done.exit_code == 0, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


# --- what comes out -----------------------------------------------------------------------------------

ACK_THEN_DATA = "8100000002 00000006  8000000003 000003 d2454c"
LOCATION = "02 0019 07 0016 0110 000102030405060708090a0b0c0d0e0f 07 00 8001"


def test_a_structure_as_a_tree() -> None:
    """Written by hand: offsets and sizes are counted on the bytes above."""
    done = dump("--as", "xmpp-location", LOCATION)
    assert done.exit_code == 0
    lines = [line.split(maxsplit=2) for line in done.stdout.splitlines()[2:]]
    assert [(int(offset, 16), int(size), " ".join(rest.split())) for offset, size, rest in lines] == [
        (0, 28, "XmppLocation"),
        (0, 1, "type 2 xmpp_location_route"),
        (1, 2, "length 25"),
        (3, 1, "priority 7"),
        (4, 24, "destination_list 3"),
        (6, 18, "[0] Destination"),
        (6, 1, "type 1 node"),
        (7, 1, "length 16"),
        (8, 16, "value 000102030405060708090a0b0c0d0e0f"),
        (24, 2, "[1] Destination"),
        (24, 1, "type 7 unknown"),
        (25, 1, "length 0"),
        (26, 0, "value empty"),
        (26, 2, "[2] Destination"),
        (26, 2, "value 8001"),
    ]


def test_a_structure_as_json() -> None:
    (event,) = events("--as", "PingAns", "00000000000000ff 00000199ab5c6a80")
    assert event == {
        "event": "dump",
        "summary": "PingAns, 16 bytes",
        "joined": False,
        "tree": {
            "type": "PingAns", "offset": 0, "size": 16,
            "fields": {
                "response_id": {"type": "u64", "offset": 0, "size": 8, "value": 255, "meaning": "0xff"},
                "time": {
                    "type": "u64", "offset": 8, "size": 8, "value": 1759516584576,
                    "meaning": "2025-10-03 18:36:24.576 UTC",
                },
            },
        },
    }  # fmt: skip


def test_a_frame_holds_a_message_and_an_ack_says_what_was_received() -> None:
    frame = b"\x80\0\0\0\x05" + len(PING).to_bytes(3, "big") + PING
    acknowledged = bytes.fromhex("81 00000002 00000006")
    data, ack = events(input=frame + acknowledged)
    assert data["summary"].startswith("data 5; ping_req, transaction 0x")
    message = data["tree"]["fields"]["message"]
    assert (message["type"], message["offset"], message["size"]) == ("Message", 5, 3 + len(PING))
    assert message["fields"]["code"]["offset"] == 8 + len(PING) - len(PING[PING.index(b"\x00\x17\0\0") :])
    assert ack["summary"] == "ack 2, 0x00000006, 0 1"
    assert ack["tree"]["offset"] == len(frame)


def test_text_and_json_say_the_same() -> None:
    hexadecimal = MESSAGES[7]["hex"]
    (event,) = events(hexadecimal)
    text = [line.split() for line in dump("--full", hexadecimal).stdout.splitlines()[2:]]

    def places(tree: Any) -> list[tuple[int, int]]:
        children = [*tree.get("fields", {}).values(), *tree.get("items", [])]
        return [(tree["offset"], tree["size"]), *(place for child in children for place in places(child))]

    assert [(int(line[0], 16), int(line[1])) for line in text if len(line[0]) == 4 and line[1].isdigit()] == places(
        event["tree"]
    )


def test_brief_is_one_line_each() -> None:
    done = dump("--brief", input=PING + unhex(MESSAGES[24]["hex"]))
    assert [line.split(",")[0] for line in done.stdout.splitlines()] == ["ping_req", "ping_ans"]


def test_long_values_are_cut_unless_full() -> None:
    padding = "00ff" + "5a" * 255
    short, full = (dump("--as", "PingReq", *option, padding).stdout for option in ([], ["--full"]))
    assert "... (255 bytes)" in short
    assert max(map(len, short.splitlines())) <= 130
    assert "5a" * 255 in full


# --- what goes in -------------------------------------------------------------------------------------

SAMPLE = bytes.fromhex("81000000020000000680000000030002d2454c4fa0cef5a000010a64c0")
FORMS = {
    "plain": SAMPLE.hex(),
    "upper case with blanks": SAMPLE.hex(" ").upper(),
    "colons": SAMPLE.hex(":"),
    "0x and commas": ", ".join(f"0x{byte:02x}" for byte in SAMPLE),
    "one number": "0x" + SAMPLE.hex(),
    "backslashes": "".join(f"\\x{byte:02x}" for byte in SAMPLE),
    "digits in lines": "\n".join(SAMPLE.hex()[at : at + 21] for at in range(0, 58, 21)),
    "xxd": """\
00000000: 8100 0000 0200 0000 0680 0000 0003 0002  ................
00000010: d245 4c4f a0ce f5a0 0001 0a64 c0         .ELO.......d.
""",
    "xxd -c 8": """\
00000000: 8100 0000 0200 0000  ........
00000008: 0680 0000 0003 0002  ........
00000010: d245 4c4f a0ce f5a0  .ELO....
00000018: 0001 0a64 c0         ...d.
""",
    "xxd -i": """\
unsigned char t_bin[] = {
  0x81, 0x00, 0x00, 0x00, 0x02, 0x00, 0x00, 0x00, 0x06, 0x80, 0x00, 0x00,
  0x00, 0x03, 0x00, 0x02, 0xd2, 0x45, 0x4c, 0x4f, 0xa0, 0xce, 0xf5, 0xa0,
  0x00, 0x01, 0x0a, 0x64, 0xc0
};
unsigned int t_bin_len = 29;
""",
    "hexdump -C": """\
00000000  81 00 00 00 02 00 00 00  06 80 00 00 00 03 00 02  |................|
00000010  d2 45 4c 4f a0 ce f5 a0  00 01 0a 64 c0           |.ELO.......d.|
0000001d
""",
    "hexdump": """\
0000000 0081 0000 0002 0000 8006 0000 0300 0200
0000010 45d2 4f4c cea0 a0f5 0100 640a 00c0
000001d
""",
    "od -A x -t x1": """\
000000 81 00 00 00 02 00 00 00 06 80 00 00 00 03 00 02
000010 d2 45 4c 4f a0 ce f5 a0 00 01 0a 64 c0
00001d
""",
    "od -t x1": """\
0000000 81 00 00 00 02 00 00 00 06 80 00 00 00 03 00 02
0000020 d2 45 4c 4f a0 ce f5 a0 00 01 0a 64 c0
0000035
""",
    "tcpdump -x": """\
\t0x0000:  8100 0000 0200 0000 0680 0000 0003 0002
\t0x0010:  d245 4c4f a0ce f5a0 0001 0a64 c0
""",
    "Wireshark": """\
0000  81 00 00 00 02 00 00 00 06 80 00 00 00 03 00 02   ................
0010  d2 45 4c 4f a0 ce f5 a0 00 01 0a 64 c0            .ELO.......d.
""",
    "Wireshark, characters that look like hex": """\
0000  81 00 00 00 02 00 00 00 06 80 00 00 00 03 00 02   ab cd ef 01 23
0010  d2 45 4c 4f a0 ce f5 a0 00 01 0a 64 c0            de ad
""",
}


@pytest.mark.parametrize("form", FORMS)
def test_hex_in_every_form(form: str, tmp_path: Path) -> None:
    file = tmp_path / "bytes.txt"
    file.write_text(FORMS[form])
    for arguments, given in (([str(file)], None), (["-"], FORMS[form]), ([], FORMS[form]), ([FORMS[form]], None)):
        done = dump("--json", *arguments, input=given)
        first, second = (json.loads(line)["tree"] for line in done.stdout.splitlines())
        assert first["size"] == 9
        assert second["unread"]["value"] if "unread" in second else second["fields"]["unread"]["value"]
        assert second["offset"] + second["size"] == len(SAMPLE)
        assert done.exit_code == 1, "the data frame is cut short"


def test_characters_beside_the_bytes_are_not_read(rng: random.Random) -> None:
    """Whatever the bytes are, as xxd, hexdump -C and Wireshark write them: the characters may look like anything."""
    for _ in range(300):
        alphabet = rng.choice((bytes(range(256)), b"0123456789abcdef ", b"{}=[];:|. a0*", bytes(range(32, 127))))
        data = bytes(rng.choice(alphabet) for _ in range(rng.randrange(1, 70)))
        xxd, hexdump, wireshark = "", "", ""
        for at in range(0, len(data), 16):
            line = data[at : at + 16]
            said = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in line)
            xxd += f"{at:08x}: {line.hex(' ', -2):<39}  {said}\n"
            hexdump += f"{at:08x}  {line[:8].hex(' '):<23}  {line[8:].hex(' '):<23}  |{said}|\n"
            wireshark += f"{at:04x}  {line.hex(' '):<47}   {said}\n"
        assert [read_hex(text) for text in (xxd, hexdump, wireshark)] == [[data]] * 3


def test_the_lines_that_a_star_stands_for() -> None:
    text = "00000000  ff ff 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n"
    text += "00000010  00 00 00 00 00 00 00 00  00 00 00 00 00 00 00 00  |................|\n*\n"
    text += "00010000  00                                                |.|\n00010001\n"
    (event,) = events("--as", "PingReq", input=text)
    assert event["tree"]["size"] == 2 + 0xFFFF


def test_a_star_before_the_first_line_says_nothing_again() -> None:
    with pytest.raises(ConfigError, match=r"line 1 .*'\*'"):
        read_hex("*\n00000000  81 00 00 00 02 00 00 00  06\n00000009\n")


def test_hex_on_the_command_line_is_read_once(monkeypatch: pytest.MonkeyPatch) -> None:
    texts: list[str] = []

    def read(text: str) -> list[bytes]:
        texts.append(text)
        return read_hex(text)

    monkeypatch.setattr(command, "read_hex", read)
    events("81000000", "0200000006")
    assert texts == ["81000000 0200000006"]


def test_several_packets_in_one_dump() -> None:
    packet = "0000  81 00 00 00 02 00 00 00 06                        .........\n"
    assert [event["summary"] for event in events(input=packet + "\n" + packet)] == ["ack 2, 0x00000006, 0 1"] * 2


def test_binary_from_a_file_and_from_standard_input(tmp_path: Path) -> None:
    file = tmp_path / "ping"
    file.write_bytes(PING)
    assert events(str(file)) == events(input=PING) == events(PING.hex()) == events(*PING.hex(" ", 4).split())


def test_bytes_ahead_of_a_frame() -> None:
    done = dump("4500" + PING.hex())
    assert done.exit_code == 2
    assert "--skip 2" in done.stderr
    assert events("--skip", "2", "4500" + PING.hex()) == events(PING.hex())


@pytest.mark.parametrize("code", ["store_req", "7", "0x7", "Store_Req"])
def test_a_body_by_its_code(code: str) -> None:
    (event,) = events("--code", code, MESSAGES[7]["body"])
    assert event["tree"]["type"] == "StoreReq"
    assert event == events("--as", "StoreReq", MESSAGES[7]["body"])[0]


@pytest.mark.parametrize("code", sorted(MESSAGES))
def test_every_body_by_its_code(code: int) -> None:
    body = MESSAGES[code]["body"]
    done = dump("--code", str(code), body or "-", input="")
    is_known = isinstance(MESSAGES[code]["is"]["body"], dict)
    if body:
        assert done.exit_code == (0 if is_known else 2), done.output


def test_node_ids_of_another_length() -> None:
    join = "b0" * 20 + "0000"
    assert events("--as", "JoinReq", "--node-id-length", "20", join)[0]["tree"]["size"] == 22
    assert dump("--as", "JoinReq", join).exit_code == 1


def test_kinds_of_ones_own() -> None:
    stored = (8 + 4 + 3 + 1 + 4 + 7).to_bytes(4, "big") + bytes(12) + b"\0\1k\1" + bytes(4) + b"\0\0\3\0\0\0\0"
    kind_data = (77).to_bytes(4, "big") + bytes(8) + len(stored).to_bytes(4, "big") + stored
    request = (b"\1r\0" + len(kind_data).to_bytes(4, "big") + kind_data).hex()
    opaque = events("--as", "StoreReq", request)[0]
    known = events("--as", "StoreReq", "--kinds", "0x4d=dictionary", request)[0]
    named = events("--as", "StoreReq", "--kinds", "77=xmpp-location,78=single", request)[0]
    assert ["DictionaryEntry" in json.dumps(event) for event in (opaque, known, named)] == [False, True, True]
    assert '"meaning": "XMPP-LOCATION"' in json.dumps(named)


# --- fragments (6.7) ----------------------------------------------------------------------------------


def fragments(message: bytes, sizes: list[int]) -> list[bytes]:
    """As a node on the way cuts them: each with a copy of the header; the offset counts behind it."""
    header_size = 38 + sum(int.from_bytes(message[at : at + 2], "big") for at in (32, 34, 36))
    header, contents = message[:header_size], message[header_size:]
    found, at = [], 0
    for size in [*sizes, len(contents) - sum(sizes)]:
        is_last = at + size == len(contents)
        fragment = (0x80000000 | (0x40000000 if is_last else 0) | at).to_bytes(4, "big")
        length = (header_size + size).to_bytes(4, "big")
        found.append(header[:12] + fragment + length + header[20:] + contents[at : at + size])
        at += size
    return found


@pytest.mark.req("codec.fragment-last-bit", "codec.fragment-reserved")
@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0)])
def test_fragments_are_shown_and_then_joined(order: tuple[int, ...]) -> None:
    parts = fragments(PING, [7, 200])
    shown = events(input=b"".join(parts[number] for number in order))
    assert [event["tree"]["type"] for event in shown] == ["Fragment"] * 3 + ["Message"]
    assert [event["joined"] for event in shown] == [False] * 3 + [True]
    whole = events(PING.hex())[0]
    assert shown[-1]["tree"] == whole["tree"]
    assert shown[order.index(1)]["tree"]["fields"]["payload"]["size"] == 200
    assert "at offset 7, more follow" in shown[order.index(1)]["summary"]


def test_a_fragment_that_is_missing_is_waited_for() -> None:
    parts = fragments(PING, [7, 200])
    assert [event["tree"]["type"] for event in events(input=parts[0] + parts[2])] == ["Fragment"] * 2


def test_fragments_in_frames() -> None:
    frames = b"".join(
        b"\x80" + number.to_bytes(4, "big") + len(part).to_bytes(3, "big") + part
        for number, part in enumerate(fragments(PING, [100]))
    )
    assert [event["tree"]["type"] for event in events(input=frames)] == ["FramedMessage"] * 2 + ["Message"]


# --- mistakes -----------------------------------------------------------------------------------------


def test_what_is_malformed_is_shown_as_far_as_it_can_be_read() -> None:
    done = dump("--as", "UpdateReq", "00000001 02 0011" + "a1" * 17 + "0000")
    assert done.exit_code == 1
    lines = done.stdout.splitlines()
    assert "predecessors" in "".join(lines)
    assert lines[-1] == ("malformed at byte 23 (0x17), NodeId: cut short: ... a1 a1 a1 a1 a1 a1 a1 a1 >a1< 00 00")
    (event,) = (json.loads(line) for line in dump("--json", "--as", "UpdateReq", "00").stdout.splitlines())
    assert event["problem"] == {
        "offset": 0, "structure": "ChordUpdate", "rule": "cut short", "bytes": ">00<",
    }  # fmt: skip


def test_a_message_cut_short_says_so() -> None:
    done = dump(input=PING[:100])
    assert done.exit_code == 1
    assert "but 100 bytes are here" in done.stdout
    assert done.stdout.splitlines()[-1].startswith("malformed at byte ")


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["nothing.bin"], ["nothing.bin", "neither a file here nor hex"]),
        (["0102"], ["01 02", "--as", "--code"]),
        (["--as", "Nothing", "00"], ["--as Nothing", "StoreReq", "XmppLocation"]),
        (["--code", "nothing", "00"], ["--code nothing", "store_req"]),
        (["--code", "99", "00"], ["--code 99", "not known"]),
        (["--as", "PingReq", "--code", "7", "00"], ["leave one out"]),
        (["--kinds", "5", "00"], ["--kinds 5", "dictionary"]),
        (["--kinds", "5=many", "00"], ["--kinds 5=many"]),
        (["--certificate", "nothing.pem", "00"], ["nothing.pem"]),
        (["--certificate", "empty", "00"], ["empty", "neither PEM nor DER"]),
        (["--certificate", "other.der", "00"], ["other.der", "neither PEM nor DER"]),
        (["--config", "nothing.xml", "00"], ["nothing.xml"]),
        (["--config", "empty", "00"], ["empty"]),
        (["--as", "PingReq", "000"], ["odd number of hex digits"]),
        (["empty"], ["empty"]),
        (["."], ["cannot be read"]),
        (["capture.pcap"], ["capture.pcap", "cannot be read"]),
        (["capture.pcap", "--keylog", "nothing"], ["nothing"]),
    ],
)
def test_mistakes_are_told_in_one_line(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: list[str], words: list[str]
) -> None:
    (tmp_path / "empty").write_bytes(b"")
    version = bytes.fromhex("a003020102"), bytes.fromhex("a003020139")
    (tmp_path / "other.der").write_bytes(Pki().authority.certificate.replace(*version))  # which there is not
    (tmp_path / "capture.pcap").write_bytes(bytes.fromhex("a1b2c3d4") + b"no capture")
    monkeypatch.chdir(tmp_path)
    done = dump(*arguments)
    assert done.exit_code == 2, done.output
    assert len(done.stderr.strip().splitlines()) == 1, done.stderr
    assert done.stderr.startswith("xor-fast: ")
    assert "fault of this program" not in done.stderr
    for word in words:
        assert word in done.stderr


def test_without_tshark_it_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "x.pcap").write_bytes(bytes.fromhex("d4c3b2a1") + bytes(20))
    monkeypatch.setenv("PATH", str(tmp_path))
    done = dump(str(tmp_path / "x.pcap"))
    assert done.exit_code == 2
    assert "install tshark" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1


def test_a_reader_that_has_seen_enough(tmp_path: Path) -> None:
    (tmp_path / "many").write_bytes(PING * 50)
    done = subprocess.run(
        f"{sys.executable} -m xor_fast dump {tmp_path / 'many'} | head -n 1",
        shell=True, capture_output=True, text=True, timeout=60, cwd=Path(__file__).parent.parent.parent,
    )  # fmt: skip
    assert done.stderr == ""
    assert done.stdout.startswith("ping_req")
