"""A device whose XMPP is slixmpp and nothing of ours: the overlay's node makes the connection, slixmpp gets it.

    python -m tests.interop.slixmpp_device BOOTSTRAP_PORT SEED INDEX OWN_JID requester|answerer OTHER_JID

Says on standard output, a JSON array a line, what slixmpp sees. Its certificate is number INDEX of `Pki(SEED)`.
"""

import asyncio
import json
import random
import sys
from typing import Any
from xml.sax.saxutils import quoteattr

import slixmpp
import uvloop

from tests.pki import Pki
from xor_fast.core.node import Node
from xor_fast.net.applications import Application
from xor_fast.net.handover import adopt
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls
from xor_fast.usages.xmpp.contact import StreamReady, XmppUsage


def say(*what: Any) -> None:
    print(json.dumps(what), flush=True)


class Attached(slixmpp.ClientXMPP):
    """slixmpp on a connection that somebody else has made, and whose TLS handshake is done."""

    def __init__(self, own: str, ready: StreamReady) -> None:
        super().__init__(own, "")
        self.ready = ready
        # slixmpp's own header is for a server: `to` a domain and no `from`.
        self.stream_header = (
            f"<stream:stream from={quoteattr(own)} to={quoteattr(ready.peer_jid)} xmlns:stream='{self.stream_ns}'"
            f" xmlns='{self.default_ns}' version='1.0'>"
        )
        if not ready.initiator:
            self.stream_header += "<stream:features/>"
        self.register_plugin("xep_0199")  # answers pings
        self.over = asyncio.Event()
        # The features name nothing to negotiate, and who answers waits for none: the session starts at once.
        self.add_event_handler("stream_negotiated", lambda _: self.event("session_start"))
        self.add_event_handler("session_start", self.talk)
        self.add_event_handler("message", lambda stanza: say("message", str(stanza["from"]), stanza["body"]))
        self.add_event_handler("presence", lambda stanza: say("presence", str(stanza["from"]), stanza["status"]))
        self.add_event_handler("stream_error", lambda error: say("stream error", error["condition"]))
        self.add_event_handler("disconnected", lambda _: self.over.set())

    def attach(self, application: Application) -> None:
        self.init_plugins()
        self._run_out_filters = asyncio.ensure_future(self.run_filters())
        self.event_when_connected = "connected"
        adopt(application, self)
        if not self.ready.initiator:
            self.event("session_start")

    async def talk(self, _: Any) -> None:
        say("started")
        self.send_presence(pstatus="slixmpp is here")
        self.send_message(mto=self.ready.peer_jid, mbody="grüße von slixmpp & <co>", mtype="chat")
        pong = await self.plugin["xep_0199"].send_ping(self.ready.peer_jid, timeout=10)
        say("iq", str(pong["from"]), pong["type"])


async def main(port: int, seed: int, index: int, own: str, role: str, other: str) -> None:
    pki = Pki(seed)
    identity = pki.identity(index, own)
    sock = bind("127.0.0.1", 0)
    node = Node(pki.overlay, identity, pki.verifier(), random.SystemRandom(), addresses=(address_of(sock),))
    streams: asyncio.Queue[Attached] = asyncio.Queue()

    def on_stream(now: float, ready: StreamReady) -> None:
        client = Attached(own, ready)
        client.attach(peer.take_application(ready.ticket))
        streams.put_nowait(client)

    async with Peer(node, Tls(Credentials.of(identity, pki.overlay)), sock) as peer:
        await peer.join([("127.0.0.1", port)])
        usage = XmppUsage(node, on_stream, lambda now, ticket: None)
        await peer.wish(usage.register)
        say("registered", node.node_id.hex())
        if role == "requester":
            await peer.wish(usage.contact, other)
        client = await streams.get()
        await client.over.wait()
        say("over", str(client.disconnect_reason))
        await peer.leave()


if __name__ == "__main__":
    with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        port, seed, index, *rest = sys.argv[1:]
        runner.run(asyncio.wait_for(main(int(port), int(seed), int(index), *rest), 60))
