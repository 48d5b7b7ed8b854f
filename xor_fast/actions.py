"""What a node asks of its driver. The driver takes them with `Node.actions()` and reports back with the
`Node` call named in each docstring. Numbers called `ticket` join a request to its report.
"""

from enum import Enum
from typing import NamedTuple

Address = tuple[str, int]
"""IP address as text, port."""


class Purpose(Enum):
    """What a connection is for."""

    LINK = "overlay link"  # RELOAD frames, belongs to the Switch
    APPLICATION = "application"  # handed over to an application after its certificate is checked


class Dial(NamedTuple):
    """Connect as TLS client to one of `addresses`, in order, with the own certificate.

    Report: `Node.link_up(now, certificates, ticket)` or `Node.app_up(now, ticket, certificates)` by purpose once the
    handshake is done, or `Node.dial_failed(now, ticket, reason)`.
    """

    ticket: int
    addresses: tuple[Address, ...]
    purpose: Purpose


class Hangup(NamedTuple):
    """Close the connection of `link` after what is queued for it. Report: `Node.link_down`."""

    link: int
    reason: str


class OpenPort(NamedTuple):
    """Open a listening port for one AppAttach (TLS server, client certificate required).

    Report: `Node.port_opened(now, ticket, addresses)` or `Node.dial_failed(now, ticket, reason)`; then for each
    connection whose handshake is done `Node.app_up(now, ticket, certificates)`, which says whether it is the one.
    """

    ticket: int


class ClosePort(NamedTuple):
    """Close that listening port, and with it every connection through it that was not accepted."""

    ticket: int


class Persist(NamedTuple):
    """Write these to the disk, all or none: key and value, or None to remove it. Only for a node made `durable`.

    Report, in the order of the Persists: `Node.persisted(now, ticket)` once a crash of the machine cannot undo it, or
    `Node.persist_failed(now, ticket, reason)`. Several may be carried out as one. At its next start, `Node.restore`
    takes all that is there.
    """

    ticket: int
    records: tuple[tuple[bytes, bytes | None], ...]


class Notice(NamedTuple):
    """One line for the log. level: "info", "warning" or "error"."""

    level: str
    text: str


class Left(NamedTuple):
    """The node has left the overlay: nothing more will be sent; the driver may close everything."""


Action = Dial | Hangup | OpenPort | ClosePort | Persist | Notice | Left
