"""Connections the node asks for: the actions Dial, OpenPort and ClosePort carried out."""

import asyncio
from collections import Counter
from functools import partial
from time import monotonic
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Address, ClosePort, Dial, OpenPort, Purpose
from xor_fast.errors import ConfigError
from xor_fast.net.applications import Applications
from xor_fast.net.journal import Journal, explain
from xor_fast.net.links import Links
from xor_fast.net.listener import Listener, bind
from xor_fast.net.tls import Tls
from xor_fast.net.turn import Turn

if TYPE_CHECKING:
    from xor_fast.core.node import Node


class Dialer:
    """Dials at most MAX_DIALS addresses at a time; a Dial above that waits for its turn.

    hosts      IP addresses where an AppAttach port listens, and which its candidates name
    """

    def __init__(
        self,
        node: "Node",
        tls: Tls,
        hosts: tuple[str, ...],
        links: Links,
        applications: Applications,
        journal: Journal,
        counters: Counter[str],
        turn: Turn,
    ) -> None:
        self._node = node
        self._tls = tls
        self._hosts = hosts
        self._links = links
        self._applications = applications
        self._journal = journal
        self._counters = counters
        self._turn = turn
        self._slots = asyncio.Semaphore(limits.MAX_DIALS)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ports: dict[int, list[Listener]] = {}

    def dial(self, action: Dial) -> None:
        task = asyncio.get_running_loop().create_task(self._dial(action))
        self._tasks.add(task)  # the loop itself holds tasks weakly only
        task.add_done_callback(self._tasks.discard)

    async def _dial(self, action: Dial) -> None:
        make = self._links.dialled if action.purpose is Purpose.LINK else self._applications.protocol
        reasons = []
        for address in action.addresses:
            try:
                async with self._slots:
                    await self._tls.connect(address, make(action.ticket))
            except (OSError, TimeoutError, ValueError) as error:  # ValueError: uvloop on an address that is none
                self._counters["failed_connects"] += 1
                reasons.append(f"{_text(address)}: {explain(error)}")
            else:
                self._counters["connected"] += 1
                return  # the protocol has told the node
        self._failed(action.ticket, "; ".join(reasons) or "no address to dial")

    def open_port(self, action: OpenPort) -> None:
        if len(self._ports) >= limits.MAX_APP_PORTS:
            self._failed(action.ticket, f"{limits.MAX_APP_PORTS} ports are open for AppAttach already")
            return
        listeners: list[Listener] = []
        make = partial(self._applications.protocol, action.ticket)
        try:
            for host in self._hosts:
                sock = bind(host, 0)
                listeners.append(
                    Listener(sock, self._tls, make, limits.MAX_PORT_HANDSHAKES, self._journal, self._counters)
                )
        except (ConfigError, OSError) as error:
            for listener in listeners:
                listener.close()
            self._failed(action.ticket, str(error))
            return
        self._ports[action.ticket] = listeners
        self._node.port_opened(monotonic(), action.ticket, tuple(listener.address for listener in listeners))
        self._turn()

    def close_port(self, action: ClosePort) -> None:
        for listener in self._ports.pop(action.ticket, ()):
            listener.close()

    def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        for listeners in self._ports.values():
            for listener in listeners:
                listener.close()
        self._ports.clear()

    def _failed(self, ticket: int, reason: str) -> None:
        self._node.dial_failed(monotonic(), ticket, reason)
        self._turn()


def _text(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
