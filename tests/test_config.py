"""The Configuration Document, judged by the RFC's own example and by its RELAX NG grammar.

vectors/config/rfc6940_11_1.xml is the example of RFC 6940 11.1. vectors/config/config.rng is the grammar of 11.1.1,
converted by trang, with overlay-reliability-timer added, which the RFC's grammar forgot (notes 7.4).
"""

import base64
import random
import re
from collections.abc import Iterator
from contextlib import suppress
from hashlib import sha1
from pathlib import Path

import msgspec
import pytest
from lxml import etree

from tests.pki import WALL_MS, XMPP_LOCATION, Pki
from xor_fast import limits
from xor_fast.config import KindDefinition, Overlay, parse_overlay, write_overlay
from xor_fast.errors import ConfigError, TrustError
from xor_fast.messages import DataModel
from xor_fast.trust.signatures import Verifier

VECTORS = Path(__file__).parent / "vectors" / "config"
EXAMPLE = (VECTORS / "rfc6940_11_1.xml").read_bytes()
GRAMMAR = etree.RelaxNG(etree.parse(VECTORS / "config.rng"))
NAME = "overlay.example.org"
pytestmark = pytest.mark.filterwarnings("ignore:Parsed a serial number")  # the root-cert of the example has serial 0
ROOT = base64.b64encode(Pki().authority.certificate).decode()


def usable(document: bytes) -> bytes:
    """The RFC's example with its data mended (notes 7.5): Node-IDs of 16 bytes, nothing that we cannot do."""
    document = re.sub(rb"\b[0-9a-f]{16}\b", lambda m: m[0] * 2, document)
    return re.sub(rb"<(mandatory-extension|shared-secret)>.*?</\1>", b"", document, flags=re.DOTALL)


def document(parameters: str = "", attributes: str = "", name: str = NAME) -> bytes:
    """A small document with a root-cert and what the test is about."""
    return (
        f'<overlay xmlns="urn:ietf:params:xml:ns:p2p:config-base" '
        f'xmlns:chord="urn:ietf:params:xml:ns:p2p:config-chord" xmlns:x="urn:x">'
        f'<configuration instance-name="{name}" {attributes}>'
        f"<root-cert>{ROOT}</root-cert>{parameters}</configuration></overlay>"
    ).encode()


def kind_block(attributes: str = 'id="2000"', **changed: str | None) -> str:
    parts: dict[str, str | None] = {
        "data-model": "SINGLE",
        "access-control": "USER-MATCH",
        "max-count": "1",
        "max-size": "100",
    } | {name.replace("_", "-"): value for name, value in changed.items()}
    inner = "".join(f"<{name}>{value}</{name}>" for name, value in parts.items() if value is not None)
    return f"<required-kinds><kind-block><kind {attributes}>{inner}</kind></kind-block></required-kinds>"


def refused(data: bytes, instance_name: str | None = None) -> str:
    with pytest.raises(ConfigError) as caught:
        parse_overlay(data, instance_name)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 300
    return str(caught.value)


# --- the RFC's example --------------------------------------------------------------------------------


