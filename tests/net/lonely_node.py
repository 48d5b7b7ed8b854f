"""A node process for tests from outside: listens, echoes, prints its port, and a line with its counters when asked."""

import asyncio
import resource
import sys
from pathlib import Path
from typing import Any, TextIO

import uvloop

from tests.net.drive import listens_at, peer_of
from tests.net.pki import credentials


def peak_kib(status: TextIO) -> int:
    """Of this program alone: ru_maxrss starts at what the process had that started it."""
    status.seek(0)
    (line,) = [line for line in status if line.startswith("VmHWM:")]
    return int(line.split()[1])


async def main() -> None:
    # Opened at once: later there may be no descriptor left.
    with Path("/proc/self/status").open() as status:
        await serve(status)


async def serve(status: TextIO) -> None:
    async with peer_of(credentials(1)) as (node, peer):
        node.echo = True
        print(listens_at(peer)[1], flush=True)
        loop = asyncio.get_running_loop()
        while await loop.run_in_executor(None, sys.stdin.readline):
            line: dict[str, Any] = {**peer.counters, "peak_kib": peak_kib(status)}
            print(line, flush=True)


if __name__ == "__main__":
    soft = int(sys.argv[1])
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, soft))
    uvloop.run(main())
