"""`xor-fast chat`: a person types, the other side's devices read, and the other way round."""

import asyncio
import sys
import threading
from collections.abc import Coroutine
from pathlib import Path
from typing import Any
from xml.etree.ElementTree import Element, SubElement

import uvloop

from xor_fast.actions import Address
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.output import Exit, Output
from xor_fast.cli.running import Place, Stop, join, leave, opened, parse_address
from xor_fast.cli.serve import enroll_on_first_use, place_of
from xor_fast.errors import ConfigError, RequestFailed, StreamEnded
from xor_fast.messenger import Messenger, Stream
from xor_fast.usages.xmpp.jid import prepare_bare

CLIENT = "{jabber:client}"
LOOK_AGAIN = 10.0  # seconds until somebody who is not there is looked for again
SHOWN_ID = 8  # hex digits of a Node-ID that tell a person's devices apart


def chat(
    jid: str | None,
    data: Path,
    user: str | None,
    ca: Path | None,
    listen: str,
    advertise: list[str],
    bootstrap: list[str],
    pcap: Path | None,
    as_json: bool,
) -> int:
    """jid: whom to talk to, or None to wait for whoever comes."""
    output, directory, place = Output(as_json), DataDirectory(data), place_of(listen, advertise, pcap)
    where = [parse_address(text, "--bootstrap") for text in bootstrap]
    partner = None if jid is None else prepare_bare(jid)
    if not directory.has_identity and user is None:
        raise ConfigError(f"{data} holds no identity: say whose with --as, and where the CA is with --ca")
    enroll_on_first_use(output, directory, ca, user)
    return uvloop.run(_chat(output, directory, place, where, partner))


async def _chat(
    output: Output, data: DataDirectory, place: Place, bootstrap: list[Address], partner: str | None
) -> int:
    output.capture_log()
    stop = Stop()
    async with opened(data, place) as peer:
        messenger = Messenger(peer)
        talk = Conversation(output, messenger, partner)
        output.say("listening", f"you are {messenger.jid}", jid=messenger.jid, node_id=peer.node.node_id.hex())
        await stop.unless(join(peer, bootstrap, output))
        if not stop.is_set:
            await stop.unless(talk.run(stop))
            await talk.end()
        await leave(peer, data)
        output.say("left", "left the overlay in order")
    return Exit.DONE


