"""A node process for tests from outside: listens, echoes, prints its port, and a line with its counters when asked."""

import asyncio
import resource
import sys
from pathlib import Path
from typing import Any

import uvloop

from tests.net.drive import listens_at, peer_of
from tests.net.pki import credentials


def peak_kib() -> int:
    """Of this program alone: ru_maxrss starts at what the process had that started it."""
    (line,) = [line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith("VmHWM:")]
    return int(line.split()[1])


async def main() -> None:
    async with peer_of(credentials(1)) as (node, peer):
        node.echo = True
        print(listens_at(peer)[1], flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            line: dict[str, Any] = {**peer.counters, "peak_kib": peak_kib()}
            print(line, flush=True)


if __name__ == "__main__":
    soft = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    uvloop.run(main())
