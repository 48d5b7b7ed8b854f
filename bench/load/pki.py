"""Certificates for the load programs: one root, the relay, and one for each link of the load generator (P-256)."""

import datetime
import random
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

OVERLAY = "bench.example"


def node_id(name: str) -> bytes:
    """The Node-ID of a link, spread over the ring, the same in each run."""
    return random.Random(name).randbytes(16)


def _builder(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    now = datetime.datetime.now(datetime.UTC)
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - datetime.timedelta(minutes=5))
        .not_valid_after(now + datetime.timedelta(days=1))
    )


def write_certificates(directory: Path, sources: int, targets: int) -> None:
    """root.pem, relay.pem, source0.pem, ..., target0.pem, ...: key and certificate of each in one file."""
    root_name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "bench root")])
    root_key = ec.generate_private_key(ec.SECP256R1())
    root = (
        _builder(root_name, root_name, root_key)
        .add_extension(x509.BasicConstraints(True, None), critical=True)
        .sign(root_key, hashes.SHA256())
    )
    (directory / "root.pem").write_bytes(root.public_bytes(Encoding.PEM))
    names = ["relay", *(f"source{i}" for i in range(sources)), *(f"target{i}" for i in range(targets))]
    for name in names:
        key = ec.generate_private_key(ec.SECP256R1())
        uri = x509.UniformResourceIdentifier(f"reload://0110{node_id(name).hex()}@{OVERLAY}/")
        certificate = (
            _builder(x509.Name([]), root_name, key)
            # RFC 5280 4.1.2.6: with an empty subject the alternative names are critical.
            .add_extension(x509.SubjectAlternativeName([uri, x509.RFC822Name(f"{name}@{OVERLAY}")]), critical=True)
            .sign(root_key, hashes.SHA256())
        )
        key_pem = key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
        (directory / f"{name}.pem").write_bytes(key_pem + certificate.public_bytes(Encoding.PEM))