@pytest.mark.req("cfg.whitespace", "cfg.multiple-overlays", "cfg.root-cert-bad", "cfg.foreign-elements")
def test_the_example_of_the_rfc() -> None:
    overlay = parse_overlay(usable(EXAMPLE), NAME)
    assert overlay.instance_name == NAME
    assert overlay.sequence == 22
    assert overlay.expiration_ms == 1_034_233_200_000  # date -d 2002-10-10T07:00:00Z +%s
    assert overlay.topology_plugin == "CHORD-RELOAD"
    assert overlay.node_id_length == 16
    assert overlay.bootstrap_nodes == (("192.0.0.1", 6084), ("192.0.2.2", 6084), ("2001:db8::1", 6084))
    assert overlay.clients_permitted is False
    assert overlay.no_ice is False
    assert (overlay.update_interval, overlay.ping_interval, overlay.reactive) == (400.0, 30.0, True)
    assert (overlay.max_message_size, overlay.initial_ttl, overlay.reliability_timer) == (4000, 30, 3.0)
    assert overlay.link_protocols == ("TLS",)
    assert overlay.bad_nodes == {bytes.fromhex("6ebc45d31a900c06" * 2), bytes.fromhex("6ebc45d31a900ca6" * 2)}
    assert overlay.kinds == (
        KindDefinition(1, "SIP-REGISTRATION", DataModel.DICTIONARY, "USER-NODE-MATCH", 1, 100),  # as RFC 7904 has it
        KindDefinition(2000, "", DataModel.ARRAY, "NODE-MULTIPLE", 22, 4, 3),
    )
    (root,) = overlay.root_certs
    assert (
        sha1(root).hexdigest()
        == sha1(base64.b64decode(re.findall(rb"<root-cert>(.*?)<", EXAMPLE, re.DOTALL)[0])).hexdigest()
    )
    assert overlay.warnings == ("root-cert 2 of 2 is not an X.509 certificate and is left out",)


def test_the_example_as_printed_names_what_is_wrong() -> None:
    assert "mandatory-extension" in refused(EXAMPLE, NAME)
    assert "root-cert" in refused(EXAMPLE, "other.example.net")


@pytest.mark.req("cfg.multiple-overlays")
def test_which_overlay_is_meant() -> None:
    one = document(name="one.example", attributes='sequence="1"')
    both = one.replace(b"</overlay>", document(name="two.example", attributes='sequence="2"').split(b">", 1)[1])
    assert parse_overlay(both, "one.example").sequence == 1
    assert parse_overlay(both, "TWO.example").sequence == 2
    assert parse_overlay(both, "TWO.example").instance_name == "two.example"  # hashed as written (notes 3.6)
    assert "one.example, two.example" in refused(both)
    assert "no overlay 'three.example'" in refused(both, "three.example")
    assert parse_overlay(one).instance_name == "one.example"
    assert "twice" in refused(both.replace(b"two.example", b"one.example"))


# --- XML ----------------------------------------------------------------------------------------------


@pytest.mark.req("cfg.well-formed")
@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (b"", "not well-formed"),
        (document()[:-1], "not well-formed"),
        (document() + b"x", "not well-formed"),
        (document().decode().encode("utf-16"), "not UTF-8"),
        (b'<?xml version="1.0" encoding="iso-8859-1"?>' + document(), "encoding"),
        (document("<x:a>\xff</x:a>").decode().encode("latin-1"), "not UTF-8"),
        (b'<!DOCTYPE overlay [<!ENTITY a "b">]>' + document(), "DTD"),
        (b'<!DOCTYPE overlay SYSTEM "file:///etc/passwd">' + document(), "DTD"),
        (document("<x:a>&amp;&b;</x:a>"), "not well-formed"),
        (document("<x:a>" * 100 + "</x:a>" * 100), "nested deeper"),
        (document(" " * limits.MAX_CONFIG_SIZE), "bytes"),
        (b"<overlay/>", "root"),
        (document().replace(b"config-base", b"config-other"), "root"),
    ],
)
def test_documents_that_are_not_read(data: bytes, reason: str) -> None:
    assert reason in refused(data)


@pytest.mark.req("cfg.namespaces")
def test_prefixes_do_not_matter() -> None:
    data = document("<chord:chord-ping-interval>77</chord:chord-ping-interval><initial-ttl>9</initial-ttl>")
    other = re.sub(rb"<(/?)(?!chord:|/)", rb"<\1b:", data).replace(b"xmlns=", b"xmlns:b=")
    other = other.replace(b"chord:chord", b"c:chord").replace(b"xmlns:chord", b"xmlns:c")
    assert other != data
    assert parse_overlay(other) == parse_overlay(data)
    assert (parse_overlay(other).ping_interval, parse_overlay(other).initial_ttl) == (77.0, 9)
    in_base = data.replace(b"chord:chord-ping", b"chord-ping")
    assert "unknown element <chord-ping-interval>" in refused(in_base)


