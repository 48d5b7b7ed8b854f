"""Which certificates belong to an overlay. They are made by openssl, so that reader and writer are not one code."""

import random
import time
from hashlib import sha256

import msgspec
import pytest

from tests.pki import NOT_AFTER_MS, NOT_BEFORE_MS, WALL_MS, Pki
from tests.trust.openssl import CA_EXTENSIONS, EC, RSA, Files, uri
from xor_fast import limits
from xor_fast.config import Overlay
from xor_fast.errors import ConfigError, TrustError
from xor_fast.trust import certificates
from xor_fast.trust.certificates import parse_certificate
from xor_fast.trust.signatures import Verifier

NODE = bytes(range(16))
OTHER = bytes(range(16, 32))
MAIL = "email:romeo@montague.lit"
XMPP = "otherName:1.3.6.1.5.5.7.8.5;UTF8:"
DAY_MS = 86_400_000
RESERVED = pytest.mark.req("codec.node-id-reserved")


def now_ms() -> int:
    """Certificates by openssl begin now."""
    return int(time.time() * 1000) + 2000


def link(files: Files, *ders: bytes) -> str:
    """ "" when accepted for a link, else why not."""
    reason = ""
    try:
        Verifier(files.overlay).link(ders, now_ms())
    except TrustError as e:
        reason = str(e)
    assert "\n" not in reason, "it is one line of a log"
    return reason


def test_what_is_read_from_a_node(files: Files) -> None:
    der = files.node("plain", f"{uri(NODE)},{MAIL}")
    certificate = Verifier(files.overlay).link([der], now_ms())
    assert certificate.der == der
    assert certificate.digest == sha256(der).digest()
    assert certificate.node_ids == (NODE,)
    assert certificate.node_id == NODE
    assert certificate.user_name == b"romeo@montague.lit"
    assert 8 * DAY_MS < certificate.not_after_ms - now_ms() <= 9 * DAY_MS


@pytest.mark.parametrize(
    ("names", "user_name"),
    [
        (f"{MAIL},{XMPP}romeo@montague.lit", "romeo@montague.lit"),
        (f"{XMPP}{'j' * 120}@capulet.lit", "j" * 120 + "@capulet.lit"),  # DER lengths of two and of three bytes
        (f"{XMPP}{'j' * 600}@capulet.lit", "j" * 600 + "@capulet.lit"),
    ],
)
def test_user_name_of_an_xmpp_user(files: Files, names: str, user_name: str) -> None:
    der = files.node("user", f"{uri(NODE)},{names}")
    assert Verifier(files.overlay).link([der], now_ms()).user_name == user_name.encode()


def test_user_name_beyond_ascii(files: Files) -> None:
    names = f"[names]\nURI={uri(NODE)[4:]}\notherName=1.3.6.1.5.5.7.8.5;FORMAT:UTF8,UTF8:юлия@capulet.lit\n"
    der = files.node("beyond", "@names", more=names)
    assert Verifier(files.overlay).link([der], now_ms()).user_name == "юлия@capulet.lit".encode()


def test_several_node_ids(files: Files) -> None:
    certificate = Verifier(files.overlay).link([files.node("two", f"{uri(NODE)},{uri(OTHER)},{MAIL}")], now_ms())
    assert certificate.node_ids == (NODE, OTHER)
    with pytest.raises(TrustError, match="2 Node-IDs"):
        _ = certificate.node_id


@pytest.mark.parametrize(
    ("names", "reason"),
    [
        (MAIL, "no RELOAD URI"),
        (uri(NODE), "no user name"),
        (f"{uri(NODE)},{MAIL},email:juliet@capulet.lit", "more than one user name"),
        (f"{uri(NODE)},{XMPP}a@b.lit,{XMPP}c@d.lit", "more than one user name"),
        (f"{uri(NODE)},{MAIL},{XMPP}juliet@capulet.lit", "differ"),
        (f"{uri(NODE, 'other.example')},{MAIL}", "for overlay other.example, not for this one"),
        (f"{uri(NODE)},{uri(OTHER, 'other.example')},{MAIL}", "for overlay other.example"),
        (
            f"URI:reload://{NODE.hex()}@overlay.example/,{MAIL}",
            "not the RELOAD URI of one node",
        ),  # a bare Node-ID (notes 3.8)
        (
            f"URI:reload://0211 10{NODE.hex()}@overlay.example/,{MAIL}".replace(" ", ""),
            "not the RELOAD URI of one node",
        ),  # a resource
        (
            f"URI:reload://0110{NODE.hex()}0110{OTHER.hex()}@overlay.example/,{MAIL}",
            "not the RELOAD URI of one node",
        ),  # two entries
        (
            f"URI:reload://0114{NODE.hex()}00000000@overlay.example/,{MAIL}",
            "not the RELOAD URI of one node",
        ),  # 20 bytes in an overlay of 16
        *(
            (f"URI:reload://0110{NODE.hex()}@overlay.example/{data},{MAIL}", "not the RELOAD URI of one node")
            for data in ("00", "0000000700000000000000000000")  # no specifier, and one of a single value
        ),
        (f"URI:https://overlay.example/,{MAIL}", "not the RELOAD URI of one node"),
        pytest.param(f"{uri(bytes(16))},{MAIL}", "reserved", marks=RESERVED),
        pytest.param(f"{uri(bytes([255]) * 16)},{MAIL}", "reserved", marks=RESERVED),
        pytest.param(f"{uri(NODE)},{uri(bytes(16))},{MAIL}", "reserved", marks=RESERVED),
        (f"{uri(NODE)},{uri(NODE)},{MAIL}", "twice"),
    ],
)
def test_names_that_are_refused(files: Files, names: str, reason: str) -> None:
    assert reason in link(files, files.node("names", names))


