"""`xor-fast chat`: a person types, the other side's devices read, and the other way round."""

import asyncio
import io
import sys
import threading
from contextlib import suppress
from pathlib import Path
from xml.etree.ElementTree import Element, SubElement

import uvloop

from xor_fast.actions import Address
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.output import Exit, Output
from xor_fast.cli.running import Place, Stop, join, opened, parse_address
from xor_fast.cli.serve import enroll_on_first_use, place_of
from xor_fast.errors import ConfigError, RequestFailed, StreamEnded
from xor_fast.messenger import Messenger, XmppStream
from xor_fast.usages.xmpp.jid import prepare_bare
from xor_fast.usages.xmpp.restricted_xml import StanzaError
from xor_fast.usages.xmpp.stream import Closed, Failed

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
    keylog: Path | None,
    as_json: bool,
) -> int:
    """jid: whom to talk to, or None to wait for whoever comes."""
    output, directory, place = Output(as_json), DataDirectory(data), place_of(listen, advertise, pcap, keylog)
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
        output.say("listening", f"you are {messenger.jid}", jid=messenger.jid, node_id=peer.node.node_id.hex())
        await stop.unless(join(peer, bootstrap, output))
        talk = Conversation(output, messenger, partner)
        await stop.unless(talk.run())
        await messenger.close()
        await talk.end()
        await peer.leave()
        output.say("left", "left the overlay in order")
    return Exit.DONE


class Conversation:
    """One person's side: the streams with the devices of whoever they talk to."""

    def __init__(self, output: Output, messenger: Messenger, partner: str | None) -> None:
        self._output = output
        self._messenger = messenger
        self._partner = partner
        self._reading: set[asyncio.Task[None]] = set()
        self._sent = 0

    async def run(self) -> None:
        """Until the person ends it."""
        stored = await self._messenger.register()
        self._output.say(
            "registered",
            f"your location is stored, kept by {1 + len(stored.replicas)} nodes",
            jid=self._messenger.jid,
            owner=stored.owner.hex(),
            replicas=len(stored.replicas),
            hops=stored.hops,
        )
        async with asyncio.TaskGroup() as others:
            tasks = [others.create_task(self._accept())]
            if self._partner is not None:
                tasks.append(others.create_task(self._seek_until_there(self._partner)))
            await self._read_typed()
            for task in tasks:
                task.cancel()

    async def end(self) -> None:
        """Wait until what came over the closed streams is shown."""
        await asyncio.gather(*self._reading)

    async def _read_typed(self) -> None:
        lines = _typed_lines()
        self._output.say("ready", "type a line to send it; /quit or Ctrl-D ends")
        while (line := await lines.get()) not in (None, "/quit"):
            if line:
                await self._say(line)

    # --- finding the other side ----------------------------------------------------------------------

    async def _seek_until_there(self, jid: str) -> None:
        while not await self._seek(jid) and not self._devices(jid):
            await asyncio.sleep(LOOK_AGAIN)

    async def _seek(self, jid: str) -> bool:
        """Open streams with all devices of `jid` that can be reached now; whether there is one."""
        try:
            found = await self._messenger.lookup(jid)
            node_ids = [route.node_id for route in found.routes]
            self._output.say(
                "locations",
                f"{jid} has {len(node_ids)} devices, found over {found.hops} forwarders",
                jid=jid,
                node_ids=[node_id.hex() for node_id in node_ids],
                hops=found.hops,
            )
            reached = {stream.peer_node_id for stream in await self._messenger.contact(jid)}
        except RequestFailed as error:
            self._output.say("not-reached", f"{jid} is not there yet: {error.text}", jid=jid, text=str(error))
            return False
        for node_id in node_ids:
            if node_id not in reached:
                text = f"its device {node_id.hex()[:SHOWN_ID]} does not answer"
                self._output.say("not-reached", text, jid=jid, node_id=node_id.hex())
        return True

    # --- streams -------------------------------------------------------------------------------------

    async def _accept(self) -> None:
        async for stream in self._messenger.streams():
            task = asyncio.ensure_future(self._read(stream))
            self._reading.add(task)
            task.add_done_callback(self._reading.discard)

    async def _read(self, stream: XmppStream) -> None:
        """Show what comes until the stream ends."""
        jid, node_id = stream.peer_jid, stream.peer_node_id.hex()
        self._partner = self._partner or jid
        who = f"{jid} {node_id[:SHOWN_ID]}"
        self._output.say(
            "stream-started",
            f"connected with {who}, certificate checked",
            jid=jid,
            node_id=node_id,
            initiator=stream.initiator,
        )
        async for stanza in stream:
            await self._show(stream, stanza)
        reason = _why_ended(stream)
        self._output.say("stream-ended", f"{who}: {reason}", jid=jid, node_id=node_id, reason=reason)

    async def _show(self, stream: XmppStream, stanza: Element) -> None:
        jid, node_id = stream.peer_jid, stream.peer_node_id.hex()
        body = stanza.findtext(f"{CLIENT}body")
        if stanza.tag == f"{CLIENT}message" and body is not None:
            # A body is whatever its sender likes: control characters could write all over the terminal.
            shown = "".join(character if character.isprintable() else " " for character in body)
            self._output.say("message", f"{jid} {node_id[:SHOWN_ID]}> {shown}", jid=jid, node_id=node_id, body=body)
        elif stanza.tag == f"{CLIENT}iq" and stanza.get("type") in ("get", "set"):
            with suppress(StreamEnded):
                await stream.send(_unavailable(stanza))  # RFC 6120 8.2.3: a request is always answered
        else:
            self._output.say("stanza", None, jid=jid, node_id=node_id, tag=stanza.tag.removeprefix(CLIENT))

    async def _say(self, text: str) -> None:
        """To all devices of the other side."""
        jid = self._partner
        if jid is None:
            self._output.say("not-sent", "not sent: nobody is connected yet", body=text)
            return
        if not self._devices(jid):
            await self._seek(jid)
        try:
            reached = await self._messenger.send(jid, self._message(jid, text))
        except StanzaError as error:  # a control character, or a whole book
            self._output.say("not-sent", f"not sent: {error}", body=text)
            return
        if reached:
            node_ids = [stream.peer_node_id.hex() for stream in reached]
            self._output.say("sent", None, jid=jid, node_ids=node_ids, body=text)
        else:
            self._output.say("not-sent", f"not sent: {jid} cannot be reached", jid=jid, body=text)

    def _message(self, jid: str, text: str) -> Element:
        self._sent += 1
        message = Element(f"{CLIENT}message", to=jid, type="chat", id=f"m{self._sent}")
        SubElement(message, f"{CLIENT}body").text = text
        return message

    def _devices(self, jid: str) -> list[XmppStream]:
        return [stream for stream in self._messenger.connected if stream.peer_jid == jid]


def _why_ended(stream: XmppStream) -> str:
    match stream.end:
        case Closed():
            return "stream closed by both sides"
        case Failed(condition, text, is_ours):
            return f"stream error {condition}, found by {'us' if is_ours else 'the other side'}: {text}"
        case _:
            return f"connection lost: {stream.reason}"


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
    if isinstance(sys.stdin, io.TextIOWrapper):
        sys.stdin.reconfigure(errors="replace")  # what is typed need not be UTF-8

    def read() -> None:
        try:
            for line in sys.stdin or ():  # None where it was closed before we began
                loop.call_soon_threadsafe(lines.put_nowait, line.strip())
            loop.call_soon_threadsafe(lines.put_nowait, None)
        except (RuntimeError, ValueError):
            pass  # the loop has ended before the typing did

    threading.Thread(target=read, daemon=True).start()
    return lines
