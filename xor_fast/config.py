"""The Configuration Document of an overlay: XML bytes <-> `Overlay` (RFC 6940 11.1).

One expat pass with a DTD refused builds a small tree; this module then checks it by the RELAX NG grammar of 11.1.1 and
by the prose, which is stricter. Every mistake is a `ConfigError` of one line that names the element.
Elements this node has no use for yet (enrollment-server, turn-density, signers) are known but not kept.
"""

import base64
import binascii
import ipaddress
import math
import re
import xml.etree.ElementTree as ET
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from typing import TypeVar
from xml.parsers import expat
from xml.sax.saxutils import escape, quoteattr

import msgspec
from cryptography import x509

from xor_fast import limits
from xor_fast.actions import Address
from xor_fast.cext import ids
from xor_fast.errors import ConfigError
from xor_fast.messages import DataModel

BASE = "urn:ietf:params:xml:ns:p2p:config-base"
CHORD = "urn:ietf:params:xml:ns:p2p:config-chord"
CHORD_RELOAD = "CHORD-RELOAD"
DEFAULT_PORT = 6084
ACCESS_CONTROLS = ("USER-MATCH", "NODE-MATCH", "USER-NODE-MATCH", "NODE-MULTIPLE")  # RFC 6940 7.3
MAX_SEQUENCE = 65534  # 65535 means "whatever sequence" in a header (RFC 6940 6.3.2.1)


class KindDefinition(msgspec.Struct, frozen=True):
    """A Kind as the overlay defines it (RFC 6940 11.1).

    id                 32-bit Kind-ID
    name               registered name, or "" when only the id is known
    access_control     one of ACCESS_CONTROLS
    max_count          values (entries) at one resource
    max_size           bytes of one value
    max_node_multiple  largest i of NODE-MULTIPLE, 1 to 255 (notes 5.15); 0 for the other policies
    is_findable        may Find tell where values of this Kind are (RFC 6940 7.4.4.2)? A usage says so: the document has
                       no element for it
    """

    id: int
    name: str
    model: DataModel
    access_control: str
    max_count: int
    max_size: int
    max_node_multiple: int = 0
    is_findable: bool = True


class Overlay(msgspec.Struct, frozen=True, kw_only=True):
    """What the Configuration Document says; the defaults are those of RFC 6940 11.1.

    instance_name      the overlay name as written
    sequence           0 to 65534
    expiration_ms      milliseconds since 1970, or None
    root_certs         DER
    update_interval    seconds between periodic Updates (chord-update-interval)
    ping_interval      seconds between Pings that look for better fingers (chord-ping-interval)
    reactive           answer changes at once with Updates (chord-reactive)
    max_message_size   bytes
    reliability_timer  seconds between end-to-end retransmissions
    bad_nodes          Node-IDs whose certificates are not valid
    warnings           what was odd about the document, one line each
    """

    instance_name: str
    sequence: int = 0
    expiration_ms: int | None = None
    topology_plugin: str = CHORD_RELOAD
    node_id_length: int = 16
    root_certs: tuple[bytes, ...] = ()
    bootstrap_nodes: tuple[Address, ...] = ()
    clients_permitted: bool = True
    no_ice: bool = False
    update_interval: float = 600.0
    ping_interval: float = 3600.0
    reactive: bool = True
    max_message_size: int = limits.MAX_MESSAGE_SIZE_DEFAULT
    initial_ttl: int = limits.INITIAL_TTL_DEFAULT
    reliability_timer: float = 3.0
    link_protocols: tuple[str, ...] = ("TLS",)
    bad_nodes: frozenset[bytes] = frozenset()
    kinds: tuple[KindDefinition, ...] = ()
    warnings: tuple[str, ...] = ()

    @property
    def overlay_hash(self) -> int:
        """The overlay field of every message: SHA-1 over the name as written (6.3.2; notes 3.6)."""
        return ids.overlay_hash(self.instance_name.encode())


def advised_ttl(nodes: int) -> int:
    """An initial-ttl for an overlay that may grow to so many nodes: a little above the longest way through its ring,
    which is log2 of their number and 5 (13.6.5). With a larger one a message that goes astray does more harm."""
    return min(math.ceil(math.log2(max(nodes, 1))) + 5 + limits.TTL_MARGIN, limits.INITIAL_TTL_DEFAULT)