@pytest.mark.parametrize(
    ("key", "more", "reason"),
    [
        (EC, "basicConstraints=critical,CA:TRUE", "a CA certificate cannot be a node"),
        (EC, "keyUsage=critical,keyAgreement", "may not sign"),
        (EC, "1.2.3.4.5=critical,DER:0500", "critical"),
        (("-newkey", "rsa:1024"), "", "neither ECDSA P-256 nor RSA"),
        (("-newkey", "ed25519"), "", "neither ECDSA P-256 nor RSA"),
        (("-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-384"), "", "neither ECDSA P-256 nor RSA"),
        (RSA, "basicConstraints=critical,CA:FALSE\nkeyUsage=critical,digitalSignature", ""),
        (EC, "extendedKeyUsage=serverAuth", ""),  # the RFC asks for no usage
    ],
)
def test_keys_and_extensions(files: Files, key: tuple[str, ...], more: str, reason: str) -> None:
    said = link(files, files.node("kept", f"{uri(NODE)},{MAIL}", key=key, more=more))
    assert reason in said
    assert bool(reason) == bool(said)


@pytest.mark.req("sec.chain-to-root")
def test_only_certificates_of_the_root_are_accepted(files: Files) -> None:
    names = f"{uri(NODE)},{MAIL}"
    files.make("stranger", CA_EXTENSIONS, subject="/CN=stranger")
    files.make("namesake", CA_EXTENSIONS, subject="/CN=test CA")  # the same name, another key
    assert link(files, files.node("ours", names)) == ""
    for issuer in ("stranger", "namesake", "ours"):
        said = link(files, files.node("foreign", names, issuer=issuer), files.der(issuer))
        assert said == f"certificate of node {NODE.hex()}: issued by another CA"


@pytest.mark.req("enroll.self-signed-refuse")
def test_a_self_signed_certificate_is_refused(files: Files) -> None:
    der = files.node("alone", f"{uri(NODE)},{MAIL}", issuer=None, subject="/CN=alone")
    assert "issued by another CA" in link(files, der)


@pytest.mark.req("cfg.el.root-cert")
def test_each_root_is_a_trust_anchor(files: Files) -> None:
    files.make("second", CA_EXTENSIONS, subject="/CN=second CA")
    overlay = Overlay(instance_name="overlay.example", root_certs=(files.der("ca"), files.der("second")))
    verifier = Verifier(overlay)
    for issuer, node_id in (("ca", NODE), ("second", OTHER)):
        der = files.node(f"of-{issuer}", f"{uri(node_id)},{MAIL}", issuer=issuer)
        assert verifier.link([der], now_ms()).node_id == node_id


def test_intermediates_come_with_the_leaf(files: Files) -> None:
    issuer = "ca"
    chain: list[bytes] = []
    for depth in range(1, limits.MAX_INTERMEDIATES + 2):
        files.make(f"inter{depth}", CA_EXTENSIONS, subject=f"/CN=intermediate {depth}", issuer=issuer)
        issuer = f"inter{depth}"
        chain.insert(0, files.der(issuer))
        leaf = files.node(f"under{depth}", f"{uri(NODE)},{MAIL}", issuer=issuer)
        noise = [files.der("ca"), b"no certificate", files.node("noise", f"{uri(OTHER)},{MAIL}")]
        assert (link(files, leaf, *noise, *reversed(chain)) == "") == (depth <= limits.MAX_INTERMEDIATES)
        assert link(files, leaf, *chain[:-1]) != "", "a step is missing"


