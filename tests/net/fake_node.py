"""Stands for core.Node: keeps what the driver reports, and says what a test tells it to say."""

from collections.abc import Sequence
from typing import Any

from xor_fast.actions import Action


class FakeNode:
    def __init__(self) -> None:
        self.counters: dict[str, int] = {}
        self.log: list[tuple[Any, ...]] = []
        self.received: dict[int, bytearray] = {}
        self.certificates: dict[int, list[bytes]] = {}
        self.outbox: dict[int, bytearray] = {}
        self.todo: list[Action] = []
        self.deadline: float | None = None
        self.woken: list[float] = []
        self.echo = False
        self.refuse_links = False
        self.framing_ends_at = b"\0BAD"
        self.app_answer = True
        self.on_app_up: Any = None

    # inputs
    def set_wall(self, now: float, unix_ms: int) -> None:
        self.wall = unix_ms - now * 1000

    def link_up(self, now: float, certificates: Sequence[bytes], ticket: int | None) -> int:
        link = -1 if self.refuse_links else len(self.received) + 100
        self.log.append(("link_up", link, ticket))
        if link >= 0:
            self.received[link] = bytearray()
            self.certificates[link] = list(certificates)
        return link

    def link_down(self, now: float, link: int, reason: str) -> None:
        self.log.append(("link_down", link, reason))

    def link_full(self, now: float, link: int, is_full: bool) -> None:
        self.log.append(("link_full", link, is_full))

    def receive(self, now: float, link: int, data: memoryview) -> bool:
        self.received[link] += data
        if self.echo:
            self.say(link, bytes(data))
        return self.framing_ends_at not in self.received[link]

    def dial_failed(self, now: float, ticket: int, reason: str) -> None:
        self.log.append(("dial_failed", ticket, reason))

    def port_opened(self, now: float, ticket: int, addresses: tuple[Any, ...]) -> None:
        self.log.append(("port_opened", ticket, addresses))

    def app_up(self, now: float, ticket: int, certificates: Sequence[bytes]) -> bool:
        self.log.append(("app_up", ticket, tuple(certificates)))
        if self.on_app_up is not None:
            self.on_app_up(ticket)
        return self.app_answer

    def wake(self, now: float) -> None:
        self.woken.append(now)
        self.deadline = None

    # outputs
    def say(self, link: int, data: bytes) -> None:
        self.outbox.setdefault(link, bytearray()).extend(data)

    def sends(self) -> list[tuple[int, bytes]]:
        outbox, self.outbox = self.outbox, {}
        return [(link, bytes(data)) for link, data in outbox.items()]

    def actions(self) -> list[Action]:
        todo, self.todo = self.todo, []
        return todo

    def events(self, kind: str) -> list[tuple[Any, ...]]:
        return [event[1:] for event in self.log if event[0] == kind]