IANA_KINDS = {
    # What IANA registered wins over the document (11.1): RFC 7904, RFC 6940 8 and 9.
    "SIP-REGISTRATION": (0x1, DataModel.DICTIONARY, "USER-NODE-MATCH"),
    "TURN-SERVICE": (0x2, DataModel.SINGLE, "NODE-MULTIPLE"),
    "CERTIFICATE_BY_NODE": (0x3, DataModel.ARRAY, "NODE-MATCH"),
    "CERTIFICATE_BY_USER": (0x10, DataModel.ARRAY, "USER-MATCH"),
}
# XEP-0415 gives the name but IANA lists no id for it, so an id 5 alone is not taken for XMPP-LOCATION (notes 8.1).
NAMED_KINDS = IANA_KINDS | {"XMPP-LOCATION": (0x5, DataModel.DICTIONARY, "USER-NODE-MATCH")}

# Elements of a configuration: how many (None: any number). Attributes without namespace stand in _ATTRIBUTES.
_PARAMETERS: dict[str, int | None] = {
    "topology-plugin": 1,
    "node-id-length": 1,
    "root-cert": None,
    "enrollment-server": None,
    "self-signed-permitted": 1,
    "bootstrap-node": None,
    "turn-density": 1,
    "clients-permitted": 1,
    "no-ice": 1,
    "shared-secret": 1,
    "max-message-size": 1,
    "initial-ttl": 1,
    "overlay-reliability-timer": 1,
    "overlay-link-protocol": None,
    "kind-signer": None,
    "configuration-signer": None,
    "bad-node": None,
    "mandatory-extension": None,
    "required-kinds": 1,
}
_CHORD_PARAMETERS: dict[str, int | None] = {"chord-ping-interval": 1, "chord-update-interval": 1, "chord-reactive": 1}
_KIND_PARAMETERS: dict[str, int | None] = {
    "data-model": 1,
    "access-control": 1,
    "max-count": 1,
    "max-size": 1,
    "max-node-multiple": 1,
}
_ATTRIBUTES = {
    "configuration": {"instance-name", "expiration", "sequence"},
    "self-signed-permitted": {"digest"},
    "bootstrap-node": {"address", "port"},
    "kind": {"id", "name"},
    "signature": {"algorithm"},
    "kind-signature": {"algorithm"},
}

T = TypeVar("T")


# --- XML ----------------------------------------------------------------------------------------------


def _parse_xml(data: bytes) -> ET.Element:
    """Bytes to a tree, tags written "namespace}name"; nothing but plain UTF-8 elements and text gets through."""
    if len(data) > limits.MAX_CONFIG_SIZE:
        raise ConfigError(f"configuration document: {len(data)} bytes, at most {limits.MAX_CONFIG_SIZE} are read")
    try:
        data.decode("utf-8")
    except UnicodeDecodeError as e:
        raise ConfigError(f"configuration document: not UTF-8 at byte {e.start} (RFC 6940 11.1)") from None
    builder = ET.TreeBuilder()
    parser = expat.ParserCreate("utf-8", "}")
    depth = 0

    def declaration(_version: str, encoding: str | None, _standalone: int) -> None:
        if encoding is not None and encoding.lower() != "utf-8":
            raise ConfigError(f"configuration document: encoding {encoding!r}, only UTF-8 is allowed (RFC 6940 11.1)")

    def doctype(*_: object) -> None:
        # Entities could blow up memory or read files; the format has no use for a DTD.
        raise ConfigError("configuration document: a document type declaration (DTD) is not allowed")

    def start(name: str, attributes: dict[str, str]) -> None:
        nonlocal depth
        depth += 1
        if depth > limits.MAX_CONFIG_DEPTH:
            raise ConfigError(f"configuration document: elements nested deeper than {limits.MAX_CONFIG_DEPTH}")
        builder.start(name, attributes)

    def end(name: str) -> None:
        nonlocal depth
        depth -= 1
        builder.end(name)

    parser.XmlDeclHandler = declaration
    parser.StartDoctypeDeclHandler = doctype
    parser.StartElementHandler = start
    parser.EndElementHandler = end
    parser.CharacterDataHandler = builder.data
    try:
        parser.Parse(data, True)
    except expat.ExpatError as e:
        raise ConfigError(f"configuration document: not well-formed XML: {e}") from None
    return builder.close()


def _split(name: str) -> tuple[str, str]:
    namespace, _, local = name.rpartition("}")
    return namespace, local


