"""The control socket: what a running node says about itself, one JSON object a line, to its owner only.

    {"ask": "status"}  ->  {"node_id": ..., "counters": {...}, "ring": {...}, "links": [...], "store": {...}}

It is a UNIX socket of mode 0600 in the data directory. More questions are added by whoever runs the node.
"""

import asyncio
import os
import socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from time import monotonic
from typing import TYPE_CHECKING, Any

import msgspec

from xor_fast import limits
from xor_fast.errors import ConfigError, StateError
from xor_fast.net.journal import explain

if TYPE_CHECKING:
    from xor_fast.net.peer import Peer

Answer = Callable[[], Mapping[str, Any]]


def status(peer: "Peer") -> dict[str, Any]:
    """Node-IDs in hex; times in seconds; `next_after` (the entries after the own one) are the replica holders."""
    node, now = peer.node, monotonic()
    ring, switch, storage = node.ring, node.switch, node.storage
    neighbours = node.topology.neighbourhood.sides()
    return {
        "node_id": node.node_id.hex(),
        "overlay": node.overlay.instance_name,
        "uptime": round(peer.uptime, 1),
        "ring": {
            "joined": ring.joined,
            "peers": len(ring),
            "successors": [node_id.hex() for node_id in neighbours.successors],
            "predecessors": [node_id.hex() for node_id in neighbours.predecessors],
        },
        "links": [
            {
                "link": link,
                "node_id": (switch.node_of(link) or b"").hex(),
                "rtt": round(switch.rtt(link), 4),
                "idle": round(now - switch.idle_since(link), 1),
            }
            for link in switch.links()
        ],
        "store": {"resources": len(storage.shelves), "values": len(storage), "bytes": storage.shelves.bytes},
        "counters": dict(sorted(peer.counters.items())),
    }


class Control:
    """The socket's server; `answers` maps a question to what gives its answer."""

    def __init__(self, path: str, server: asyncio.AbstractServer) -> None:
        self._path = path
        self._server = server

    @classmethod
    async def serve(cls, path: str, answers: Mapping[str, Answer]) -> "Control":
        """ConfigError if another process answers on this socket, or the directory cannot be written."""
        try:
            if _is_answered(path):
                raise ConfigError(f"a node runs with this data directory already ({path}): stop it first")
            with suppress(FileNotFoundError):
                os.unlink(path)  # left behind by a process that was killed
            mask = os.umask(0o177)
            try:
                sock = socket.socket(socket.AF_UNIX)
                sock.bind(path)
            finally:
                os.umask(mask)
            server = await asyncio.start_unix_server(
                lambda reader, writer: _serve(reader, writer, answers), sock=sock, limit=limits.MAX_CONTROL_REQUEST
            )
        except OSError as error:
            raise ConfigError(f"cannot open the control socket {path}: {explain(error)}") from None
        return cls(path, server)

    def close(self) -> None:
        self._server.close()
        with suppress(OSError):
            os.unlink(self._path)


async def _serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter, answers: Mapping[str, Answer]) -> None:
    try:
        while line := await reader.readline():
            writer.write(msgspec.json.encode(_answer(line, answers)) + b"\n")
            await writer.drain()
    except (ValueError, OSError):
        pass  # a line without end, or the asker is gone
    finally:
        writer.close()


def _answer(line: bytes, answers: Mapping[str, Answer]) -> Mapping[str, Any]:
    try:
        question = msgspec.json.decode(line, type=dict[str, Any]).get("ask")
    except msgspec.DecodeError:
        question = None
    answer = answers.get(question) if isinstance(question, str) else None
    if answer is None:
        return {"error": f"ask one of: {', '.join(answers)}"}
    return answer()


def ask(path: str, question: str = "status", timeout: float = 5.0) -> dict[str, Any]:
    """Ask a running node; StateError when there is none."""
    try:
        with socket.socket(socket.AF_UNIX) as sock:
            sock.settimeout(timeout)
            sock.connect(path)
            sock.sendall(msgspec.json.encode({"ask": question}) + b"\n")
            with sock.makefile("rb") as file:
                return msgspec.json.decode(file.readline(), type=dict[str, Any])
    except (OSError, msgspec.DecodeError) as error:
        raise StateError(f"no node answers on {path} ({explain(error)}): is it running?") from None


def _is_answered(path: str) -> bool:
    with socket.socket(socket.AF_UNIX) as sock:
        sock.settimeout(1.0)
        try:
            sock.connect(path)
        except (FileNotFoundError, ConnectionRefusedError):
            return False
        return True
