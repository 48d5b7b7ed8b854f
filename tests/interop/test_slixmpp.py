"""A stranger's XMPP in another process: slixmpp on the connection an AppAttach has made, over a real overlay."""

import asyncio
import json
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element

import pytest

from tests.usages.xmpp.overlay import LoopbackOverlay, run
from xor_fast.messenger import Messenger, XmppStream

ROOT = Path(__file__).parent.parent.parent
JULIET, NURSE = "juliet@capulet.lit", "nurse@capulet.lit"
SEED, INDEX = 1, 30


@asynccontextmanager
async def slixmpp_device(overlay: LoopbackOverlay, role: str) -> AsyncIterator[Process]:
    arguments = (overlay.address[1], SEED, INDEX, NURSE, role, JULIET)
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.interop.slixmpp_device", *map(str, arguments), cwd=ROOT, stdout=PIPE
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def said(process: Process, what: str) -> list[Any]:
    """The next line of this kind; others before it fail the test."""
    assert process.stdout is not None
    async with asyncio.timeout(20):
        line = await process.stdout.readline()
    assert line, f"slixmpp's process ended before it said {what!r}"
    kind, *values = json.loads(line)
    assert kind == what, line
    return values


async def opened(juliet: Messenger, role: str) -> XmppStream:
    async with asyncio.timeout(20):
        if role == "answerer":
            (stream,) = await juliet.contact(NURSE)
            return stream
        return await anext(juliet.streams())


async def taken(stream: XmppStream) -> Element:
    async with asyncio.timeout(20):
        return await anext(stream)


@pytest.mark.parametrize("role", ["requester", "answerer"])
def test_slixmpp_talks_with_our_end_of_the_stream(role: str) -> None:
    async def story() -> None:
        async with LoopbackOverlay(seed=SEED) as overlay:
            juliet = await overlay.device(10, JULIET)
            async with slixmpp_device(overlay, role) as process:
                await talk(juliet, process, role)

    run(story())


async def talk(juliet: Messenger, process: Process, role: str) -> None:
    (node_id,) = await said(process, "registered")
    stream = await opened(juliet, role)
    assert (stream.peer_jid, stream.peer_node_id.hex()) == (NURSE, node_id)
    assert stream.initiator is (role == "answerer")
    await said(process, "started")

    presence, message, iq = [await taken(stream) for _ in range(3)]
    assert presence.tag == "{jabber:client}presence"
    assert presence.findtext("{jabber:client}status") == "slixmpp is here"
    assert message.tag == "{jabber:client}message"
    assert message.findtext("{jabber:client}body") == "grüße von slixmpp & <co>"
    assert [stanza.get("from") for stanza in (presence, message, iq)] == [NURSE] * 3
    assert (iq.tag, iq.get("type"), iq[0].tag) == ("{jabber:client}iq", "get", "{urn:xmpp:ping}ping")

    own = f"{JULIET}/{juliet.peer.node.node_id.hex()}"
    await stream.send(Element("{jabber:client}iq", {"type": "result", "id": iq.get("id", ""), "from": JULIET}))
    assert await said(process, "iq") == [JULIET, "result"]
    await stream.send("<message type='chat'><body>grüße zurück &amp; &lt;mehr></body></message>")
    assert await said(process, "message") == [own, "grüße zurück & <mehr>"]
    await stream.send("<presence><status>juliet is here</status></presence>")
    assert await said(process, "presence") == [own, "juliet is here"]
    await stream.send("<iq type='get' id='ours'><ping xmlns='urn:xmpp:ping'/></iq>")
    pong = await taken(stream)
    assert (pong.tag, pong.get("type"), pong.get("id")) == ("{jabber:client}iq", "result", "ours")

    await stream.close()
    assert await said(process, "over") == ["End of stream"]
    assert await process.wait() == 0