@pytest.mark.req("cfg.foreign-elements")
def test_foreign_elements_and_attributes_change_nothing() -> None:
    plain = document("<no-ice>true</no-ice>" + kind_block())
    foreign = (
        plain.replace(b"<no-ice>", b'<x:note a="1">no<x:more/></x:note><no-ice x:y="z">')
        .replace(b"<configuration ", b'<configuration x:extra="1" ')
        .replace(b"<kind ", b'<kind x:extra="1" ')
        .replace(b"</kind>", b"<x:note/></kind>")
    )
    assert foreign.count(b"x:") == 7
    assert parse_overlay(foreign) == parse_overlay(plain)


@pytest.mark.parametrize(
    "parameters",
    [
        "<no-ise>true</no-ise>",
        "<no-ice>true</no-ice><no-ice>true</no-ice>",
        "<no-ice><b>true</b></no-ice>",
        '<no-ice since="2020">true</no-ice>',
        "<required-kinds><kind/></required-kinds>",
        "<required-kinds/><required-kinds/>",
        "<no-ice>maybe</no-ice>",
        "<initial-ttl>many</initial-ttl>",
        "<root-cert>%%%%</root-cert>",
        "<turn-density>300</turn-density>",
        "<bootstrap-node/>",
        kind_block(max_size=None),
        kind_block('id="-1"'),
    ],
)
def test_what_the_grammar_refuses_is_refused(parameters: str) -> None:
    data = document(parameters)
    if "%" not in parameters:  # libxml2 takes any text for base64Binary
        assert not GRAMMAR.validate(etree.fromstring(data))
    assert refused(data)


# --- elements -----------------------------------------------------------------------------------------


def test_defaults_of_the_rfc() -> None:
    overlay = parse_overlay(document())
    assert overlay == Overlay(instance_name=NAME, root_certs=overlay.root_certs)
    assert (overlay.sequence, overlay.expiration_ms, overlay.node_id_length) == (0, None, 16)
    assert (overlay.clients_permitted, overlay.no_ice, overlay.reactive) == (True, False, True)
    assert (overlay.update_interval, overlay.ping_interval) == (600.0, 3600.0)
    assert (overlay.max_message_size, overlay.initial_ttl, overlay.reliability_timer) == (5000, 100, 3.0)
    assert overlay.link_protocols == ("TLS",)


def test_overlay_hash_is_the_tail_of_sha1() -> None:
    assert parse_overlay(document()).overlay_hash == int.from_bytes(sha1(NAME.encode()).digest()[-4:])


@pytest.mark.req("cfg.boolean")
@pytest.mark.parametrize(("text", "value"), [("true", True), ("1", True), ("false", False), ("0", False)])
def test_booleans(text: str, value: bool) -> None:
    for blanks in ("", " ", "\n\t "):
        for element, field in (
            ("no-ice", "no_ice"),
            ("clients-permitted", "clients_permitted"),
            ("chord:chord-reactive", "reactive"),
        ):
            overlay = parse_overlay(document(f"<{element}>{blanks}{text}{blanks}</{element}>"))
            assert getattr(overlay, field) is value
    for wrong in ("True", "yes", "", "2"):
        assert "no-ice" in refused(document(f"<no-ice>{wrong}</no-ice>"))


@pytest.mark.req("cfg.sequence-attribute")
def test_sequence() -> None:
    for good in (0, 1, 65534):
        assert parse_overlay(document(attributes=f'sequence="{good}"')).sequence == good
    for bad in ("65535", "-1", "70000", "", "1.5", "0x10", "1" * 5000, "\u0661"):
        assert "sequence" in refused(document(attributes=f'sequence="{bad}"'))


