"""A small overlay of real peers on loopback, in this process and on its event loop, with XMPP users in it."""

import asyncio
import random
from collections.abc import Coroutine
from contextlib import AsyncExitStack
from typing import Any, Self

import uvloop

from tests.pki import Pki
from xor_fast import limits
from xor_fast.core.node import Node
from xor_fast.messenger import Messenger
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls


def run(coroutine: Coroutine[Any, Any, None], timeout: float = 60) -> None:
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(asyncio.wait_for(coroutine, timeout))


class LoopbackOverlay:
    """`async with LoopbackOverlay(peers) as overlay: messenger = await overlay.device(10, "juliet@capulet.lit")`."""

    def __init__(self, peers: int = 2, seed: int = 1) -> None:
        self.pki = Pki(seed)
        self.peers: list[Peer] = []
        self._first = peers
        self._stack = AsyncExitStack()

    async def __aenter__(self) -> Self:
        for index in range(self._first):
            await self.peer(index)
        return self

    async def __aexit__(self, *exc: Any) -> None:
        await self._stack.aclose()

    async def peer(self, index: int, user: str | None = None) -> Peer:
        """A peer that is part of the ring. user: the address in its certificate."""
        identity = self.pki.identity(index, user)
        sock = bind("127.0.0.1", 0)
        node = Node(
            self.pki.overlay, identity, self.pki.verifier(), random.SystemRandom(), addresses=(address_of(sock),)
        )
        peer = Peer(node, Tls(Credentials.of(identity, self.pki.overlay)), sock)
        await self._stack.enter_async_context(peer)
        if self.peers:
            await peer.join([self.address])
        else:
            peer.start_overlay()
        self.peers.append(peer)
        return peer

    async def device(self, index: int, user: str, *, lifetime: int = limits.LOCATION_LIFETIME) -> Messenger:
        """A registered device of a user."""
        messenger = await self._stack.enter_async_context(Messenger(await self.peer(index, user), lifetime=lifetime))
        await messenger.register()
        return messenger

    @property
    def address(self) -> tuple[str, int]:
        address = self.peers[0].address
        assert address is not None
        return address
