"""Making a private overlay, and issuing identities from its CA. Here keys, Node-IDs, serials and dates are drawn."""

import secrets
from collections.abc import Sequence
from typing import NamedTuple

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cli.data import CA_LIFE_MS, CERTIFICATE_LIFE_MS, CLOCK_SKEW_MS, DataDirectory, wall_ms
from xor_fast.config import KindDefinition, Overlay, advised_ttl, checked_name, write_overlay
from xor_fast.errors import ConfigError
from xor_fast.trust.authority import Authority, certificate_to_pem, key_to_pem, new_key
from xor_fast.usages.xmpp import jid as jids
from xor_fast.usages.xmpp.kind import XMPP_LOCATION


class Issued(NamedTuple):
    """certificates: DER, the own one first; key: PEM."""

    node_id: bytes
    certificates: tuple[bytes, ...]
    key: bytes

    @property
    def pem(self) -> bytes:
        """The certificates."""
        return b"".join(map(certificate_to_pem, self.certificates))


def found_overlay(
    data: DataDirectory,
    name: str,
    bootstrap: Address,
    kinds: Sequence[KindDefinition] = (XMPP_LOCATION,),
    nodes: int = limits.EXPECTED_NODES,
) -> None:
    """Make `data`: a CA, a Configuration Document that names `bootstrap`, and the identity of the first peer.

    nodes: how many the overlay may grow to."""
    now = wall_ms()
    key = new_key(secrets.randbits(320))
    name = checked_name(name)
    ca = Authority.create(name, key, serial=_serial(), not_before_ms=now - CLOCK_SKEW_MS, not_after_ms=now + CA_LIFE_MS)
    overlay = Overlay(
        instance_name=name,
        sequence=1,
        root_certs=(ca.certificate,),
        bootstrap_nodes=(bootstrap,),
        initial_ttl=advised_ttl(nodes),
        no_ice=True,  # its link type is TLS-TCP-FH-NO-ICE
        kinds=tuple(kinds),
    )
    issued = issue(ca, None, overlay.node_id_length)
    with data.made() as new:
        new.write_authority(ca.certificate, key_to_pem(key))
        new.write_identity(write_overlay(overlay), issued.pem, issued.key)


def enroll(ca: DataDirectory, jid: str | None, out: DataDirectory) -> Issued:
    """Make `out`: an identity of the overlay whose CA is in `ca`, for a user or (None) for a node."""
    if not ca.has_ca:
        raise ConfigError(f"{ca} holds no CA: give --ca the directory that `xor-fast quickstart` made")
    overlay = ca.overlay()
    issued = issue(ca.authority(overlay), jid, overlay.node_id_length)
    with out.made() as new:
        new.write_identity(ca.document.read_bytes(), issued.pem, issued.key)
    return issued


def issue(ca: Authority, jid: str | None, node_id_length: int) -> Issued:
    """A new key and its certificate; the Node-ID is random and nobody's choice (RFC 6940 11.3)."""
    now = wall_ms()
    key = new_key(secrets.randbits(320))
    node_id = secrets.token_bytes(node_id_length)
    dates = {"not_before_ms": now - CLOCK_SKEW_MS, "not_after_ms": now + CERTIFICATE_LIFE_MS}
    if jid is None:
        certificate = ca.issue_node(node_id, key.public_key(), serial=_serial(), **dates)
    else:
        name = jids.prepare_bare(jid)
        certificate = ca.issue_user(name, [node_id], key.public_key(), serial=_serial(), **dates)
    return Issued(node_id, (certificate,), key_to_pem(key))


def _serial() -> int:
    return secrets.randbits(158) + 1