@pytest.mark.req("cfg.instance-name")
def test_instance_name_is_a_dns_name() -> None:
    for good in ("a", "overlay.example.org", "3com.example", "x" * 63 + ".example"):
        assert parse_overlay(document(name=good)).instance_name == good
    for bad in ("", "my overlay", "a..b", ".a", "-a.b", "a-.b", "a_b", "x" * 64, "ö.example", "a." * 130 + "a", "a/b"):
        assert "instance-name" in refused(document(name=bad))


@pytest.mark.req("cfg.expiration-format")
def test_expiration_is_rfc_3339_in_utc() -> None:
    for text, ms in (
        ("1970-01-01T00:00:00Z", 0),
        ("2030-02-03T04:05:06Z", 1_896_321_906_000),
        ("2030-02-03T04:05:06.25Z", 1_896_321_906_250),
        ("2030-02-03T04:05:06+00:00", 1_896_321_906_000),
    ):
        assert parse_overlay(document(attributes=f'expiration="{text}"')).expiration_ms == ms
    for bad in ("tomorrow", "2030-02-03", "2030-02-03T04:05:06", "2030-02-03T04:05:06+01:00", "2030-02-31T00:00:00Z"):
        assert "expiration" in refused(document(attributes=f'expiration="{bad}"'))
    assert "is not a time that there is: day" in refused(document(attributes='expiration="2030-02-31T00:00:00Z"'))


@pytest.mark.req("cfg.el.topology-plugin", "topo.algorithm-names")
def test_topology_plugin() -> None:
    assert parse_overlay(document()).topology_plugin == "CHORD-RELOAD"
    assert parse_overlay(document("<topology-plugin> CHORD-RELOAD </topology-plugin>")) == parse_overlay(document())
    for other in ("chord-reload", "CHORD-SELF-TUNING", "EXP-OVERLAY", ""):
        assert "topology-plugin" in refused(document(f"<topology-plugin>{other}</topology-plugin>"))


def test_node_id_length_is_that_of_the_ring() -> None:
    assert parse_overlay(document("<node-id-length>16</node-id-length>")).node_id_length == 16
    for bad in (15, 21, "x"):
        assert "16 to 20" in refused(document(f"<node-id-length>{bad}</node-id-length>"))
    for longer in (17, 20):  # allowed by 11.1, but Resource-IDs of CHORD-RELOAD have 16 bytes (notes 6.1)
        assert "CHORD-RELOAD needs 16" in refused(document(f"<node-id-length>{longer}</node-id-length>"))


@pytest.mark.req("cfg.el.bootstrap-node")
def test_bootstrap_nodes() -> None:
    nodes = '<bootstrap-node address="192.0.2.1"/><bootstrap-node address="2001:DB8:0:0::1" port="7000"/>'
    assert parse_overlay(document(nodes)).bootstrap_nodes == (("192.0.2.1", 6084), ("2001:db8::1", 7000))
    for bad in ('address="node.example"', 'address="fe80::1%eth0"', 'address="192.0.2.1" port="0"', 'port="6084"'):
        assert "bootstrap-node" in refused(document(f"<bootstrap-node {bad}/>"))


@pytest.mark.parametrize(
    ("element", "good", "bad"),
    [
        ("initial-ttl", ("1", "255"), ("0", "256", "-1")),
        ("max-message-size", ("1", str(limits.MAX_MESSAGE_SIZE)), ("0", str(limits.MAX_MESSAGE_SIZE + 1))),
        ("overlay-reliability-timer", ("200", "3000"), ("199", "3.5")),
        ("chord:chord-update-interval", ("1", "600"), ("0", "-600")),
        ("chord:chord-ping-interval", ("1", "600"), ("0", "")),
    ],
)
def test_numbers_have_bounds(element: str, good: tuple[str, ...], bad: tuple[str, ...]) -> None:
    for text in good:
        parse_overlay(document(f"<{element}>{text}</{element}>"))
    for text in bad:
        assert element.split(":")[-1] in refused(document(f"<{element}>{text}</{element}>"))


