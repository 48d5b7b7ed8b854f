"""What the driver's tests share: both event loops, a peer around a fake node, waiting without guessing times."""

import asyncio
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest
import uvloop

from tests.net.fake_node import FakeNode
from xor_fast.actions import Address, Dial, Purpose
from xor_fast.net.listener import bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls

LOOPS: dict[str, Callable[[], asyncio.AbstractEventLoop]] = {
    "uvloop": uvloop.new_event_loop,
    "asyncio": asyncio.new_event_loop,
}


def run(coroutine: Coroutine[Any, Any, None], loop: str = "uvloop") -> None:
    with asyncio.Runner(loop_factory=LOOPS[loop]) as runner:
        runner.run(asyncio.wait_for(coroutine, 60))


@asynccontextmanager
async def peer_of(
    own: Credentials, *, listens: bool = True, tls: Callable[[Credentials], Tls] = Tls
) -> AsyncIterator[tuple[FakeNode, Peer]]:
    node = FakeNode()
    async with Peer(node, tls(own), bind("127.0.0.1", 0) if listens else None) as peer:  # type: ignore[arg-type]
        yield node, peer


async def until(condition: Callable[[], Any], what: str) -> None:
    for _ in range(1000):
        if condition():
            return
        await asyncio.sleep(0.01)
    pytest.fail(f"did not happen: {what}")


def do(node: FakeNode, peer: Peer, *actions: Any) -> None:
    node.todo.extend(actions)
    peer.turn()


def dial(node: FakeNode, peer: Peer, *targets: Peer, ticket: int = 1, purpose: Purpose = Purpose.LINK) -> None:
    do(node, peer, Dial(ticket, tuple(map(listens_at, targets)), purpose))


def listens_at(peer: Peer) -> Address:
    assert peer.address is not None
    return peer.address
