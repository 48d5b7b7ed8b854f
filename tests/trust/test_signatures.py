"""Signatures, with the openssl program as the other side."""

import random
import time
from hashlib import sha256
from pathlib import Path

import pytest

from tests.pki import WALL_MS, Pki
from tests.trust.openssl import EC, RSA, Files, openssl, uri
from xor_fast.errors import ConfigError, TrustError
from xor_fast.messages import UNSIGNED, GenericCertificate, Signature, SignerIdentity
from xor_fast.trust.signatures import Identity, Verifier

NODE = bytes(range(16))
OTHER = bytes(range(16, 32))
MAIL = "email:romeo@montague.lit"
DATA = b"overlay || transaction_id || MessageContents || SignerIdentity"


def identity_of(files: Files, name: str, node_id: bytes | None = None) -> Identity:
    return Identity.from_pem(files.pem(name), files.key(name), files.overlay, node_id=node_id)


def now_ms() -> int:
    return int(time.time() * 1000) + 2000


@pytest.mark.parametrize(
    ("key", "pair"),
    [
        pytest.param(RSA, (4, 1), marks=pytest.mark.req("sec.rsa-sha256"), id="rsa"),
        pytest.param(EC, (4, 3), id="ecdsa"),
    ],
)
def test_openssl_and_we_verify_each_other(
    files: Files, tmp_path: Path, key: tuple[str, ...], pair: tuple[int, int]
) -> None:
    der = files.node("signing", f"{uri(NODE)},{MAIL}", key=key)
    identity = identity_of(files, "signing")
    signature = identity.sign(DATA)
    assert (signature.hash_algorithm, signature.signature_algorithm) == pair

    (tmp_path / "public").write_bytes(openssl("x509", "-in", files.folder / "signing.pem", "-pubkey", "-noout"))
    (tmp_path / "signature").write_bytes(signature.signature_value)
    said = openssl("dgst", "-sha256", "-verify", tmp_path / "public", "-signature", tmp_path / "signature", data=DATA)
    assert said == b"Verified OK\n"

    theirs = Signature(*pair, identity.signer, files.sign("signing", DATA))
    signer = Verifier(files.overlay).verify(theirs, DATA, [GenericCertificate(0, der)], now_ms())
    assert (signer.node_id, signer.certificate.user_name) == (NODE, b"romeo@montague.lit")


@pytest.mark.req("sec.cert-hash-single", "hash.cert-hash")
def test_one_node_id_signs_with_cert_hash(files: Files) -> None:
    files.node("single", f"{uri(NODE)},{MAIL}")
    identity = identity_of(files, "single")
    digest = openssl("dgst", "-sha256", "-binary", data=files.der("single"))
    assert identity.sign(DATA).identity == SignerIdentity(1, 4, digest)
    wrong = SignerIdentity(2, 4, sha256(NODE + files.der("single")).digest())
    refuse(Verifier(files.overlay), Signature(4, 3, wrong, files.sign("single", DATA)), identity, "did not come")


@pytest.mark.req("sec.cert-hash-multi", "hash.cert-hash-node-id")
def test_several_node_ids_sign_with_cert_hash_node_id(files: Files) -> None:
    der = files.node("double", f"{uri(NODE)},{uri(OTHER)},{MAIL}")
    verifier = Verifier(files.overlay)
    for node_id in (NODE, OTHER):
        identity = identity_of(files, "double", node_id)
        digest = openssl("dgst", "-sha256", "-binary", data=node_id + der)
        signature = identity.sign(DATA)
        assert signature.identity == SignerIdentity(2, 4, digest)
        assert verifier.verify(signature, DATA, identity.certificates, now_ms()).node_id == node_id
        assert verifier.verify(signature, DATA, (), now_ms()).node_id == node_id, "from the cache"
    by_hash = SignerIdentity(1, 4, sha256(der).digest())
    for judge in (Verifier(files.overlay), verifier):
        refuse(judge, Signature(4, 3, by_hash, files.sign("double", DATA)), identity, "did not come")


def refuse(verifier: Verifier, signature: Signature, identity: Identity, reason: str, data: bytes = DATA) -> None:
    with pytest.raises(TrustError, match=reason):
        verifier.verify(signature, data, identity.certificates, now_ms())