def test_reliability_timer_is_in_milliseconds() -> None:
    assert (
        parse_overlay(document("<overlay-reliability-timer>250</overlay-reliability-timer>")).reliability_timer == 0.25
    )


@pytest.mark.req("cfg.el.link-protocol")
def test_link_protocols() -> None:
    protocol = "<overlay-link-protocol>{}</overlay-link-protocol>".format
    assert parse_overlay(document(protocol("NEW") + protocol("TLS"))).link_protocols == ("NEW", "TLS")
    for only in ("NEW", "EXP-PROTOCOL"):
        assert "overlay-link-protocol" in refused(document(protocol(only)))


def test_node_ids_of_bad_nodes_and_signers() -> None:
    for element in ("bad-node", "kind-signer", "configuration-signer"):
        parse_overlay(document(f"<{element}> {'aB' * 16} </{element}>" * 2))
        for bad in ("", "ab" * 15, "ab" * 17, "zz" * 16, "0x" + "ab" * 15):
            assert element in refused(document(f"<{element}>{bad}</{element}>"))
    assert parse_overlay(document(f"<bad-node>{'aB' * 16}</bad-node>")).bad_nodes == {b"\xab" * 16}


@pytest.mark.req("cfg.el.mandatory-extension")
def test_an_unknown_mandatory_extension_stops_the_node() -> None:
    assert "'urn:x' is not supported" in refused(document("<mandatory-extension> urn:x </mandatory-extension>"))


def test_what_this_node_cannot_do_is_not_passed_over() -> None:
    assert "shared-secret" in refused(document("<shared-secret>password</shared-secret>"))
    permitted = '<self-signed-permitted digest="{}">{}</self-signed-permitted>'.format
    assert "self-signed" in refused(document(permitted("sha256", "true")))
    assert "digest" in refused(document(permitted("md5", "false")))
    assert parse_overlay(document(permitted("sha1", "false"))) == parse_overlay(document())


def test_enrollment_servers_are_https() -> None:
    server = "<enrollment-server>{}</enrollment-server>".format
    for good in ("https://a.example", " <url>https://a.example</url> "):  # grammar and prose differ (notes 7.4)
        parse_overlay(document(server(good)))
    for bad in ("http://a.example", "<url>http://a.example</url>", ""):
        assert "https" in refused(document(server(bad)))


def test_a_root_cert_is_needed() -> None:
    for text in ("", "<root-cert>YmFkIGNlcnQK</root-cert>"):
        data = re.sub(b"<root-cert>.*</root-cert>", text.encode(), document())
        assert "root-cert" in refused(data)


def bent_roots(rng: random.Random) -> Iterator[bytes]:
    """Of every part of a certificate: the library raises more than ValueError, and some of it only when it is asked."""
    sound = Pki().authority.certificate
    for _ in range(300):
        bent = bytearray(sound)
        bent[rng.randrange(len(bent))] = rng.randrange(256)
        yield bytes(bent)
    yield sound.replace(bytes.fromhex("a003020102"), bytes.fromhex("a003020139"))  # a version that there is not
    yield sound.replace(b"CA of", b"\xffA of")  # the subject is no UTF-8


def test_a_root_cert_that_cannot_be_read_is_left_out(rng: random.Random) -> None:
    """And the others stay good: a node's certificate is accepted, whatever stands beside its root."""
    pki, other = Pki(), Pki(seed=2)
    document = write_overlay(other.overlay).decode()
    begin = document.index("  <root-cert>")
    for root in bent_roots(rng):
        more = f"  <root-cert>{base64.b64encode(root).decode()}</root-cert>\n"
        overlay = parse_overlay((document[:begin] + more + document[begin:]).encode())
        assert len(overlay.root_certs) + len(overlay.warnings) == 2
        Verifier(overlay).link([other.identity(1).certificate.der], WALL_MS)
        with suppress(TrustError):
            Verifier(overlay).link([pki.identity(1).certificate.der], WALL_MS)


