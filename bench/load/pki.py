"""The overlay of the load programs: the same in each process, because all of it comes from one seed."""

from pathlib import Path

from tests.pki import XMPP_LOCATION, Pki
from xor_fast.config import KindDefinition
from xor_fast.messages import DataModel
from xor_fast.net.tls import Credentials
from xor_fast.trust.authority import certificate_to_pem
from xor_fast.trust.signatures import Identity

SOURCES, TARGETS = 64, 16  # links of the load generator
RELAY, CLIENT, SOURCE, TARGET = 0, 1, 1000, 2000  # numbers of the identities; sources and targets count up from theirs
TURN_SERVICE = KindDefinition(2, "TURN-SERVICE", DataModel.SINGLE, "NODE-MULTIPLE", 1, 2304, max_node_multiple=255)
PKI = Pki(seed=6940, overlay_name="bench.example", kinds=(XMPP_LOCATION, TURN_SERVICE))


def identity(number: int) -> Identity:
    """Identity `number`, signing as a node does: with a random nonce."""
    made = PKI.identity(number)
    return Identity(made.certificate, made.key)


def credentials(number: int) -> Credentials:
    """What TLS needs to be identity `number`."""
    made = PKI.identity(number)
    return Credentials((made.certificate.der,), PKI.pem(made)[1], PKI.overlay.root_certs)


def write_certificates(directory: Path) -> None:
    """root.pem, relay.pem, source0.pem, ..., target0.pem, ...: key and certificate of each in one file."""
    (directory / "root.pem").write_bytes(certificate_to_pem(PKI.authority.certificate))
    names = {"relay": RELAY} | {f"source{i}": SOURCE + i for i in range(SOURCES)}
    names |= {f"target{i}": TARGET + i for i in range(TARGETS)}
    for name, number in names.items():
        certificate, key = PKI.pem(PKI.identity(number))
        (directory / f"{name}.pem").write_bytes(key + certificate)
