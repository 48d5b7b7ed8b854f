"""The commands of `xor-fast`: what each option means. What they do stands in the modules beside this one."""

import io
import sys
from pathlib import Path
from typing import Annotated

import typer

from xor_fast import limits
from xor_fast.cli._program import app
from xor_fast.cli.output import reported
from xor_fast.core.tuning import Tuning

BOOTSTRAP = Path("data/bootstrap")

Json = Annotated[bool, typer.Option("--json", help="One JSON object a line, for a program.")]
Data = Annotated[Path, typer.Option("--data", metavar="DIR", help="Data directory: identity and what is kept.")]
AnyData = Annotated[
    Path | None,
    typer.Option("--data", metavar="DIR", help="Data directory; default: data/bootstrap, or the only one in data/."),
]
Ca = Annotated[
    Path | None,
    typer.Option("--ca", metavar="DIR", help="Directory of the overlay's CA: enrols on first use (default: enrolled)."),
]
Listen = Annotated[str, typer.Option("--listen", metavar="IP:PORT", help="Where to listen; port 0 takes a free one.")]
Advertise = Annotated[
    list[str] | None, typer.Option("--advertise", metavar="IP:PORT", help="Where others reach us, if not as --listen.")
]
Bootstrap = Annotated[
    list[str] | None,
    typer.Option("--bootstrap", metavar="IP:PORT", help="Bootstrap node; default: those of the overlay's document."),
]
Pcap = Annotated[
    Path | None,
    typer.Option("--pcap", metavar="FILE", help="Write our TLS connections with their keys (pcapng). Slower."),
]

Keylog = Annotated[
    Path | None,
    typer.Option("--keylog", metavar="FILE", help="Append the keys of our TLS connections, to read captures of them."),
]
Neighbours = Annotated[
    int | None,
    typer.Option(
        "--neighbours",
        metavar="N",
        min=limits.NEIGHBOURS_EACH_SIDE,
        max=limits.MAX_NEIGHBOURS,
        help="Peers kept linked on each side: the more, the worse losses are survived, and the more Updates are sent.",
        show_default="log2 of the number of peers, estimated",
    ),
]
Fingers = Annotated[
    int,
    typer.Option(
        "--fingers",
        metavar="N",
        min=limits.FINGERS,
        max=limits.MAX_FINGERS,
        help="Long links kept across the ring, where it has peers for them.",
    ),
]
HoldDown = Annotated[
    float,
    typer.Option(
        "--hold-down",
        metavar="SECONDS",
        min=0,
        help="Wait after a neighbour failed before its data is copied anew: one that is back by then costs no traffic, "
        "but until the copies are made there is one less.",
    ),
]


@app.command()
@reported
def quickstart(
    data: Data = BOOTSTRAP,
    listen: Annotated[
        str | None,
        typer.Option("--listen", metavar="IP:PORT", help="Where to listen; default: 127.0.0.1:6084, or as before."),
    ] = None,
    advertise: Advertise = None,
    name: Annotated[
        str, typer.Option("--name", help="Overlay name, a DNS name; used when it is made.")
    ] = "xor.home.arpa",
    nodes: Annotated[
        int,
        typer.Option(
            "--nodes", metavar="N", min=1, help="How many nodes the overlay may grow to; used when it is made."
        ),
    ] = limits.EXPECTED_NODES,
    neighbours: Neighbours = None,
    fingers: Fingers = limits.FINGERS,
    hold_down: HoldDown = limits.HOLD_DOWN,
    pcap: Pcap = None,
    keylog: Keylog = None,
    as_json: Json = False,
) -> int:
    """Make a private overlay, once, and run its first peer."""
    from xor_fast.cli import serve

    tuning = Tuning(neighbours, fingers, hold_down)
    return serve.quickstart(data, listen, advertise or [], name, nodes, tuning, pcap, keylog, as_json)


@app.command()
@reported
def node(
    data: Data,
    listen: Listen = "127.0.0.1:0",
    advertise: Advertise = None,
    overlay: Annotated[
        Path | None, typer.Option("--overlay", metavar="FILE", help="Configuration document; default: that of --data.")
    ] = None,
    ca: Ca = None,
    bootstrap: Bootstrap = None,
    neighbours: Neighbours = None,
    fingers: Fingers = limits.FINGERS,
    hold_down: HoldDown = limits.HOLD_DOWN,
    pcap: Pcap = None,
    keylog: Keylog = None,
    as_json: Json = False,
) -> int:
    """Join an existing overlay as a peer and serve it until Ctrl-C."""
    from xor_fast.cli import serve

    tuning = Tuning(neighbours, fingers, hold_down)
    return serve.node(data, listen, advertise or [], overlay, ca, bootstrap or [], tuning, pcap, keylog, as_json)


@app.command()
@reported
def enroll(
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Data directory to make.")],
    jid: Annotated[str | None, typer.Argument(help="The user's address, such as romeo@montague.lit.")] = None,
    is_node: Annotated[bool, typer.Option("--node", help="An identity for a node without a user.")] = False,
    ca: Annotated[Path, typer.Option("--ca", metavar="DIR", help="Directory of the overlay's CA.")] = BOOTSTRAP,
    as_json: Json = False,
) -> int:
    """Issue an identity of a private overlay, for a user's device or a node."""
    from xor_fast.cli import serve

    return serve.enroll(jid, is_node, ca, out, as_json)