# --- Kinds --------------------------------------------------------------------------------------------


@pytest.mark.req("cfg.kind-id-or-name")
def test_a_kind_has_an_id_or_a_name() -> None:
    assert parse_overlay(document(kind_block('id="4026531841"'))).kinds[0].id == 0xF0000001
    assert parse_overlay(document(kind_block('name="CERTIFICATE_BY_USER"'))).kinds[0].id == 16
    for attributes in ("", 'id="16" name="CERTIFICATE_BY_USER"'):
        assert "either a name or an id" in refused(document(kind_block(attributes)))
    for attributes in ('id="0"', 'id="4294967294"', 'id="x"'):
        assert "id" in refused(document(kind_block(attributes)))
    assert "'WEATHER' is not a Kind" in refused(document(kind_block('name="WEATHER"')))
    twice = kind_block().replace("</required-kinds>", "") + kind_block().replace("<required-kinds>", "")
    assert "twice" in refused(document(twice))


@pytest.mark.req("cfg.kind-elements")
@pytest.mark.parametrize("missing", ["data_model", "access_control", "max_count", "max_size"])
def test_a_kind_is_complete(missing: str) -> None:
    assert missing.replace("_", "-") in refused(document(kind_block(**{missing: None})))


@pytest.mark.req("cfg.required-kinds")
def test_a_kind_beyond_this_node_stops_it() -> None:
    assert "access-control" in refused(document(kind_block(access_control="USER-CHAIN-ACL")))


@pytest.mark.req("codec.data-models")
def test_names_of_data_models() -> None:
    for name, model in (("SINGLE", DataModel.SINGLE), ("ARRAY", DataModel.ARRAY), ("DICTIONARY", DataModel.DICTIONARY)):
        assert parse_overlay(document(kind_block(data_model=name))).kinds[0].model is model
    for unknown in ("TREE", "EXP-DATA", "single", ""):  # exp-data is for experiments only (14.7)
        assert "data-model" in refused(document(kind_block(data_model=unknown)))


@pytest.mark.req("cfg.max-node-multiple")
def test_node_multiple_needs_its_maximum() -> None:
    multiple = parse_overlay(document(kind_block(access_control="NODE-MULTIPLE", max_node_multiple="3"))).kinds[0]
    assert multiple.max_node_multiple == 3
    for bad in (None, "0", "-1", "256"):
        data = document(kind_block(access_control="NODE-MULTIPLE", max_node_multiple=bad))
        assert "max-node-multiple" in refused(data)


@pytest.mark.req("cfg.registered-kind-wins")
def test_what_iana_registered_wins() -> None:
    registered = {
        'name="TURN-SERVICE"': (2, DataModel.SINGLE, "NODE-MULTIPLE"),
        'name="CERTIFICATE_BY_NODE"': (3, DataModel.ARRAY, "NODE-MATCH"),
        'name="CERTIFICATE_BY_USER"': (16, DataModel.ARRAY, "USER-MATCH"),
        'id="2"': (2, DataModel.SINGLE, "NODE-MULTIPLE"),
        'name="XMPP-LOCATION"': (5, DataModel.DICTIONARY, "USER-NODE-MATCH"),
        'id="5"': (5, DataModel.ARRAY, "USER-MATCH"),  # IANA has none of this id: the document says what it is
    }
    for attributes, expected in registered.items():
        data = document(kind_block(attributes, data_model="ARRAY", max_node_multiple="4"))
        kind = parse_overlay(data).kinds[0]
        assert (kind.id, kind.model, kind.access_control) == expected
        assert (kind.max_count, kind.max_size) == (1, 100)


# --- writing ------------------------------------------------------------------------------------------


