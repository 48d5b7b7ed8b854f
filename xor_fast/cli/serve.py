"""Nodes that serve the overlay until Ctrl-C: `quickstart` and `node`; and `enroll`."""

from ipaddress import ip_address
from pathlib import Path

import uvloop

from xor_fast.actions import Address
from xor_fast.cli import enrolment
from xor_fast.cli.data import DataDirectory, read_overlay
from xor_fast.cli.output import Exit, Output, program
from xor_fast.cli.running import DEFAULT_PORT, Place, Stop, join, opened, parse_address, show_address
from xor_fast.core.tuning import Tuning
from xor_fast.errors import ConfigError
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer

DEFAULT_LISTEN = ("127.0.0.1", DEFAULT_PORT)


def quickstart(
    data: Path,
    listen: str | None,
    advertise: list[str],
    name: str,
    nodes: int,
    tuning: Tuning,
    pcap: Path | None,
    keylog: Path | None,
    as_json: bool,
) -> int:
    output, directory = Output(as_json), DataDirectory(data)
    is_new = not directory.has_overlay
    if is_new:
        place = place_of(listen or show_address(DEFAULT_LISTEN), advertise, pcap, keylog)
        with bind(*place.listen) as sock:  # the document names it for good: it must be one, and have a port
            place = place._replace(listen=address_of(sock))
        enrolment.found_overlay(directory, name, (place.advertise or (place.listen,))[0], nodes=nodes)
    elif not directory.has_ca:
        raise ConfigError(f"{data} holds no CA, so it was not made by quickstart: run `{program()} node --data {data}`")
    else:
        where = (*directory.overlay().bootstrap_nodes, DEFAULT_LISTEN)[0]
        place = place_of(listen or show_address(where), advertise, pcap, keylog)
        if where not in (place.listen, *place.advertise):
            output.say("note", f"note: others look for the first peer at {show_address(where)}, as the document says")
    return uvloop.run(_quickstart(output, directory, place, tuning, is_new))


async def _quickstart(output: Output, data: DataDirectory, place: Place, tuning: Tuning, is_new: bool) -> int:
    output.capture_log()
    stop = Stop()
    async with opened(data, place, tuning=tuning) as peer:
        peer.start_overlay()
        _introduce(output, peer, data, is_new)
        await stop.wait()
        await _end(output, peer, data)
    return Exit.DONE


def node(
    data: Path,
    listen: str,
    advertise: list[str],
    overlay: Path | None,
    ca: Path | None,
    bootstrap: list[str],
    tuning: Tuning,
    pcap: Path | None,
    keylog: Path | None,
    as_json: bool,
) -> int:
    output, directory, place = Output(as_json), DataDirectory(data), place_of(listen, advertise, pcap, keylog)
    where = [parse_address(text, "--bootstrap") for text in bootstrap]
    enroll_on_first_use(output, directory, ca, None)
    return uvloop.run(_node(output, directory, place, overlay, where, tuning))


async def _node(
    output: Output, data: DataDirectory, place: Place, overlay: Path | None, bootstrap: list[Address], tuning: Tuning
) -> int:
    output.capture_log()
    stop = Stop()
    async with opened(data, place, read_overlay(overlay) if overlay else None, tuning) as peer:
        _introduce_node(output, peer, data)
        await stop.unless(join(peer, bootstrap, output))
        await stop.wait()
        await _end(output, peer, data)
    return Exit.DONE


def enroll(jid: str | None, is_node: bool, ca: Path, out: Path, as_json: bool) -> int:
    if (jid is None) != is_node:
        raise ConfigError("say whom to enrol: a user's address, or --node")
    output = Output(as_json)
    issued = enrolment.enroll(DataDirectory(ca), jid, DataDirectory(out))
    who = jid or "a node"
    output.say(
        "enrolled", f"{out}: identity of {who}, Node-ID {issued.node_id.hex()}", node_id=issued.node_id.hex(), jid=jid
    )
    return Exit.DONE


def enroll_on_first_use(output: Output, data: DataDirectory, ca: Path | None, jid: str | None) -> None:
    """With --ca a command makes its own identity, once."""
    if data.has_identity:
        return
    if ca is None:
        raise ConfigError(f"{data} holds no identity: add --ca with the directory that `{program()} quickstart` made")
    issued = enrolment.enroll(DataDirectory(ca), jid, data)
    output.say("enrolled", f"enrolled in {data}, Node-ID {issued.node_id.hex()}", node_id=issued.node_id.hex(), jid=jid)


async def _end(output: Output, peer: Peer, data: DataDirectory) -> None:
    output.say("leaving", "\nleaving: data is handed on (Ctrl-C again ends at once)")
    await peer.leave()
    output.say("left", "left the overlay in order")


def _introduce_node(output: Output, peer: Peer, data: DataDirectory) -> None:
    node_id, listen = peer.node.node_id.hex(), show_address(peer.node.addresses[0])
    output.say("listening", f"node {node_id} on {listen}", node_id=node_id, address=listen, data=str(data))


def _introduce(output: Output, peer: Peer, data: DataDirectory, is_new: bool) -> None:
    overlay, me = peer.node.overlay, program()
    node_id, listen = peer.node.node_id.hex(), show_address(peer.node.addresses[0])
    stored = len(peer.node.storage)
    kinds = ", ".join(f"{kind.name or hex(kind.id)} ({kind.access_control})" for kind in overlay.kinds)
    host = listen.rpartition(":")[0]
    text = f"""\
overlay   {overlay.instance_name}, {"made now" if is_new else "made before"}; its document: {data.document}
Node-ID   {node_id}
serves    on {listen}: overlay links (TLS with certificates of both sides), routing, storage of {kinds}
stored    {stored} values{"" if is_new else " from the last time"}

A second node joins:
  {me} node --ca {data} --data data/second --listen {host}:6085

Two users talk, each in a terminal of their own:
  {me} chat juliet@capulet.lit --as romeo@montague.lit --ca {data} --data data/romeo
  {me} chat romeo@montague.lit --as juliet@capulet.lit --ca {data} --data data/juliet

Look around: {me} status --data {data}; {me} lookup romeo@montague.lit --data {data}
Ctrl-C leaves in order."""
    output.say(
        "listening",
        text,
        node_id=node_id,
        address=listen,
        overlay=overlay.instance_name,
        new=is_new,
        values=stored,
        data=str(data),
    )


def place_of(listen: str, advertise: list[str], pcap: Path | None, keylog: Path | None) -> Place:
    if pcap is not None and keylog is not None:
        raise ConfigError("--pcap writes the keys into its own file: leave out --keylog")
    addresses = tuple(parse_address(text, "--advertise") for text in advertise)
    own = parse_address(listen, "--listen", least_port=0)
    for host, port in addresses or (own,):
        if ip_address(host).is_unspecified:
            where = show_address((host, port))
            raise ConfigError(f"{where} says not where others reach us: add --advertise IP:PORT that does")
    return Place(own, addresses, pcap, keylog)
