"""tools/pcap_frames.py CAPTURE OUT: the clear RELOAD frames of a capture, one packet a frame, for tshark and Wireshark.

tshark decrypts TLS by the keys inside the capture (`xor-fast demo --pcap`) but hands the clear bytes to no RELOAD
dissector; so each connection is followed, cut into frames (RFC 6940 6.6.2) and written as plain TCP to port 6084,
where the dissector listens. Connections of AppAttach carry XMPP, no frames, and are left out.
"""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from xor_fast.cext import wire

DATA, ACK = 128, 129  # types of a frame
HEX = set("0123456789abcdef")
PORT = 6084
TSHARK = ("tshark", "-d", f"tcp.port=={PORT},tls")  # its own idea of that port is RELOAD without TLS


def run(*command: str) -> str:
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise SystemExit(f"{command[0]}: {done.stderr.strip()}")
    return done.stdout


def connections(capture: str) -> list[int]:
    """Numbers of the TCP streams that speak TLS."""
    numbers = run(*TSHARK, "-r", capture, "-Y", "tls.handshake.type == 1", "-T", "fields", "-e", "tcp.stream")
    return sorted({int(number) for number in numbers.split()})


def pieces(capture: str, streams: list[int]) -> Iterator[list[tuple[int, bytes]]]:
    """For each connection its clear bytes as they came: (0 from the client or 1 from the server, bytes)."""
    follow = [option for stream in streams for option in ("-z", f"follow,tls,raw,{stream}")]
    text = run(*TSHARK, "-r", capture, "-q", *follow)
    for block in text.split("Follow: tls,raw")[1:]:
        lines = [line for line in block.splitlines() if line.strip() and set(line.strip()) <= HEX]
        yield [(int(line.startswith("\t")), bytes.fromhex(line)) for line in lines]


def frames(clear: list[tuple[int, bytes]]) -> Iterator[tuple[int, bytes]]:
    """(side, frame), each when its last byte has come; the order matters, for the dissector looks up what an ACK acks.

    Bytes of a frame that the end of the capture cut off are left out.
    """
    rest = [b"", b""]
    for side, data in clear:
        found, used = wire.split_frames(rest[side] + data)
        rest[side] = (rest[side] + data)[used:]
        for kind, number, content in found:
            yield side, wire.data_frame(number, content) if kind == DATA else wire.ack_frame(number, content)


def hexdump(packets: list[tuple[int, bytes]]) -> Iterator[str]:
    """As text2pcap reads it with -D: I or O for the direction, and offset 0 begins a packet."""
    for side, packet in packets:
        yield "IO"[side] + "\n"
        for at in range(0, len(packet), 16):
            yield f"{at:06x} {packet[at : at + 16].hex(' ')}\n"


def main(capture: str, out: str) -> None:
    written: list[str] = []
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for number, clear in enumerate(pieces(capture, connections(capture))):
            if not clear or clear[0][1][0] not in (DATA, ACK):
                continue
            found = list(frames(clear))
            text = Path(scratch, f"{number}.txt")
            text.write_text("".join(hexdump(found)))
            written.append(str(text.with_suffix(".pcap")))
            run("text2pcap", "-q", "-D", "-T", f"{40000 + number},{PORT}", str(text), written[-1])
            count += len(found)
        if not written:
            raise SystemExit(f"{capture}: no RELOAD frames that can be decrypted")
        run("mergecap", "-a", "-w", out, *written)
    print(f"{out}: {count} frames of {len(written)} links of {capture}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