def full_overlay() -> Overlay:
    return Pki(
        overlay_name="private.example",
        sequence=65534,
        expiration_ms=1_896_321_906_250,
        bootstrap_nodes=(("127.0.0.1", 6084), ("2001:db8::1", 7000)),
        clients_permitted=False,
        update_interval=5.0,
        ping_interval=7.0,
        reactive=False,
        initial_ttl=30,
        reliability_timer=0.25,
        bad_nodes=frozenset({bytes(range(16)), b"\xab" * 16}),
        kinds=(XMPP_LOCATION, KindDefinition(0xF0000001, "", DataModel.ARRAY, "NODE-MULTIPLE", 22, 4, 3)),
    ).overlay


@pytest.mark.req("cfg.encoding-declaration")
def test_what_is_written_is_valid_and_is_read_back() -> None:
    for overlay in (Pki().overlay, full_overlay()):
        data = write_overlay(overlay)
        assert data.startswith(b'<?xml version="1.0" encoding="UTF-8"?>\n')
        tree = etree.fromstring(data)
        assert GRAMMAR.validate(tree), GRAMMAR.error_log
        assert parse_overlay(data) == overlay
    space = {"b": "urn:ietf:params:xml:ns:p2p:config-base", "c": "urn:ietf:params:xml:ns:p2p:config-chord"}
    (configuration,) = tree.findall("b:configuration", space)
    assert dict(configuration.attrib) == {
        "instance-name": "private.example",
        "sequence": "65534",
        "expiration": "2030-02-03T04:05:06.250Z",
    }
    assert configuration.findtext("c:chord-update-interval", namespaces=space) == "5"
    assert configuration.findtext("b:overlay-reliability-timer", namespaces=space) == "250"
    kinds = [dict(kind.attrib) for kind in configuration.iter(f"{{{space['b']}}}kind")]
    assert kinds == [{"name": "XMPP-LOCATION"}, {"id": "4026531841"}]


def test_a_configuration_can_be_read_alone() -> None:
    """Its bytes are what will be signed, so no namespace may be declared outside them (notes 7.2)."""
    data = write_overlay(full_overlay())
    alone = data[data.index(b"<configuration") : data.index(b"</configuration>") + len(b"</configuration>")]
    wrapped = b'<o:overlay xmlns:o="urn:ietf:params:xml:ns:p2p:config-base">' + alone + b"</o:overlay>"
    assert parse_overlay(wrapped) == full_overlay()


@pytest.mark.parametrize(
    "change",
    [
        {"instance_name": 'a" b'},
        {"sequence": 65535},
        {"root_certs": ()},
        {"bootstrap_nodes": (("localhost", 6084),)},
        {"reliability_timer": 0.1},
        {"reliability_timer": 0.2505},
        {"update_interval": 1.5},
        {"bad_nodes": frozenset({b"short"})},
        {"link_protocols": ("<",)},
        {"kinds": (KindDefinition(0xF0000001, "", DataModel.ARRAY, "NODE-MULTIPLE", 22, 4),)},
    ],
)
def test_an_overlay_that_breaks_the_rules_is_not_written(change: dict[str, object]) -> None:
    with pytest.raises(ConfigError):
        write_overlay(msgspec.structs.replace(full_overlay(), **change))


@pytest.mark.part("fuzz")
def test_a_broken_document_gives_a_config_error_and_nothing_else(rng: random.Random) -> None:
    good = (usable(EXAMPLE), write_overlay(full_overlay()))
    for _ in range(300):
        data = bytearray(rng.choice(good))
        for _ in range(rng.choice((1, 2, 5))):
            at = rng.randrange(len(data))
            data[at : at + rng.choice((0, 1, 1, 30))] = rng.choice(
                (b"<", b">", b'"', b"\0", b"\xc3", b"9", b"&", b"x:")
            )
        try:
            overlay = parse_overlay(bytes(data), rng.choice((NAME, None)))
        except ConfigError as e:
            overlay, message = None, str(e)
        assert overlay is not None or "\n" not in message, data