def _children(parent: ET.Element, base: dict[str, int | None], chord: dict[str, int | None]) -> Iterator[ET.Element]:
    """The children in our two namespaces, checked by number and attributes; foreign ones are passed over (11.1.1)."""
    seen: dict[str, int] = {}
    for child in parent:
        namespace, name = _split(child.tag)
        if namespace not in (BASE, CHORD, ""):
            continue
        allowed = {BASE: base, CHORD: chord, "": {}}[namespace]
        if name not in allowed:
            raise ConfigError(f"<{_split(parent.tag)[1]}>: unknown element <{name}> of namespace {namespace!r}")
        seen[name] = seen.get(name, 0) + 1
        most = allowed[name]
        if most is not None and seen[name] > most:
            raise ConfigError(f"<{name}>: may stand only once in <{_split(parent.tag)[1]}>")
        _check_attributes(child)
        yield child


def _check_attributes(element: ET.Element) -> None:
    name = _split(element.tag)[1]
    for attribute in element.keys():  # noqa: SIM118 (an Element iterates over its children)
        if "}" not in attribute and attribute not in _ATTRIBUTES.get(name, ()):
            raise ConfigError(f"<{name}>: unknown attribute {attribute!r}")


def _text(element: ET.Element) -> str:
    """The text, trimmed: values in the RFC's own example stand between blanks and line breaks."""
    if len(element):
        raise ConfigError(f"<{_split(element.tag)[1]}>: must hold text only")
    return (element.text or "").strip()


# --- values: each raises ValueError with what it wanted -----------------------------------------------


def _read(element: ET.Element, convert: Callable[[str], T]) -> T:
    return _convert(f"<{_split(element.tag)[1]}>", _text(element), convert)


def _convert(what: str, text: str, convert: Callable[[str], T]) -> T:
    try:
        return convert(text)
    except ValueError as e:
        shown = text if len(text) <= 60 else text[:57] + "..."
        raise ConfigError(f"{what}: {shown!r} is not {e}") from None


def _integer(low: int, high: int) -> Callable[[str], int]:
    def convert(text: str) -> int:
        if not re.fullmatch(r"[+-]?[0-9]{1,20}", text, re.ASCII) or not low <= int(text) <= high:
            raise ValueError(f"a number from {low} to {high}")
        return int(text)

    return convert


def _boolean(text: str) -> bool:
    if text not in ("true", "1", "false", "0"):
        raise ValueError("true, 1, false or 0")
    return text in ("true", "1")


def _one_of(*values: str) -> Callable[[str], str]:
    def convert(text: str) -> str:
        if text not in values:
            raise ValueError(f"one of {', '.join(values)} (a node of this version supports no other)")
        return text

    return convert


def _dns_name(text: str) -> str:
    label = r"(?!-)[A-Za-z0-9-]{1,63}(?<!-)"
    if len(text) > 253 or not re.fullmatch(rf"{label}(\.{label})*", text, re.ASCII):
        raise ValueError("a DNS name like overlay.example.org")
    return text


def _utc_ms(text: str) -> int:
    if not re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{1,6})?(Z|\+00:00)", text, re.ASCII):
        raise ValueError("a time in UTC like 2030-01-31T12:00:00Z (RFC 3339)")
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as e:
        raise ValueError(f"a time that there is: {e}") from None
    return (moment - datetime.fromtimestamp(0, UTC)) // timedelta(milliseconds=1)


def _base64(text: str) -> bytes:
    try:
        return base64.b64decode("".join(text.split()), validate=True)
    except (binascii.Error, ValueError) as e:
        raise ValueError(f"base64 (RFC 4648): {e}") from None


def _ip_address(text: str) -> str:
    try:
        address = ipaddress.ip_address(text)
    except ValueError:
        raise ValueError("an IPv4 or IPv6 address") from None
    if "%" in text:  # a zone means something on one machine only
        raise ValueError("an address without a zone")
    return str(address)


def _https(text: str) -> str:
    if not text.startswith("https://"):
        raise ValueError("an https URL")
    return text


def _node_id(length: int) -> Callable[[str], bytes]:
    def convert(text: str) -> bytes:
        if not re.fullmatch(rf"[0-9A-Fa-f]{{{2 * length}}}", text, re.ASCII):
            raise ValueError(f"a Node-ID of {2 * length} hexadecimal digits")
        return bytes.fromhex(text)

    return convert


# --- document -> Overlay ------------------------------------------------------------------------------


