"""Nodes as the commands run them: a peer with its data directory, a passing client, and a stop that is in order."""

import asyncio
import ipaddress
import os
import random
import re
import signal
from collections.abc import AsyncIterator, Coroutine, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cli.data import DataDirectory, wall_ms
from xor_fast.cli.enrolment import issue
from xor_fast.cli.output import Output
from xor_fast.config import Overlay
from xor_fast.core.node import Node
from xor_fast.core.tuning import DEFAULTS, Tuning
from xor_fast.errors import ConfigError, ErrorCode, RequestFailed, TrustError
from xor_fast.net import collector, stats
from xor_fast.net.disk import Disk
from xor_fast.net.listener import address_of, bind
from xor_fast.net.pcap import PcapFile, TappedTls
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Credentials, Tls
from xor_fast.trust.signatures import Identity, Verifier

T = TypeVar("T")
DEFAULT_PORT = 6084


class Place(NamedTuple):
    """Where a peer listens (port 0: any), where others reach it (() for the same), its packet file, its key log."""

    listen: Address
    advertise: tuple[Address, ...] = ()
    pcap: Path | None = None
    keylog: Path | None = None


def parse_address(text: str, option: str, *, least_port: int = 1) -> Address:
    """HOST:PORT or HOST with an IP address; [HOST]:PORT for IPv6. least_port: 0 where the system may choose one."""
    host, port = text, str(DEFAULT_PORT)
    if text.startswith("[") and "]" in text:
        host, _, rest = text[1:].partition("]")
        port = rest.removeprefix(":") or port
    elif text.count(":") == 1:
        host, _, port = text.partition(":")
    try:
        host = str(ipaddress.ip_address(host))
        if not re.fullmatch("[0-9]{1,5}", port, re.ASCII) or not least_port <= int(port) <= 65535:
            raise ValueError
    except ValueError:
        raise ConfigError(f"{option} {text}: needed is an IP address and a port, such as 127.0.0.1:6084") from None
    return host, int(port)


def show_address(address: Address) -> str:
    host, port = address
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


ECHO = 0.5  # seconds within which a second signal counts as the first


class Stop:
    """Set by Ctrl-C or SIGTERM. A second one ends the process at once.

    What comes right after the first is the same wish, twice told: a signal for the process group reaches us directly
    and through make, which passes it on."""

    def __init__(self) -> None:
        self._first_at = 0.0
        self._event = asyncio.Event()
        self._task = asyncio.current_task()
        for number in (signal.SIGINT, signal.SIGTERM):
            asyncio.get_running_loop().add_signal_handler(number, self._signalled)

    def _signalled(self) -> None:
        now = asyncio.get_running_loop().time()
        if not self._event.is_set():
            self._first_at = now
            self._event.set()
        elif now - self._first_at >= ECHO and self._task is not None:
            self._task.cancel()

    def set(self) -> None:
        self._event.set()

    @property
    def is_set(self) -> bool:
        return self._event.is_set()

    async def wait(self) -> None:
        await self._event.wait()

    async def unless(self, work: Coroutine[Any, Any, T]) -> T | None:
        """The outcome of `work`, or None when the stop comes first; `work` is cancelled then."""
        task, stop = asyncio.ensure_future(work), asyncio.ensure_future(self._event.wait())
        try:
            await asyncio.wait({task, stop}, return_when=asyncio.FIRST_COMPLETED)
            return await task if task.done() else None
        finally:
            for future in (task, stop):
                future.cancel()
                with suppress(asyncio.CancelledError, RequestFailed):
                    await future


@asynccontextmanager
async def opened(
    data: DataDirectory, place: Place, overlay: Overlay | None = None, tuning: Tuning = DEFAULTS
) -> AsyncIterator[Peer]:
    """A peer with the identity of `data`, listening and answering on the control socket, not yet in the overlay.

    overlay: by default that of `data`. What it has stored is back. ConfigError when something
    cannot be used.
    """
    overlay = overlay or data.overlay()
    with data.locked():
        identity, credentials = data.credentials(overlay)
        sock = bind(*place.listen)
        own = address_of(sock)
        addresses = place.advertise or (own,)
        node = _node(overlay, identity, addresses, tuning, durable=True)
        hosts = tuple(dict.fromkeys(host for host, _ in addresses))
        tls = _tls(credentials, place)
        async with Peer(node, tls, sock, hosts=hosts, disk=Disk(str(data.store))) as peer:
            _judge(peer, credentials, data)
            collector.settle()
            control = await stats.Control.serve(data.control, {"status": lambda: stats.status(peer)})
            try:
                yield peer
            finally:
                control.close()


