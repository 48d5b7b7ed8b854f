"""A private overlay in memory, the same for the same seed: CA, `Overlay` and identities by number."""

from functools import cache
from hashlib import sha256
from typing import Any

from xor_fast.config import KindDefinition, Overlay
from xor_fast.messages import DataModel
from xor_fast.trust.authority import Authority, certificate_to_pem, key_to_pem, new_key
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Identity, Verifier

WALL_MS = 1_800_000_000_000  # 2027-01-15, "now" of tests without a real clock
NOT_BEFORE_MS = 1_577_836_800_000  # 2020-01-01: real TLS stacks look at the real clock
NOT_AFTER_MS = 2_524_521_600_000  # 2049-12-31
XMPP_LOCATION = KindDefinition(5, "XMPP-LOCATION", DataModel.DICTIONARY, "USER-NODE-MATCH", 32, 2304)


class Pki:
    """`overlay`, `authority` and `identity(i)`; further keyword arguments are fields of the Overlay.

    Key, Node-ID and serial of identity i depend on (seed, i) only, so two Pki of one seed agree, whatever was asked
    of them before.
    """

    def __init__(self, seed: int = 1, overlay_name: str = "overlay.example", **fields: Any) -> None:
        self.seed = seed
        self.authority = Authority.create(
            overlay_name,
            new_key(self._number("ca")),
            serial=1,
            not_before_ms=NOT_BEFORE_MS,
            not_after_ms=NOT_AFTER_MS,
            deterministic=True,
        )
        fields = {"no_ice": True, "max_message_size": 65536, "kinds": (XMPP_LOCATION,)} | fields
        self.overlay = Overlay(instance_name=overlay_name, root_certs=(self.authority.certificate,), **fields)
        self.identity = cache(self._identity)

    def _number(self, *what: object) -> int:
        return int.from_bytes(sha256(repr((self.seed, *what)).encode()).digest())

    def node_id(self, i: int) -> bytes:
        return self._number("node", i).to_bytes(32)[:16]

    def verifier(self) -> Verifier:
        return Verifier(self.overlay)

    def _identity(
        self,
        i: int,
        user: str | None = None,
        node_id: bytes | None = None,
        not_before_ms: int = NOT_BEFORE_MS,
        not_after_ms: int = NOT_AFTER_MS,
    ) -> Identity:
        """Identity i: a node, or with `user` (a bare JID) a device of that user."""
        key = new_key(self._number("key", i))
        serial = 1 + self._number("serial", i) % (1 << 120)
        dates = {"serial": serial, "not_before_ms": not_before_ms, "not_after_ms": not_after_ms}
        node_id = self.node_id(i) if node_id is None else node_id
        if user is None:
            der = self.authority.issue_node(node_id, key.public_key(), **dates)
        else:
            der = self.authority.issue_user(user, [node_id], key.public_key(), **dates)
        return Identity(parse_certificate(der, self.overlay.instance_name), key, deterministic=True)

    def pem(self, identity: Identity) -> tuple[bytes, bytes]:
        """Certificate and private key as files hold them."""
        return certificate_to_pem(identity.certificate.der), key_to_pem(identity.key)
