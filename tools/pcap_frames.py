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

FRAME_TYPES = (128, 129)  # data, ack
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


def directions(capture: str, stream: int) -> tuple[bytes, bytes]:
    """The clear bytes of one connection: from the client, from the server."""
    sides = (bytearray(), bytearray())
    for line in run(*TSHARK, "-r", capture, "-q", "-z", f"follow,tls,raw,{stream}").splitlines():
        text = line.strip()
        if text and set(text) <= set("0123456789abcdef"):
            sides[line.startswith("\t")].extend(bytes.fromhex(text))
    return bytes(sides[0]), bytes(sides[1])


def frames(clear: bytes) -> list[bytes]:
    """Whole frames; bytes of a frame that the end of the capture cut off are left out."""
    return [
        wire.data_frame(number, rest) if kind == FRAME_TYPES[0] else wire.ack_frame(number, rest)
        for kind, number, rest in wire.split_frames(clear)[0]
    ]


def hexdump(packets: list[bytes]) -> Iterator[str]:
    """As text2pcap reads it: offset 0 begins a packet."""
    for packet in packets:
        for at in range(0, len(packet), 16):
            yield f"{at:06x} {packet[at : at + 16].hex(' ')}\n"


def main(capture: str, out: str) -> None:
    written: list[str] = []
    count = 0
    with tempfile.TemporaryDirectory() as scratch:
        for stream in connections(capture):
            for side, clear in enumerate(directions(capture, stream)):
                if clear[:1] not in (b"\x80", b"\x81"):
                    continue
                found = frames(clear)
                text = Path(scratch, f"{stream}-{side}.txt")
                text.write_text("".join(hexdump(found)))
                written.append(str(text.with_suffix(".pcap")))
                run("text2pcap", "-q", "-T", f"{40000 + 2 * stream + side},{PORT}", str(text), written[-1])
                count += len(found)
        if not written:
            raise SystemExit(f"{capture}: no RELOAD frames that can be decrypted")
        run("mergecap", "-a", "-w", out, *written)
    print(f"{out}: {count} frames of {len(written)} directions of {capture}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    main(sys.argv[1], sys.argv[2])
