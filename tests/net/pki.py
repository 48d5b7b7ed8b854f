"""A CA and certificates for the driver's tests, made with `cryptography`, not with the code under test."""

import datetime
from functools import cache

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec

from xor_fast.net.tls import Credentials

_NOW = datetime.datetime.now(datetime.UTC)
_DAY = datetime.timedelta(days=1)
_PEM, _DER = serialization.Encoding.PEM, serialization.Encoding.DER


@cache
def authority(name: str = "root") -> tuple[x509.Certificate, ec.EllipticCurvePrivateKey]:
    key = ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, name)])
    certificate = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW + _DAY)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    return certificate, key


def credentials(node_id: bytes, *, issuer: str = "root", trusted: str = "root", expired: bool = False) -> Credentials:
    ca, ca_key = authority(issuer)
    key = ec.generate_private_key(ec.SECP256R1())
    uri = f"reload://0110{node_id.hex()}@overlay.example/"
    certificate = (
        x509.CertificateBuilder()
        .subject_name(x509.Name([]))
        .issuer_name(ca.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(_NOW - _DAY)
        .not_valid_after(_NOW - _DAY / 2 if expired else _NOW + _DAY)
        .add_extension(x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)]), critical=True)
        .sign(ca_key, hashes.SHA256())
    )
    pem = key.private_bytes(_PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return Credentials((certificate.public_bytes(_DER),), pem, (authority(trusted)[0].public_bytes(_DER),))


def node_id_of(der: bytes) -> bytes:
    san = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return bytes.fromhex(san.get_values_for_type(x509.UniformResourceIdentifier)[0][13:45])
