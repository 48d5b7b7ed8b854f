"""Credentials for the driver's tests, and the Node-ID of a certificate as `cryptography` reads it."""

import ssl
from functools import cache
from tempfile import NamedTemporaryFile

from cryptography import x509

from tests.pki import NOT_BEFORE_MS, Pki
from xor_fast.net.tls import Credentials

pki = cache(Pki)


def credentials(i: int, *, issuer: int = 1, expired: bool = False) -> Credentials:
    """Of node i. issuer: the seed of the CA that issued its certificate; all trust the CA of seed 1."""
    not_after = {"not_after_ms": NOT_BEFORE_MS + 86_400_000} if expired else {}
    return Credentials.of(pki(issuer).identity(i, **not_after), pki(1).overlay)


def stdlib_client(own: Credentials | None) -> ssl.SSLContext:
    """A TLS client of Python's own: who comes to the driver's ports need not be the driver."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    if own is not None:
        with NamedTemporaryFile() as file:
            file.write(own.key + "".join(map(ssl.DER_cert_to_PEM_cert, own.certificates)).encode())
            file.flush()
            context.load_cert_chain(file.name)
    return context


def node_id_of(der: bytes) -> bytes:
    san = x509.load_der_x509_certificate(der).extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    return bytes.fromhex(san.get_values_for_type(x509.UniformResourceIdentifier)[0][13:45])