def parse_overlay(data: bytes, instance_name: str | None = None) -> Overlay:
    """Read a Configuration Document (RFC 6940 11.1).

    instance_name  which overlay is meant; needed when the document describes several. Case does not matter.

    Raises ConfigError. Signatures of the document are not checked here: the first document is trusted by the way
    it came (notes 7.3). That `expiration` has passed is no error either: a running node goes on (notes 7.14).
    """
    root = _parse_xml(data)
    if root.tag != f"{BASE}}}overlay":
        raise ConfigError(f"configuration document: root is not <overlay> of namespace {BASE!r}")
    configurations = {}
    for element in _children(root, {"configuration": None, "signature": None}, {}):
        if _split(element.tag)[1] == "configuration":
            name = checked_name(element.get("instance-name", "").strip())
            if name in configurations:
                raise ConfigError(f"configuration document: describes overlay {name!r} twice")
            configurations[name] = element
    return _configuration(*_choose(configurations, instance_name))


def checked_name(text: str) -> str:
    """The name of an overlay. Raises ConfigError when it cannot be one."""
    return _convert("instance-name", text, _dns_name)


def _choose(configurations: dict[str, ET.Element], wanted: str | None) -> tuple[str, ET.Element]:
    names = [n for n in configurations if wanted is None or n.lower() == wanted.strip().lower()]
    if len(names) == 1:
        return names[0], configurations[names[0]]
    listed = ", ".join(configurations) or "none"
    if wanted is not None:
        raise ConfigError(f"configuration document: no overlay {wanted!r} in it; it describes: {listed}")
    raise ConfigError(f"configuration document: describes several overlays or none; name one of: {listed}")


def _configuration(name: str, configuration: ET.Element) -> Overlay:
    one: dict[str, ET.Element] = {}
    many: dict[str, list[ET.Element]] = {}
    for element in _children(configuration, _PARAMETERS, _CHORD_PARAMETERS):
        local = _split(element.tag)[1]
        one[local] = element
        many.setdefault(local, []).append(element)
    _refuse_unsupported(one, many)

    def get(element: str, convert: Callable[[str], T], default: T) -> T:
        return _read(one[element], convert) if element in one else default

    length = get("node-id-length", _integer(16, 20), 16)
    plugin = get("topology-plugin", _one_of(CHORD_RELOAD), CHORD_RELOAD)
    if length != 16:
        # Resource-IDs of CHORD-RELOAD have 128 bits (10.2), so longer Node-IDs are not on the same ring (notes 6.1).
        raise ConfigError(f"<node-id-length>: {length}, but {plugin} needs 16 (RFC 6940 10.2)")
    roots, warnings = _root_certs(many.get("root-cert", []))
    for signer in many.get("kind-signer", []) + many.get("configuration-signer", []):
        _read(signer, _node_id(length))
    return Overlay(
        instance_name=name,
        sequence=_convert("sequence", configuration.get("sequence", "0").strip(), _integer(0, MAX_SEQUENCE)),
        expiration_ms=_expiration(configuration.get("expiration")),
        topology_plugin=plugin,
        node_id_length=length,
        root_certs=roots,
        bootstrap_nodes=tuple(_bootstrap_node(e) for e in many.get("bootstrap-node", [])),
        clients_permitted=get("clients-permitted", _boolean, True),
        no_ice=get("no-ice", _boolean, False),
        update_interval=float(get("chord-update-interval", _integer(1, 2**31 - 1), 600)),
        ping_interval=float(get("chord-ping-interval", _integer(1, 2**31 - 1), 3600)),
        reactive=get("chord-reactive", _boolean, True),
        max_message_size=get("max-message-size", _integer(1, limits.MAX_MESSAGE_SIZE), limits.MAX_MESSAGE_SIZE_DEFAULT),
        initial_ttl=get("initial-ttl", _integer(1, 255), limits.INITIAL_TTL_DEFAULT),
        reliability_timer=get("overlay-reliability-timer", _integer(200, 2**31 - 1), 3000) / 1000,
        link_protocols=_link_protocols(many.get("overlay-link-protocol", [])),
        bad_nodes=frozenset(_read(e, _node_id(length)) for e in many.get("bad-node", [])),
        kinds=_kinds(one.get("required-kinds")),
        warnings=warnings,
    )


