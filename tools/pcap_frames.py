"""tools/pcap_frames.py CAPTURE OUT: the clear RELOAD frames of a capture, one packet a frame, for tshark and Wireshark.

tshark decrypts TLS by the keys inside the capture (`xor-fast demo --pcap`) but hands the clear bytes to no RELOAD
dissector; so the frames that `xor-fast dump` reads are written as plain TCP to port 6084, where the dissector listens.
"""

import subprocess
import sys
import tempfile
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path

from xor_fast.cli.dump.capture import Piece, read_capture
from xor_fast.errors import ConfigError

PORT = 6084


def hexdump(pieces: list[Piece]) -> Iterator[str]:
    """As text2pcap reads it with -D: I or O for the direction, and offset 0 begins a packet."""
    client = pieces[0].packet.source
    for data, packet in pieces:
        yield "IO"[packet.source != client] + "\n"
        for at in range(0, len(data), 16):
            yield f"{at:06x} {data[at : at + 16].hex(' ')}\n"


def main(capture: str, out: str) -> None:
    links: defaultdict[int | None, list[Piece]] = defaultdict(list)
    for piece in read_capture(Path(capture), None).pieces:
        links[piece.packet.stream].append(piece)
    if not links:
        raise SystemExit(f"{capture}: no RELOAD frames that can be decrypted")
    written: list[str] = []
    with tempfile.TemporaryDirectory() as scratch:
        for number, pieces in enumerate(links.values()):
            text = Path(scratch, f"{number}.txt")
            text.write_text("".join(hexdump(pieces)))
            written.append(str(text.with_suffix(".pcap")))
            ports = f"{40000 + number},{PORT}"
            subprocess.run(
                ["text2pcap", "-q", "-D", "-T", ports, str(text), written[-1]], check=True, capture_output=True
            )
        subprocess.run(["mergecap", "-a", "-w", out, *written], check=True)
    print(f"{out}: {sum(map(len, links.values()))} frames of {len(links)} links of {capture}")


if __name__ == "__main__":
    if len(sys.argv) != 3:
        raise SystemExit(__doc__)
    try:
        main(sys.argv[1], sys.argv[2])
    except ConfigError as error:
        raise SystemExit(str(error)) from None
