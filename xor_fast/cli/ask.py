"""Single questions to the overlay or to a running node: `lookup`, `ping`, `status`."""

from pathlib import Path
from typing import Any

import uvloop

from xor_fast.actions import Address
from xor_fast.cli.data import DataDirectory
from xor_fast.cli.output import Exit, Output, program
from xor_fast.cli.running import parse_address, passing_client
from xor_fast.errors import ConfigError
from xor_fast.messages import Destination, DestinationType
from xor_fast.net import stats
from xor_fast.usages.xmpp.contact import XmppUsage
from xor_fast.usages.xmpp.jid import prepare_bare
from xor_fast.usages.xmpp.lookup import Locations

DATA = Path("data")
BOOTSTRAP = DATA / "bootstrap"


def directory(data: Path | None) -> DataDirectory:
    """The one asked for; else data/bootstrap, or the only one there is."""
    if data is not None:
        return DataDirectory(data)
    found = [path.parent for path in sorted(DATA.glob("*/overlay.xml"))]
    if BOOTSTRAP in found:
        return DataDirectory(BOOTSTRAP)
    if len(found) == 1:
        return DataDirectory(found[0])
    if found:
        raise ConfigError(f"there are several data directories: choose one with --data ({', '.join(map(str, found))})")
    raise ConfigError(
        f"no data directory found in {DATA}/: name one with --data, or begin with `{program()} quickstart`"
    )


def ping(node_id: str, data: Path | None, bootstrap: list[str], as_json: bool) -> int:
    return uvloop.run(_ping(Output(as_json), node_id, directory(data), _addresses(bootstrap)))


async def _ping(output: Output, node_id: str, data: DataDirectory, bootstrap: list[Address]) -> int:
    output.capture_log()
    length = data.overlay().node_id_length
    try:
        target = bytes.fromhex(node_id)
    except ValueError:
        target = b""
    if len(target) != length:
        raise ConfigError(f"{node_id} is not a Node-ID: needed are {2 * length} hexadecimal digits")
    async with passing_client(data, bootstrap) as peer:
        pong = await peer.ping((Destination(DestinationType.NODE, target),))
    output.say(
        "pong",
        f"answer of {pong.node_id.hex()} after {pong.rtt * 1000:.1f} ms over {pong.hops} forwarders",
        node_id=pong.node_id.hex(),
        hops=pong.hops,
        rtt=pong.rtt,
        time_ms=pong.time_ms,
    )
    return Exit.DONE


def lookup(jid: str, data: Path | None, bootstrap: list[str], as_json: bool) -> int:
    address = prepare_bare(jid)
    return uvloop.run(_lookup(Output(as_json), address, directory(data), _addresses(bootstrap)))


async def _lookup(output: Output, jid: str, data: DataDirectory, bootstrap: list[Address]) -> int:
    output.capture_log()
    async with passing_client(data, bootstrap) as peer:
        usage = XmppUsage(peer.node, lambda _now, _stream: None, lambda _now, _ticket: None)
        locations: Locations = await peer.wish(usage.lookup, jid)
    for followed in locations.followed:
        output.say("forward", f"{jid} forwards to {followed}", jid=followed)
    for location in locations.routes:
        through = [entry.value.hex() for entry in location.destination_list[:-1]]
        by = f", through {' '.join(through)}" if through else ""
        node_id = location.node_id.hex()
        text = f"{location.jid} at {node_id}{by}, priority {location.priority}"
        output.say("location", text, jid=location.jid, node_id=node_id, through=through, priority=location.priority)
    output.say(
        "found",
        f"{len(locations.routes)} devices; answered by {locations.owner.hex()} over {locations.hops} forwarders"
        + (f"; {locations.rejected} values without right to be there" if locations.rejected else ""),
        jid=jid,
        owner=locations.owner.hex(),
        hops=locations.hops,
        rejected=locations.rejected,
        skipped=locations.skipped,
    )
    return Exit.DONE


def status(data: Path | None, as_json: bool) -> int:
    found = stats.ask(directory(data).control)
    output = Output(as_json)
    if as_json:
        output.say("status", None, **found)
    else:
        _show_status(found)
    return Exit.DONE


def _show_status(found: dict[str, Any]) -> None:
    from rich.console import Console
    from rich.table import Table

    console = Console()
    ring, store = found["ring"], found["store"]
    console.print(f"node {found['node_id']} of {found['overlay']}, up {found['uptime']} s", highlight=False)
    place = "part of the ring" if ring["joined"] else "not part of the ring"
    console.print(f"{place}, {ring['peers']} peers known; {store['values']} values of {store['resources']} resources, "
                  f"{store['bytes']} bytes", highlight=False)  # fmt: skip
    for name in ("predecessors", "successors"):
        console.print(f"{name}: {' '.join(ring[name]) or 'none'}", highlight=False, soft_wrap=True)
    links = Table("link", "node", "round trip ms", "silent s", title="links", title_justify="left")
    for link in found["links"]:
        links.add_row(str(link["link"]), link["node_id"], f"{link['rtt'] * 1000:.1f}", f"{link['idle']:.1f}")
    counters = Table("counter", "count", title="counters that moved", title_justify="left")
    for name, count in found["counters"].items():
        if count:
            counters.add_row(name, str(count))
    console.print(links, counters)


def _addresses(bootstrap: list[str]) -> list[Address]:
    return [parse_address(text, "--bootstrap") for text in bootstrap]
