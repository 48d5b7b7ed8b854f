"""Settled overlays for tests: grown in virtual time, with fake or real signatures."""

from collections.abc import Callable
from typing import TypeVar

from tests.pki import Pki
from xor_fast.cext import ids
from xor_fast.core.node import Fetched, NewValue, Stored, Tuning
from xor_fast.errors import RequestFailed
from xor_fast.sim import checks
from xor_fast.sim.run import fake_identity, overlay_for
from xor_fast.sim.world import Host, World

T = TypeVar("T")
LOCATION = 5


class Overlay:
    """A world with a ring in it. `pki`: real certificates and signatures; without, the simulator's fakes."""

    def __init__(
        self,
        nodes: int,
        seed: int,
        *,
        pki: Pki | None = None,
        users: dict[int, str] | None = None,
        tuning: Tuning | None = None,
    ) -> None:
        self.pki = pki
        self.kind = LOCATION if pki else 0xF0000001
        self.world = World(pki.overlay if pki else overlay_for(nodes), seed, tuning=tuning)
        self._identities = self.world.random("identities")
        self._verifier = pki.verifier() if pki else None
        first = self.add(0, (users or {}).get(0))
        first.node.start_overlay(0.0)
        self.world.drain(first)
        for index in range(1, nodes):
            self.join(self.add(index, (users or {}).get(index)))
        self.settle()

    def add(self, index: int, user: str | None = None, again: Host | None = None) -> Host:
        """A host that is not part of the ring yet. again: the next run of one that is gone, with nothing stored."""
        identity, address = (again.node.identity, again.address) if again else (None, None)
        if self.pki is None:
            made, verifier = fake_identity(self.world.overlay, self._identities, index)
            return self.world.add(identity or made, verifier, address)
        assert self._verifier is not None
        return self.world.add(identity or self.pki.identity(index, user), self._verifier, address)

    def join(self, host: Host, through: Host | None = None) -> None:
        self.begin_join(host, through)
        assert self.world.run(60, lambda: host.node.ring.joined), f"{host.name} did not join: {host.notices}"

    def begin_join(self, host: Host, through: Host | None = None) -> None:
        bootstrap = through or next(other for other in self.hosts if other is not host)
        host.node.join(self.world.now, [bootstrap.address], lambda now, outcome: None)
        self.world.drain(host)

    def settle(self, seconds: float = 60) -> None:
        assert self.world.run(seconds, lambda: checks.is_one_ring(self.world)), checks.wrong_neighbours(self.world)
        self.world.run(3)

    @property
    def hosts(self) -> list[Host]:
        return [host for host in self.world.alive if host.node.ring.joined]

    def ask(self, host: Host, wish: Callable[[float, Callable[[float, T], None]], object], seconds: float = 30) -> T:
        """Make a wish and let time pass until it ends."""
        outcome: list[T] = []
        wish(self.world.now, lambda now, result: outcome.append(result))
        self.world.drain(host)
        assert self.world.run(seconds, lambda: bool(outcome)), f"{host.name}: no outcome in {seconds} s"
        return outcome[0]

    def store(self, host: Host, value: bytes, lifetime: int = 3600, exists: bool = True) -> Stored | RequestFailed:
        """The host's user stores under its own key."""
        resource = ids.resource_id(host.node.identity.user_name)
        new = NewValue(host.node.node_id, value, lifetime, exists)
        return self.ask(host, lambda now, done: host.node.store(now, resource, self.kind, [new], done))

    def fetch(self, host: Host, user_of: Host) -> Fetched | RequestFailed:
        resource = ids.resource_id(user_of.node.identity.user_name)
        return self.ask(host, lambda now, done: host.node.fetch(now, resource, self.kind, done))

    def found(self, host: Host, user_of: Host) -> list[bytes]:
        """The values of the other's user, as `host` sees them; the empty list also when there is no answer."""
        outcome = self.fetch(host, user_of)
        return [] if isinstance(outcome, RequestFailed) else [value.value for value in outcome.values]

    def counted(self, name: str) -> int:
        """What all hosts together counted."""
        return sum(host.node.counters.get(name, 0) for host in self.hosts)

    def holders(self, user_of: Host) -> list[Host]:
        """Who has values of that user."""
        resource = ids.resource_id(user_of.node.identity.user_name)
        return [h for h in self.hosts if (shelf := h.node.storage.shelf(resource, self.kind)) and shelf.values]

    def owner(self, user_of: Host) -> Host:
        (owner,) = checks.claimants(self.world, ids.resource_id(user_of.node.identity.user_name))
        return owner