def test_a_bucket_full_of_namesakes_costs_a_few_checks(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    """Anybody may fill a bucket; each candidate issuer costs a signature check."""
    files.make("maze", CA_EXTENSIONS, subject="/CN=maze")
    bucket = [files.der("maze")]
    for i in range(20):
        bucket.append(files.make(f"maze{i}", CA_EXTENSIONS, subject="/CN=maze", issuer="maze"))
    leaf = files.node("in-maze", f"{uri(NODE)},{MAIL}", issuer="maze")
    checks = []
    original = certificates._issued
    monkeypatch.setattr(certificates, "_issued", lambda *both: checks.append(both) or original(*both))
    assert "issued by another CA" in link(files, leaf, *bucket)
    assert len(checks) <= limits.MAX_INTERMEDIATES * limits.MAX_ISSUER_TRIES + 1


def test_size_is_bounded(files: Files) -> None:
    assert "bytes, at most" in link(files, files.node("big", f"{uri(NODE)},{XMPP}{'j' * limits.MAX_CERTIFICATE_SIZE}"))


def test_dates_are_compared_on_each_use() -> None:
    pki = Pki()
    der = pki.identity(0, not_before_ms=WALL_MS, not_after_ms=WALL_MS + DAY_MS).certificate.der
    verifier = pki.verifier()
    with pytest.raises(TrustError, match="not valid before 2027-01-15"):
        verifier.link([der], WALL_MS - 1)
    assert verifier.link([der], WALL_MS)
    assert verifier.link([der], WALL_MS + DAY_MS)
    with pytest.raises(TrustError, match="expired 2027-01-16"):
        verifier.link([der], WALL_MS + DAY_MS + 1)
    assert verifier.link([der], WALL_MS), "a clock that was set wrong must not cost the certificate"


def test_an_expired_ca_ends_the_chain() -> None:
    """The leaf outlives nothing: what the verifier remembers is the time in which all of the chain is valid."""
    pki = Pki()
    certificate = pki.verifier().link([pki.identity(0).certificate.der], WALL_MS)
    assert (certificate.not_before_ms, certificate.not_after_ms) == (NOT_BEFORE_MS, NOT_AFTER_MS)
    with pytest.raises(TrustError, match="expired 2049-12-31"):
        pki.verifier().link([pki.identity(0).certificate.der], NOT_AFTER_MS + 1)


def test_bad_nodes_are_refused_everywhere() -> None:
    pki = Pki()
    bad, good = pki.identity(0), pki.identity(1)
    verifier = Verifier(Pki(bad_nodes=frozenset({bad.node_id})).overlay)
    assert verifier.link([good.certificate.der], WALL_MS).node_id == good.node_id
    with pytest.raises(TrustError, match="bad-node"):
        verifier.link([bad.certificate.der], WALL_MS)
    with pytest.raises(TrustError, match="bad-node"):
        verifier.verify(bad.sign(b"value"), b"value", bad.certificates, WALL_MS)


def test_no_certificate_and_no_root() -> None:
    pki = Pki()
    with pytest.raises(TrustError, match="no certificate"):
        pki.verifier().link([], WALL_MS)
    for roots in ((), (b"not DER",)):
        with pytest.raises(ConfigError, match="root-cert"):
            Verifier(Overlay(instance_name="overlay.example", root_certs=roots))


def test_the_cache_is_bounded_and_forgets_the_oldest(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(limits, "CERTIFICATE_CACHE", 3)
    pki = Pki()
    verifier = pki.verifier()
    for i in (0, 1, 2, 0, 3):  # 1 is now the one used longest ago
        verifier.link([pki.identity(i).certificate.der], WALL_MS)
    for i in (0, 2, 3):
        identity = pki.identity(i)
        assert verifier.verify(identity.sign(b"x"), b"x", (), WALL_MS).node_id == identity.node_id
    with pytest.raises(TrustError, match="did not come with it"):
        verifier.verify(pki.identity(1).sign(b"x"), b"x", (), WALL_MS)


@pytest.mark.part("fuzz")
@pytest.mark.filterwarnings("ignore:Parsed a serial number")
def test_garbage_gives_a_trust_error_and_nothing_else(rng: random.Random) -> None:
    """A peer chooses these bytes: every other exception would take the node down. What is accepted all the same (the
    outermost encoding of a signature is not signed) says exactly what the CA signed."""
    pki = Pki()
    verifier = pki.verifier()
    good = verifier.link([pki.identity(0, "romeo@montague.lit").certificate.der], WALL_MS)
    for _ in range(1000):
        der = bytearray(good.der)
        for _ in range(rng.choice((1, 1, 1, 2, 5))):
            der[rng.randrange(len(der))] = rng.randrange(256)
        if rng.random() < 0.2:
            del der[rng.randrange(len(der)) :]
        try:
            accepted = verifier.link([bytes(der), good.der], WALL_MS)
        except TrustError:
            continue
        assert msgspec.structs.replace(accepted, der=good.der, digest=good.digest) == good


def test_names_of_strangers_cannot_break_the_log(files: Files) -> None:
    der = files.node("evil", f"URI:reload://\x1b[2Jx@{'y' * 900}/,{MAIL}")
    with pytest.raises(TrustError) as caught:
        parse_certificate(der, "overlay.example")
    assert str(caught.value).isprintable()
    assert len(str(caught.value)) < 400


@pytest.mark.parametrize("value", ["IA5:romeo@montague.lit", "UTF8:"])
def test_an_xmpp_address_is_a_utf8_string(files: Files, value: str) -> None:
    der = files.node("typed", f"{uri(NODE)},otherName:1.3.6.1.5.5.7.8.5;{value}")
    assert "UTF8String" in link(files, der)