def _judge(peer: Peer, credentials: Credentials, data: DataDirectory) -> None:
    """As the others will; they only refuse, and where there are none yet, nobody would say so."""
    try:
        peer.node.verifier.link(credentials.certificates, wall_ms())
    except TrustError as error:
        peer.journal.say("warning", f"{data.certificate}: {error}; others will refuse it: enrol again, xor-fast enroll")


@asynccontextmanager
async def passing_client(data: DataDirectory, bootstrap: Sequence[Address]) -> AsyncIterator[Peer]:
    """A client of the overlay (RFC 6940 4.2.1) for one question.

    It takes the identity of `data`; where a node runs with that and the CA is at hand, one made for the occasion.
    """
    overlay = data.overlay()
    if data.has_ca and data.is_locked:
        issued = issue(data.authority(overlay), None, overlay.node_id_length)
        identity = Identity.from_pem(issued.pem, issued.key, overlay)
        credentials = Credentials(issued.certificates, issued.key, overlay.root_certs)
        async with _connected(overlay, identity, credentials, bootstrap) as peer:
            yield peer
    else:
        with data.locked():
            identity, credentials = data.credentials(overlay)
            async with _connected(overlay, identity, credentials, bootstrap) as peer:
                yield peer


@asynccontextmanager
async def _connected(
    overlay: Overlay, identity: Identity, credentials: Credentials, bootstrap: Sequence[Address]
) -> AsyncIterator[Peer]:
    async with Peer(_node(overlay, identity), Tls(credentials)) as peer:
        where = _bootstrap(bootstrap, overlay)
        try:
            async with asyncio.timeout(limits.DIAL_TIMEOUT + limits.HANDSHAKE_TIMEOUT):
                await peer.connect(where)
        except TimeoutError:
            text = f"no bootstrap node answered ({', '.join(map(show_address, where))})"
            raise RequestFailed(ErrorCode.REQUEST_TIMEOUT, text) from None
        yield peer


def _bootstrap(given: Sequence[Address], overlay: Overlay) -> tuple[Address, ...]:
    where = tuple(given) or overlay.bootstrap_nodes
    if not where:
        raise ConfigError(f"the document of {overlay.instance_name} names no bootstrap node: add --bootstrap IP:PORT")
    return where


def _node(
    overlay: Overlay,
    identity: Identity,
    addresses: tuple[Address, ...] = (),
    tuning: Tuning = DEFAULTS,
    *,
    durable: bool = False,
) -> Node:
    return Node(
        overlay, identity, Verifier(overlay), random.SystemRandom(), addresses=addresses, tuning=tuning, durable=durable
    )


def _tls(credentials: Credentials, place: Place) -> Tls:
    if place.pcap is not None:
        return TappedTls(credentials, PcapFile(str(place.pcap)))
    if place.keylog is None:
        return Tls(credentials)
    try:
        log = os.open(place.keylog, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)  # open until the process ends
    except OSError as error:
        raise ConfigError(f"--keylog {place.keylog} cannot be written: {error.strerror}") from None
    return Tls(credentials, log)


async def join(peer: Peer, bootstrap: Sequence[Address], output: Output) -> None:
    """Become part of the ring; tries until it succeeds, and the log says why a try did not."""
    where = _bootstrap(bootstrap, peer.node.overlay)
    shown = ", ".join(map(show_address, where))
    output.say("joining", f"joining {peer.node.overlay.instance_name} through {shown} ...", bootstrap=shown)
    await peer.join(where)
    output.say("joined", "joined the ring", node_id=peer.node.node_id.hex(), peers=len(peer.node.ring))