def _refuse_unsupported(one: dict[str, ET.Element], many: dict[str, list[ET.Element]]) -> None:
    """What would make the overlay another one than we can take part in must not be passed over (11.1)."""
    for element in many.get("mandatory-extension", []):
        raise ConfigError(f"<mandatory-extension>: {_text(element)!r} is not supported here, so the node cannot join")
    if "shared-secret" in one:
        raise ConfigError("<shared-secret>: overlays with a shared secret (TLS-PSK) are not supported")
    if "self-signed-permitted" in one:
        element = one["self-signed-permitted"]
        _convert("digest", element.get("digest", ""), _one_of("sha1", "sha256"))
        if _read(element, _boolean):
            raise ConfigError("<self-signed-permitted>: overlays of self-signed certificates are not supported")
    for element in many.get("enrollment-server", []):
        urls = list(_children(element, {"url": None}, {})) or [element]  # grammar and prose differ (notes 7.4)
        for url in urls:
            _read(url, _https)
    if "turn-density" in one:
        _read(one["turn-density"], _integer(0, 255))


def _expiration(text: str | None) -> int | None:
    return None if text is None else _convert("expiration", text.strip(), _utc_ms)


def check_certificate(der: bytes) -> None:
    """Can a certificate be read in all its parts? Raises ValueError."""
    try:
        loaded = x509.load_der_x509_certificate(der)
        # The library reads these when they are first asked for; asked here, they cannot fail anywhere else.
        _ = (loaded.issuer, loaded.subject, loaded.not_valid_before_utc, loaded.not_valid_after_utc)
        _ = (loaded.extensions, loaded.public_key())
    except Exception as e:  # what the library raises over foreign bytes is an open set; ValueError is not all of it
        raise ValueError(str(e) or type(e).__name__) from None


def _root_certs(elements: list[ET.Element]) -> tuple[tuple[bytes, ...], tuple[str, ...]]:
    """The trust anchors, and a warning for each that is no certificate: the others stay good (the RFC's example)."""
    roots, warnings = [], []
    for number, element in enumerate(elements, 1):
        der = _read(element, _base64)
        try:
            check_certificate(der)
        except ValueError:
            warnings.append(f"root-cert {number} of {len(elements)} is not an X.509 certificate and is left out")
        else:
            roots.append(der)
    if not roots:
        raise ConfigError("<root-cert>: the document has no usable one, so no certificate could be trusted")
    return tuple(roots), tuple(warnings)


def _bootstrap_node(element: ET.Element) -> Address:
    address = _convert("<bootstrap-node> address", element.get("address", "").strip(), _ip_address)
    port = element.get("port", str(DEFAULT_PORT)).strip()
    return address, _convert("<bootstrap-node> port", port, _integer(1, 65535))


def _link_protocols(elements: list[ET.Element]) -> tuple[str, ...]:
    protocols = tuple(_text(e) for e in elements) or ("TLS",)
    if "TLS" not in protocols:
        raise ConfigError(f"<overlay-link-protocol>: only {', '.join(protocols)}, and this node speaks TLS")
    return protocols


def _kinds(required: ET.Element | None) -> tuple[KindDefinition, ...]:
    kinds: dict[int, KindDefinition] = {}
    for block in () if required is None else _children(required, {"kind-block": None}, {}):
        found = [e for e in _children(block, {"kind": 1, "kind-signature": 1}, {}) if _split(e.tag)[1] == "kind"]
        if not found:
            raise ConfigError("<kind-block>: has no <kind>")
        kind = _kind(found[0])
        if kind.id in kinds:
            raise ConfigError(f"<kind>: Kind {kind.id} is defined twice")
        kinds[kind.id] = kind
    return tuple(kinds.values())


def _kind(element: ET.Element) -> KindDefinition:
    name, number = element.get("name"), element.get("id")
    if (name is None) == (number is None):
        raise ConfigError("<kind>: needs either a name or an id (RFC 6940 11.1)")
    if name is not None and name not in NAMED_KINDS:
        raise ConfigError(f"<kind>: {name!r} is not a Kind this node knows; known are {', '.join(NAMED_KINDS)}")
    given = {_split(e.tag)[1]: e for e in _children(element, _KIND_PARAMETERS, {})}
    label = f"Kind {name or number}"
    for wanted in ("data-model", "access-control", "max-count", "max-size"):
        if wanted not in given:
            raise ConfigError(f"<kind>: {label} has no <{wanted}> (RFC 6940 11.1)")
    model = DataModel[_read(given["data-model"], _one_of("SINGLE", "ARRAY", "DICTIONARY"))]
    policy = _read(given["access-control"], _one_of(*ACCESS_CONTROLS))
    kind_id = NAMED_KINDS[name][0] if name else _convert("<kind> id", number or "", _integer(1, 0xFFFFFFFD))
    if name is None:
        name = next((n for n, known in NAMED_KINDS.items() if known[0] == kind_id), "")
    if name in IANA_KINDS or element.get("name") is not None:
        _, model, policy = NAMED_KINDS[name]
    multiple = _read(given["max-node-multiple"], _integer(1, 255)) if "max-node-multiple" in given else 0
    if policy == "NODE-MULTIPLE" and not multiple:
        raise ConfigError(f"<kind>: {label} with NODE-MULTIPLE needs <max-node-multiple> (RFC 6940 11.1)")
    return KindDefinition(
        id=kind_id,
        name=name,
        model=model,
        access_control=policy,
        max_count=_read(given["max-count"], _integer(1, 2**31 - 1)),
        max_size=_read(given["max-size"], _integer(1, 2**31 - 1)),
        max_node_multiple=multiple if policy == "NODE-MULTIPLE" else 0,
    )


