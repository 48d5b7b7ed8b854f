"""What the CA of a private overlay issues, read by the openssl program."""

import base64
import re
from pathlib import Path

import pytest

from tests.pki import NOT_AFTER_MS, NOT_BEFORE_MS, Pki
from tests.trust.openssl import openssl
from xor_fast.errors import ConfigError
from xor_fast.trust.authority import (
    Authority,
    certificate_from_pem,
    certificate_to_pem,
    key_from_pem,
    key_to_pem,
    new_key,
)

NODE = bytes(range(16))
DATES = {"serial": 5, "not_before_ms": NOT_BEFORE_MS, "not_after_ms": NOT_AFTER_MS}


def text(der: bytes) -> str:
    return openssl("x509", "-inform", "DER", "-noout", "-text", data=der).decode()


def names(der: bytes) -> list[str]:
    """The subjectAltName entries as openssl prints them, "critical" first if it is."""
    found = re.search(r"Subject Alternative Name:(.*)\n\s+(.*)\n", text(der))
    assert found
    return [*found[1].split(), *found[2].split(", ")]


@pytest.mark.req("ca.node-id-uri", "ca.user-name", "ca.san-only", "ca.empty-subject")
def test_a_node_has_the_plain_profile_of_the_rfc() -> None:
    der = Pki().authority.issue_node(NODE, new_key(1).public_key(), **DATES)
    assert names(der) == [
        "critical",
        f"URI:reload://0110{NODE.hex()}@overlay.example/",
        f"email:node-{NODE.hex()}@overlay.example",
    ]
    assert re.search(r"Subject: *\n", text(der))


def test_a_user_has_an_xmpp_address_too() -> None:
    der = Pki().authority.issue_user("romeo@montague.lit", [NODE], new_key(1).public_key(), **DATES)
    assert names(der)[2:] == ["email:romeo@montague.lit", "othername: XmppAddr::romeo@montague.lit"]
    beyond_ascii = Pki().authority.issue_user("юлия@capulet.lit", [NODE], new_key(1).public_key(), **DATES)
    parsed = openssl("asn1parse", "-inform", "DER", data=beyond_ascii)
    offset = next(int(line.split(b":")[0]) for line in parsed.splitlines() if b"OCTET STRING" in line)
    inner = openssl("asn1parse", "-inform", "DER", "-strparse", offset, "-dump", data=beyond_ascii)
    assert b"UTF8STRING" in inner
    assert "юлия@capulet.lit".encode() in beyond_ascii
    assert not any(name.startswith("email:") for name in names(beyond_ascii))


def test_keys_may_be_used_at_both_ends_of_a_link() -> None:
    said = text(Pki().identity(0).certificate.der)
    assert "TLS Web Server Authentication, TLS Web Client Authentication" in said
    assert re.search(r"Key Usage: critical\n\s+Digital Signature\n", said)
    assert "CA:FALSE" in said
    assert "Subject Key Identifier" in said
    assert "Authority Key Identifier" in said


@pytest.mark.parametrize("purpose", ["sslclient", "sslserver"])
def test_openssl_accepts_the_chain(tmp_path: Path, purpose: str) -> None:
    pki = Pki()
    (tmp_path / "ca.pem").write_bytes(certificate_to_pem(pki.authority.certificate))
    for i, user in enumerate([None, "romeo@montague.lit", "юлия@capulet.lit"]):
        (tmp_path / "leaf.pem").write_bytes(pki.pem(pki.identity(i, user))[0])
        openssl("verify", "-x509_strict", "-purpose", purpose, "-CAfile", tmp_path / "ca.pem", tmp_path / "leaf.pem")


@pytest.mark.req("ca.user-name-legal")
@pytest.mark.parametrize("jid", ["", "a\0@b.lit", "a\n@b.lit", "x" * 2048, "Romeo <romeo@montague.lit>"])
def test_user_names_that_cannot_be_issued(jid: str) -> None:
    with pytest.raises(ConfigError, match="user name"):
        Pki().authority.issue_user(jid, [NODE], new_key(1).public_key(), **DATES)


def test_no_certificate_outlives_the_ca() -> None:
    with pytest.raises(ConfigError, match="outlive the CA"):
        Pki().authority.issue_node(
            NODE, new_key(1).public_key(), serial=5, not_before_ms=NOT_BEFORE_MS, not_after_ms=NOT_AFTER_MS + 1000
        )


def bent(kind: str, pem: bytes, old: str, new: str) -> bytes:
    """PEM with some bytes of its content replaced, both in hex."""
    der = base64.b64decode(b"".join(pem.splitlines()[1:-1]))
    changed = der.replace(bytes.fromhex(old), bytes.fromhex(new))
    assert changed != der
    return b"-----BEGIN %b-----\n%b-----END %b-----\n" % (kind.encode(), base64.encodebytes(changed), kind.encode())


def test_keys_and_certificates_survive_their_files() -> None:
    pki = Pki()
    key, der = pki.authority.key, pki.authority.certificate
    assert key_from_pem(key_to_pem(key)).private_numbers() == key.private_numbers()
    assert certificate_from_pem(certificate_to_pem(der)) == der
    assert openssl("pkey", "-noout", "-text", data=key_to_pem(key)).startswith(b"Private-Key: (256 bit)")
    again = Authority("overlay.example", der, key_from_pem(key_to_pem(key)), deterministic=True)
    issue = {"node_id": NODE, "key": key.public_key()} | DATES
    assert again.issue_node(**issue) == pki.authority.issue_node(**issue)
    for mistake in (
        lambda: key_from_pem(b"nothing"),
        lambda: key_from_pem(openssl("genpkey", "-algorithm", "ed25519")),
        lambda: certificate_from_pem(b"nothing"),
        lambda: Authority("overlay.example", der, new_key(5)),
        # What the library says of an algorithm and of a version that there are not is no ValueError.
        lambda: key_from_pem(bent("PRIVATE KEY", key_to_pem(key), "2a8648ce3d0201", "2a8648ce3d0277")),
        lambda: certificate_from_pem(bent("CERTIFICATE", certificate_to_pem(der), "a003020102", "a003020139")),
        lambda: Authority("overlay.example", der.replace(b"CA of", b"\xffA of"), key),
    ):
        with pytest.raises(ConfigError):
            mistake()


def test_every_number_gives_a_key() -> None:
    order = 0xFFFFFFFF00000000FFFFFFFFFFFFFFFFBCE6FAADA7179E84F3B9CAC2FC632551
    for secret in (0, 1, order - 2, order - 1, order, 1 << 256, (1 << 300) - 1):
        assert 1 <= new_key(secret).private_numbers().private_value < order
