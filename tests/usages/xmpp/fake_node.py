"""A stand-in for the node under the XMPP usage: a dictionary for the overlay, and AppAttach as the test says."""

from collections import Counter
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from xor_fast.cext import ids
from xor_fast.cext.ring import Ring
from xor_fast.config import KindDefinition
from xor_fast.core.node import AppConnection, Fetched, NewValue, Stored
from xor_fast.core.timers import Timers
from xor_fast.core.writer import FetchedValue
from xor_fast.errors import ErrorCode, RequestFailed
from xor_fast.messages import Destination
from xor_fast.sim.fakes import FakeIdentity, fake_certificate


def node_id(number: int) -> bytes:
    return number.to_bytes(16)


class FakeNode:
    """records: (Resource-ID, Kind-ID) -> {key: value}, shared by the nodes of one test. What was asked stays in lists.

    Nothing is answered before `answer` is called, so that the test sees what is under way at the same time.
    """

    def __init__(self, number: int, user: str, records: dict[tuple[bytes, int], dict[bytes, bytes]]) -> None:
        self.identity = FakeIdentity(node_id(number), user.encode())
        self.node_id = self.identity.node_id
        self.overlay = SimpleNamespace(kinds=(), node_id_length=16)
        self.kinds: set[KindDefinition] = set()
        self.ring = Ring(self.node_id)
        self.ring.joined = True
        self.timers = Timers()
        self.counts: Counter[str] = Counter()
        self.records = records
        self.failing: Callable[[bytes], bool] = lambda resource: False
        self.stores: list[tuple[bytes, int, NewValue]] = []
        self.fetches: list[tuple[bytes, int]] = []
        self.attaches: list[SimpleNamespace] = []
        self.applications: dict[int, Callable[[float, AppConnection], bool]] = {}
        self.notices: list[str] = []
        self._waiting: list[Callable[[], None]] = []

    def answer(self) -> None:
        while self._waiting:
            self._waiting.pop(0)()

    def count(self, name: str, by: int = 1) -> None:
        self.counts[name] += by

    def notice(self, level: str, text: str) -> None:
        self.notices.append(text)

    def store(self, now: float, resource: bytes, kind: int, values: tuple[NewValue, ...], done: Any) -> None:
        (value,) = values
        self.stores.append((resource, kind, value))
        assert value.key is not None
        if self.failing(resource):
            self._waiting.append(lambda: done(now, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "no answer")))
            return
        record = self.records.setdefault((resource, kind), {})
        record.pop(value.key, None)
        if value.exists:
            record[value.key] = value.value
        self._waiting.append(lambda: done(now, Stored(1, (), b"", 1)))

    def fetch(self, now: float, resource: bytes, kind: int, done: Any) -> None:
        self.fetches.append((resource, kind))
        if self.failing(resource):
            self._waiting.append(lambda: done(now, RequestFailed(ErrorCode.REQUEST_TIMEOUT, "no answer")))
            return
        found = tuple(
            FetchedValue(key, value, None, 1, 1)  # type: ignore[arg-type]
            for key, value in self.records.get((resource, kind), {}).items()
        )
        self._waiting.append(lambda: done(now, Fetched(found, 0, node_id(99), 3)))

    def app_attach(
        self, now: float, destination_list: tuple[Destination, ...], application: int, check: Any, done: Any
    ) -> None:
        self.attaches.append(
            SimpleNamespace(route=destination_list, application=application, check=check, done=done, now=now)
        )

    def register_application(self, application: int, accept: Callable[[float, AppConnection], bool]) -> None:
        self.applications[application] = accept


def reach(attach: Any, ticket: int, user: str, now: float = 0.0) -> bool:
    """The AppAttach reached the node it was for, whose certificate has this user. False: it was refused."""
    target = attach.route[-1].value
    certificate = fake_certificate(target, user.encode())
    reason = attach.check(certificate)
    if reason is not None:
        attach.done(now, RequestFailed(ErrorCode.FORBIDDEN, reason))
        return False
    attach.done(now, AppConnection(ticket, certificate, target, True, attach.application))
    return True


def come(node: FakeNode, ticket: int, number: int, user: str, now: float = 0.0) -> bool:
    """Another node's AppAttach has led to a connection."""
    certificate = fake_certificate(node_id(number), user.encode())
    return node.applications[5222](now, AppConnection(ticket, certificate, node_id(number), False, 5222))


def resource(jid: str) -> bytes:
    return ids.resource_id(jid.encode())