# --- Overlay -> document ------------------------------------------------------------------------------


def write_overlay(overlay: Overlay) -> bytes:
    """A Configuration Document that `parse_overlay` reads back as `overlay` (without its warnings).

    The namespaces are declared on <configuration> itself, so that its bytes can be signed and read alone (notes 7.2).
    Raises ConfigError when the Overlay breaks a rule of RFC 6940 11.1.
    """
    attributes = f"instance-name={quoteattr(overlay.instance_name)} sequence={quoteattr(str(overlay.sequence))}"
    if overlay.expiration_ms is not None:
        attributes += f" expiration={quoteattr(_format_utc(overlay.expiration_ms))}"
    lines = [
        '<?xml version="1.0" encoding="UTF-8"?>',
        f'<overlay xmlns="{BASE}">',
        f'<configuration xmlns="{BASE}" xmlns:chord="{CHORD}" {attributes}>',
        *_parameters(overlay),
        "</configuration>",
        "</overlay>",
        "",
    ]
    data = "\n".join(lines).encode()
    if parse_overlay(data) != msgspec.structs.replace(overlay, warnings=()):
        raise ConfigError("overlay: has values that a configuration document cannot hold (finer than its units)")
    return data


def _format_utc(ms: int) -> str:
    moment = datetime.fromtimestamp(0, UTC) + timedelta(milliseconds=ms)
    return moment.isoformat(timespec="milliseconds").replace("+00:00", "Z")


def _parameters(overlay: Overlay) -> Iterator[str]:
    def element(name: str, value: object) -> str:
        text = ("false", "true")[value] if isinstance(value, bool) else escape(str(value))
        return f"  <{name}>{text}</{name}>"

    yield element("topology-plugin", overlay.topology_plugin)
    yield element("node-id-length", overlay.node_id_length)
    for der in overlay.root_certs:
        yield "  <root-cert>\n" + base64.encodebytes(der).decode() + "  </root-cert>"
    for address, port in overlay.bootstrap_nodes:
        yield f'  <bootstrap-node address={quoteattr(address)} port="{port}"/>'
    yield element("clients-permitted", overlay.clients_permitted)
    yield element("no-ice", overlay.no_ice)
    yield element("chord:chord-update-interval", int(overlay.update_interval))
    yield element("chord:chord-ping-interval", int(overlay.ping_interval))
    yield element("chord:chord-reactive", overlay.reactive)
    yield element("max-message-size", overlay.max_message_size)
    yield element("initial-ttl", overlay.initial_ttl)
    yield element("overlay-reliability-timer", round(overlay.reliability_timer * 1000))
    for protocol in overlay.link_protocols:
        yield element("overlay-link-protocol", protocol)
    for node_id in sorted(overlay.bad_nodes):
        yield element("bad-node", node_id.hex())
    if overlay.kinds:
        yield "  <required-kinds>"
        for kind in overlay.kinds:
            yield from _kind_block(kind)
        yield "  </required-kinds>"


def _kind_block(kind: KindDefinition) -> Iterator[str]:
    """By name where the registered name stands for this id (11.1: an id is for private Kinds)."""
    named = kind.name in NAMED_KINDS and NAMED_KINDS[kind.name][0] == kind.id
    yield "    <kind-block>"
    yield f"      <kind name={quoteattr(kind.name)}>" if named else f'      <kind id="{kind.id}">'
    yield f"        <data-model>{kind.model.name}</data-model>"
    yield f"        <access-control>{escape(kind.access_control)}</access-control>"
    if kind.max_node_multiple:
        yield f"        <max-node-multiple>{kind.max_node_multiple}</max-node-multiple>"
    yield f"        <max-count>{kind.max_count}</max-count>"
    yield f"        <max-size>{kind.max_size}</max-size>"
    yield "      </kind>"
    yield "    </kind-block>"
