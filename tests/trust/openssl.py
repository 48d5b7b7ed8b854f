"""Certificates and signatures made and checked by the openssl program, the judge of the tests in this folder."""

import base64
import subprocess
from collections.abc import Sequence
from pathlib import Path

from xor_fast.config import Overlay

OVERLAY = "overlay.example"
EC = ("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256")
RSA = ("-newkey", "rsa:2048")
CA_EXTENSIONS = "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign,cRLSign\n"


def openssl(*arguments: object, data: bytes = b"") -> bytes:
    """What `openssl ARGUMENTS` wrote to standard output."""
    return subprocess.run(["openssl", *map(str, arguments)], input=data, capture_output=True, check=True).stdout


def uri(node_id: bytes, overlay: str = OVERLAY) -> str:
    """RFC 6940 14.15 by hand: type node (01), length, Node-ID."""
    return f"URI:reload://01{len(node_id):02x}{node_id.hex()}@{overlay}/"


class Files:
    """Certificates by name in a folder: NAME.key and NAME.pem. `ca` is there from the start."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.serial = 0
        self.make("ca", CA_EXTENSIONS, subject="/CN=test CA")

    @property
    def overlay(self) -> Overlay:
        return Overlay(instance_name=OVERLAY, root_certs=(self.der("ca"),))

    def make(
        self, name: str, extensions: str, *, subject: str = "/", key: Sequence[str] = EC, issuer: str | None = None
    ) -> bytes:
        """DER of a new certificate with `extensions` (lines of an openssl.cnf), self-signed without `issuer`."""
        self.serial += 1
        at = self.folder / name
        at.with_suffix(".cnf").write_text(f"[req]\ndistinguished_name=dn\n[dn]\n[extensions]\n{extensions}")
        ca = self.folder / f"{issuer}.pem"
        by = () if issuer is None else ("-CA", ca, "-CAkey", ca.with_suffix(".key"))
        openssl(
            *("req", "-x509", *key, "-nodes", "-keyout", f"{at}.key", "-subj", subject, *by, "-days", 9, "-sha256"),
            *("-set_serial", self.serial, "-config", f"{at}.cnf", "-extensions", "extensions", "-out", f"{at}.pem"),
        )
        return self.der(name)

    def node(self, name: str, names: str, *, issuer: str | None = "ca", more: str = "", **options: object) -> bytes:
        """DER of a node's certificate with these subjectAltName entries."""
        return self.make(name, f"subjectAltName=critical,{names}\n{more}", issuer=issuer, **options)  # type: ignore[arg-type]

    def der(self, name: str) -> bytes:
        return base64.b64decode("".join(self.pem(name).decode().splitlines()[1:-1]))

    def pem(self, name: str) -> bytes:
        return (self.folder / f"{name}.pem").read_bytes()

    def key(self, name: str) -> bytes:
        return (self.folder / f"{name}.key").read_bytes()

    def sign(self, name: str, data: bytes) -> bytes:
        """SHA-256 signature with NAME's key: ECDSA, or RSASSA-PKCS1-v1_5."""
        return openssl("dgst", "-sha256", "-sign", self.folder / f"{name}.key", data=data)