def test_what_is_refused() -> None:
    pki = Pki()
    verifier, identity = pki.verifier(), pki.identity(0)
    signature = identity.sign(DATA)
    assert verifier.verify(signature, DATA, identity.certificates, WALL_MS).node_id == identity.node_id
    name, value = signature.identity, signature.signature_value
    refuse(verifier, signature, identity, "does not fit", DATA + b"x")
    refuse(verifier, Signature(4, 3, name, b""), identity, "does not fit")
    refuse(verifier, Signature(4, 3, name, pki.identity(1).sign(DATA).signature_value), identity, "does not fit")
    refuse(verifier, Signature(4, 1, name, value), identity, "algorithm")  # RSA, by an ECDSA key
    refuse(verifier, Signature(2, 3, name, value), identity, "algorithm")  # SHA-1
    refuse(verifier, Signature(0, 0, name, value), identity, "algorithm")
    refuse(verifier, UNSIGNED, identity, "names no signer")
    refuse(verifier, Signature(4, 3, SignerIdentity(3), value), identity, "names no signer")
    refuse(verifier, Signature(4, 3, SignerIdentity(1, 2, name.certificate_hash[:20]), value), identity, "SHA-256")
    refuse(verifier, Signature(4, 3, SignerIdentity(1, 4, b""), value), identity, "did not come")


def test_the_named_certificate_counts_not_its_place_in_the_bucket(rng: random.Random) -> None:
    pki = Pki()
    identities = [pki.identity(i) for i in range(5)]
    bucket = [c for i in identities for c in i.certificates]
    rng.shuffle(bucket)
    for identity in identities:
        assert pki.verifier().verify(identity.sign(DATA), DATA, bucket, WALL_MS).node_id == identity.node_id
        others = [c for c in bucket if c not in identity.certificates]
        with pytest.raises(TrustError, match="did not come with it"):
            pki.verifier().verify(identity.sign(DATA), DATA, others, WALL_MS)
        openpgp = [GenericCertificate(1, identity.certificate.der)]
        with pytest.raises(TrustError, match="did not come with it"):
            pki.verifier().verify(identity.sign(DATA), DATA, openpgp, WALL_MS)


@pytest.mark.req("sec.cert-time")
def test_a_signature_ends_with_its_certificate() -> None:
    pki = Pki()
    identity = pki.identity(0, not_after_ms=WALL_MS)
    signature = identity.sign(DATA)
    verifier = pki.verifier()
    assert verifier.verify(signature, DATA, identity.certificates, WALL_MS)
    for judge in (verifier, pki.verifier()):  # one knows the certificate, one does not
        with pytest.raises(TrustError, match="expired"):
            judge.verify(signature, DATA, identity.certificates, WALL_MS + 1)
        with pytest.raises(TrustError, match="not valid before"):
            judge.verify(signature, DATA, identity.certificates, 0)


@pytest.mark.req("sec.chain-to-root")
def test_a_signature_under_another_ca_is_refused() -> None:
    stranger = Pki(seed=2).identity(0)
    with pytest.raises(TrustError, match="issued by another CA"):
        Pki(seed=1).verifier().verify(stranger.sign(DATA), DATA, stranger.certificates, WALL_MS)


def test_simulated_identities_repeat_to_the_byte() -> None:
    one, two = Pki(seed=7), Pki(seed=7)
    two.identity(5)  # the order of asking changes nothing
    assert one.identity(0).certificate.der == two.identity(0).certificate.der
    assert one.identity(0).sign(DATA) == two.identity(0).sign(DATA)
    assert one.identity(0).certificate.der != Pki(seed=8).identity(0).certificate.der
    pem, key = one.pem(one.identity(0))
    random_k = Identity.from_pem(pem, key, one.overlay)
    assert random_k.sign(DATA).signature_value != random_k.sign(DATA).signature_value


def test_owner_mistakes_are_named(files: Files) -> None:
    files.node("mine", f"{uri(NODE)},{MAIL}")
    files.node("yours", f"{uri(OTHER)},{MAIL}")
    files.node("both", f"{uri(NODE)},{uri(OTHER)},{MAIL}")
    files.node("edwards", f"{uri(NODE)},{MAIL}", key=("-newkey", "ed25519"))
    cases = [
        ("does not belong", files.pem("mine"), files.key("yours"), None),
        ("does not give Node-ID", files.pem("mine"), files.key("mine"), OTHER),
        ("say which one", files.pem("both"), files.key("both"), None),
        ("not readable as PEM", b"", files.key("mine"), None),
        ("not readable as PEM", files.pem("mine"), b"", None),
        ("cannot be used", files.pem("mine"), files.key("edwards"), None),
    ]
    for reason, pem, key, node_id in cases:
        with pytest.raises(ConfigError, match=reason):
            Identity.from_pem(pem, key, files.overlay, node_id=node_id)


def test_intermediates_travel_with_the_identity(files: Files) -> None:
    files.make(
        "between", "basicConstraints=critical,CA:TRUE\nkeyUsage=critical,keyCertSign", subject="/CN=m", issuer="ca"
    )
    leaf = files.node("below", f"{uri(NODE)},{MAIL}", issuer="between")
    identity = Identity.from_pem(files.pem("below") + files.pem("between"), files.key("below"), files.overlay)
    assert [c.certificate for c in identity.certificates] == [leaf, files.der("between")]
    assert Verifier(files.overlay).verify(identity.sign(DATA), DATA, identity.certificates, now_ms()).node_id == NODE