@app.command()
@reported
def lookup(
    jid: Annotated[str, typer.Argument(help="The user's address.")],
    data: AnyData = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> int:
    """Find where a user's devices are."""
    from xor_fast.cli import ask

    return ask.lookup(jid, data, bootstrap or [], as_json)


@app.command()
@reported
def ping(
    node_id: Annotated[str, typer.Argument(metavar="NODE-ID", help="Node-ID in hex.")],
    data: AnyData = None,
    bootstrap: Bootstrap = None,
    as_json: Json = False,
) -> int:
    """Ask whether a node is reachable through the overlay."""
    from xor_fast.cli import ask

    return ask.ping(node_id, data, bootstrap or [], as_json)


@app.command()
@reported
def status(data: AnyData = None, as_json: Json = False) -> int:
    """Show a running node: ring, links, what it stores, and every counter."""
    from xor_fast.cli import ask

    return ask.status(data, as_json)


@app.command()
@reported
def chat(
    data: Data,
    jid: Annotated[str | None, typer.Argument(help="Whom to talk to; left out: whoever comes.")] = None,
    user: Annotated[
        str | None, typer.Option("--as", metavar="JID", help="Own address, to enrol with --ca on first use.")
    ] = None,
    ca: Ca = None,
    listen: Listen = "127.0.0.1:0",
    advertise: Advertise = None,
    bootstrap: Bootstrap = None,
    pcap: Pcap = None,
    keylog: Keylog = None,
    as_json: Json = False,
) -> int:
    """Talk with a user: what is typed goes to all their devices, what they write is shown."""
    from xor_fast.cli import chat as talk

    return talk.chat(jid, data, user, ca, listen, advertise or [], bootstrap or [], pcap, keylog, as_json)


@app.command()
@reported
def demo(
    nodes: Annotated[
        int, typer.Option("--nodes", min=8, max=64, help="Node processes besides the users' devices.")
    ] = 8,
    pcap: Annotated[
        Path | None,
        typer.Option("--pcap", metavar="FILE", help="Write all TLS connections with their keys (pcapng)."),
    ] = None,
    keep: Annotated[bool, typer.Option("--keep", help="Keep the data directories and logs.")] = False,
    as_json: Json = False,
) -> int:
    """Show it all: an overlay of node processes, two users, three devices, messages both ways, step by step."""
    from xor_fast.cli import demo as show

    return show.demo(nodes, pcap, keep, as_json)


@app.command()
@reported
def dump(
    inputs: Annotated[
        list[str] | None,
        typer.Argument(
            metavar="FILE|HEX|-",
            help="A file of bytes, of hex (also as xxd, hexdump or Wireshark show it), or a capture (pcap, pcapng); "
            "hex itself; or - for standard input, the default.",
            show_default=False,
        ),
    ] = None,
    structure: Annotated[
        str | None,
        typer.Option("--as", metavar="NAME", help="The input is this structure, such as StoreReq or XmppLocation."),
    ] = None,
    code: Annotated[
        str | None,
        typer.Option("--code", metavar="CODE", help="The input is the body of this message code: store_req, or 7."),
    ] = None,
    config: Annotated[
        Path | None,
        typer.Option(
            "--config", metavar="FILE", help="The overlay's configuration document: whom to trust, its Kinds, its name."
        ),
    ] = None,
    certificate: Annotated[
        list[Path] | None,
        typer.Option("--certificate", metavar="FILE", help="More certificates of signers (PEM or DER)."),
    ] = None,
    keylog: Annotated[
        Path | None,
        typer.Option("--keylog", metavar="FILE", help="Keys of the TLS in a capture (as SSLKEYLOGFILE has them)."),
    ] = None,
    kinds: Annotated[
        list[str] | None,
        typer.Option("--kinds", metavar="N=MODEL", help="Data model of a Kind, such as 77=array, or 77=XMPP-LOCATION."),
    ] = None,
    skip: Annotated[int, typer.Option("--skip", metavar="N", min=0, help="Leave out the first N bytes.")] = 0,
    node_id_length: Annotated[
        int | None,
        typer.Option("--node-id-length", min=16, max=20, help="Default: that of --config, or 16.", show_default=False),
    ] = None,
    brief: Annotated[bool, typer.Option("--brief", help="One line for each frame or message.")] = False,
    full: Annotated[bool, typer.Option("--full", help="Show long values whole.")] = False,
    as_json: Json = False,
) -> int:
    """Show RELOAD frames, messages and structures as a tree with offsets, and check their signatures.

    Exit code 1: something is malformed, or a signature does not hold."""
    from xor_fast.cli.dump import command

    options = command.Options(
        structure=structure,
        code=code,
        skip=skip,
        node_id_length=node_id_length,
        kinds=tuple(kinds or ()),
        certificates=tuple(certificate or ()),
        config=config,
        keylog=keylog,
        brief=brief,
        full=full,
        as_json=as_json,
    )
    return command.dump(inputs or [], options)


@app.command(
    context_settings={"allow_extra_args": True, "ignore_unknown_options": True, "help_option_names": []},
    add_help_option=False,
)
def sim(context: typer.Context) -> None:
    """Simulate an overlay in virtual time (--help lists its options)."""
    from xor_fast.sim.__main__ import main

    raise typer.Exit(main(context.args))


def main() -> None:
    """The command `xor-fast`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")  # names of files and users need not fit what is written to
    app()