class Conversation:
    """One person's side: the streams with the devices of whoever they talk to."""

    def __init__(self, output: Output, messenger: Messenger, partner: str | None) -> None:
        self._output = output
        self._messenger = messenger
        self._partner = partner
        self._streams: dict[bytes, Stream] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def run(self, stop: Stop) -> None:
        """Until the person ends it."""
        stored = await self._messenger.register()
        self._output.say(
            "registered",
            f"your location is stored: kept by {1 + len(stored.replicas)} nodes",
            jid=self._messenger.jid,
            owner=stored.owner.hex(),
            replicas=len(stored.replicas),
            hops=stored.hops,
        )
        self._begin(self._accept())
        if self._partner is not None:
            await self._seek(self._partner)
            self._begin(self._seek_again(self._partner))
        lines = _typed_lines()
        self._output.say("ready", "type; an empty line does nothing, /quit or Ctrl-D ends")
        while (line := await lines.get()) not in (None, "/quit"):
            if line:
                await self._say(line)
        stop.set()

    async def end(self) -> None:
        """Close the streams and remove the location (XEP-0415; notes 8.20)."""
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*(stream.close() for stream in self._streams.values()))
        try:
            await self._messenger.unregister()
        except RequestFailed as error:
            self._output.say("warning", f"your location stays until it expires: {error}", text=str(error))
        else:
            self._output.say("unregistered", "your location is removed")

    # --- finding the other side ----------------------------------------------------------------------

    async def _seek(self, jid: str) -> None:
        """Streams with all devices of `jid` that can be reached now."""
        try:
            found = await self._messenger.contact(jid)
        except RequestFailed as error:
            self._output.say("not-reached", f"{jid} is not there yet ({error.text})", jid=jid, text=str(error))
            return
        node_ids = [route.node_id.hex() for route in found.locations.routes]
        self._output.say(
            "locations",
            f"{jid} has {len(node_ids)} devices, found over {found.locations.hops} forwarders",
            jid=jid,
            node_ids=node_ids,
            hops=found.locations.hops,
        )
        for location, failure in found.failures:
            node_id = location.node_id.hex()
            self._output.say("not-reached", f"device {node_id[:SHOWN_ID]}: {failure}", jid=jid, node_id=node_id)

    async def _seek_again(self, jid: str) -> None:
        while True:
            await asyncio.sleep(LOOK_AGAIN)
            if not self._devices(jid):
                await self._seek(jid)

    # --- streams -------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        async for stream in self._messenger.streams():
            self._begin(self._read(stream))

    async def _read(self, stream: Stream) -> None:
        """Show what comes until the stream ends."""
        jid, node_id = stream.peer_jid, stream.peer_node_id.hex()
        self._streams[stream.peer_node_id] = stream
        self._partner = self._partner or jid
        self._output.say(
            "stream-started",
            f"connected with {jid} {node_id[:SHOWN_ID]}, certificate checked",
            jid=jid,
            node_id=node_id,
            initiator=stream.initiator,
        )
        async for stanza in stream:
            await self._show(stream, stanza)
        if self._streams.get(stream.peer_node_id) is stream:
            del self._streams[stream.peer_node_id]
        self._output.say(
            "stream-ended",
            f"{jid} {node_id[:SHOWN_ID]}: {stream.reason}",
            jid=jid,
            node_id=node_id,
            reason=stream.reason,
        )

    async def _show(self, stream: Stream, stanza: Element) -> None:
        jid, node_id = stream.peer_jid, stream.peer_node_id.hex()
        body = stanza.findtext(f"{CLIENT}body")
        if stanza.tag == f"{CLIENT}message" and body is not None:
            shown = "".join(character if character.isprintable() else " " for character in body)
            self._output.say("message", f"{jid} {node_id[:SHOWN_ID]}> {shown}", jid=jid, node_id=node_id, body=body)
        elif stanza.tag == f"{CLIENT}iq" and stanza.get("type") in ("get", "set"):
            await stream.send(_unavailable(stanza))  # RFC 6120 8.2.3: a request is always answered
        else:
            self._output.say("stanza", None, jid=jid, node_id=node_id, tag=stanza.tag.removeprefix(CLIENT))

    async def _say(self, text: str) -> None:
        """To all devices of the other side."""
        if self._partner is None:
            self._output.say("not-sent", "nobody is connected yet", body=text)
            return
        if not self._devices(self._partner):
            await self._seek(self._partner)
        reached = []
        for stream in self._devices(self._partner):
            try:
                await stream.send(self._message(text))
            except StreamEnded:
                continue
            reached.append(stream.peer_node_id.hex())
        if reached:
            self._output.say("sent", None, jid=self._partner, node_ids=reached, body=text)
        else:
            self._output.say("not-sent", f"not sent: {self._partner} cannot be reached", jid=self._partner, body=text)

    def _message(self, text: str) -> Element:
        self._sent += 1
        message = Element(f"{CLIENT}message", to=self._partner or "", type="chat", id=f"m{self._sent}")
        SubElement(message, f"{CLIENT}body").text = text
        return message

    def _devices(self, jid: str) -> list[Stream]:
        return [stream for stream in self._streams.values() if stream.peer_jid == jid]

    def _begin(self, work: Coroutine[Any, Any, None]) -> None:
        task = asyncio.ensure_future(work)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)


def _unavailable(request: Element) -> Element:
    """An answer to an iq nobody here understands (RFC 6120 8.3.3.19)."""
    answer = Element(f"{CLIENT}iq", type="error", id=request.get("id", ""), to=request.get("from", ""))
    error = SubElement(answer, f"{CLIENT}error", type="cancel")
    SubElement(error, "{urn:ietf:params:xml:ns:xmpp-stanzas}service-unavailable")
    return answer


def _typed_lines() -> "asyncio.Queue[str | None]":
    """Lines of standard input, None at its end; a thread reads, for a file or a terminal cannot be awaited alike."""
    loop = asyncio.get_running_loop()
    lines: asyncio.Queue[str | None] = asyncio.Queue()

    def read() -> None:
        try:
            for line in sys.stdin:
                loop.call_soon_threadsafe(lines.put_nowait, line.strip())
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except (RuntimeError, ValueError):
            pass  # the loop has ended before the typing did

    threading.Thread(target=read, daemon=True).start()
    return lines
