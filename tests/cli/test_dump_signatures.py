"""What `xor-fast dump` says of signatures, judged by the published vectors, which openssl has judged."""

import hashlib
import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from tests.trust.openssl import CA_EXTENSIONS, Files
from tests.vectors.notation import cases, load, unhex
from xor_fast.cext import codec, ids
from xor_fast.cli.app import app
from xor_fast.config import Overlay, write_overlay
from xor_fast.messages import (
    UNSIGNED,
    Body,
    Code,
    DataModel,
    Destination,
    FetchAns,
    FetchReq,
    ForwardingHeader,
    GenericCertificate,
    HashAlgorithm,
    PingReq,
    SecurityBlock,
    Signature,
    SignatureAlgorithm,
    SignerIdentity,
    SignerIdentityType,
    StoredDataSpecifier,
)

IDENTITIES = {identity["name"]: identity for identity in load("identities.json")}
MESSAGES = {vector["message_code"]: vector for vector in load("messages.json")}
PING_ANS = 24


def dumped(data: bytes, *options: str, code: int = 0) -> list[dict[str, Any]]:
    done = CliRunner().invoke(app, ["dump", "--json", *options], input=data)
    assert done.exit_code == code, done.output
    return [json.loads(line) for line in done.stdout.splitlines()]


def checks(tree: Any) -> list[dict[str, Any]]:
    """All of a tree, in the order of the bytes: of values first, of the message last."""
    found = [tree["check"]] if "check" in tree else []
    for child in [*tree.get("fields", {}).values(), *tree.get("items", [])]:
        found += checks(child)
    return found


def the_check(data: bytes, *options: str, code: int = 0) -> dict[str, Any]:
    (event,) = dumped(data, *options, code=code)
    return checks(event["tree"])[-1]


def document(folder: Path, *roots: str) -> str:
    """An overlay that trusts these identities."""
    path = folder / "overlay.xml"
    certificates = tuple(bytes.fromhex(IDENTITIES[name]["certificate"]) for name in roots)
    path.write_bytes(write_overlay(Overlay(instance_name="overlay.example", root_certs=certificates)))
    return str(path)


def message_of(signer: str) -> tuple[dict[str, Any], bytes]:
    vector = next(vector for vector in MESSAGES.values() if vector["signer"] == signer)
    return vector, unhex(vector["hex"])


@pytest.mark.parametrize("vector", cases("messages.json"))
def test_who_signed_a_message(vector: dict[str, Any], tmp_path: Path) -> None:
    data = unhex(vector["hex"])
    who = {"node_id": vector["node_id"], "user": IDENTITIES[vector["signer"]]["user_name"]}
    assert the_check(data) == {"status": "valid", "reason": "", "trusted": None} | who
    assert the_check(data, "--config", document(tmp_path, "ca")) == {
        "status": "valid", "reason": "", "trusted": True,
    } | who  # fmt: skip


def test_any_byte_that_is_signed_matters() -> None:
    vector = MESSAGES[PING_ANS]
    data = unhex(vector["hex"])
    body = data.index(unhex(vector["body"]))
    for at, is_signed in [(4, True), (11, False), (27, True), (body, True), (body + 15, True)]:
        wrong = bytearray(data)
        wrong[at] ^= 1
        assert the_check(bytes(wrong), code=is_signed)["status"] == ("invalid" if is_signed else "valid"), at


def test_a_message_whose_via_list_grew_is_still_signed() -> None:
    _, data = message_of("one_node")
    longer = bytearray(data[:38] + bytes.fromhex("0110") + b"\x77" * 16 + data[38:])
    via = int.from_bytes(data[32:34], "big") + 18
    longer[32:34] = via.to_bytes(2, "big")
    longer[16:20] = len(longer).to_bytes(4, "big")
    assert the_check(bytes(longer))["status"] == "valid"


def test_another_ca_is_not_trusted(tmp_path: Path) -> None:
    _, data = message_of("one_node")
    check = the_check(data, "--config", document(tmp_path, "self_signed_rsa"), code=1)
    assert (check["status"], check["trusted"]) == ("not trusted", False)
    assert "another CA" in check["reason"]


def test_a_certificate_that_is_not_there_and_one_that_is_given(tmp_path: Path) -> None:
    vector, data = message_of("one_node")
    certificate = bytes.fromhex(IDENTITIES["one_node"]["certificate"])
    bucket = (3 + len(certificate)).to_bytes(2, "big") + b"\0" + len(certificate).to_bytes(2, "big") + certificate
    assert data.count(bucket) == 1
    bare = bytearray(data.replace(bucket, b"\0\0"))
    bare[16:20] = len(bare).to_bytes(4, "big")
    check = the_check(bytes(bare))
    assert check["status"] == "certificate missing"
    given = tmp_path / "one.der"
    given.write_bytes(certificate)
    assert the_check(bytes(bare), "--certificate", str(given))["status"] == "valid"
    whole_then_bare = [checks(event["tree"])[-1]["status"] for event in dumped(data + bytes(bare))]
    assert whole_then_bare == ["valid", "valid"], "a certificate that came before is known"
    assert vector["node_id"] in str(the_check(bytes(bare), "--certificate", str(given)))


# --- certificates of strangers ------------------------------------------------------------------------

NODE = f"URI:reload://0110{'a1' * 16}@overlay.example/"
XMPP = "otherName:1.3.6.1.5.5.7.8.5;UTF8:"


def ping_by(files: Files, signer: str, *bucket: str) -> bytes:
    """A request that openssl signs; bucket: whose certificates go with it."""
    header = ForwardingHeader(1, 1, 100, 7, (Destination(1, b"\xa1" * 16),))
    contents = codec.encode_contents(Code.PING_REQ, PingReq())
    certificates = tuple(GenericCertificate(0, files.der(name)) for name in bucket)
    digest = hashlib.sha256(files.der(signer)).digest()
    identity = SignerIdentity(SignerIdentityType.CERT_HASH, HashAlgorithm.SHA256, digest)

    def message(value: bytes) -> bytes:
        signature = Signature(HashAlgorithm.SHA256, SignatureAlgorithm.ECDSA, identity, value)
        return codec.assemble(header, contents, SecurityBlock(certificates, signature))

    return message(files.sign(signer, codec.signature_input(message(b""))))


def test_names_of_strangers_cannot_reach_the_terminal(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.node("evil", f"{NODE},{XMPP}\x1b[2Jromeo@montague.lit")
    data = ping_by(files, "evil", "evil")
    done = CliRunner().invoke(app, ["dump"], input=data)
    assert "VALID by ?[2Jromeo@montague.lit, node a1a1" in done.stdout
    assert all(line.isprintable() for line in done.stdout.split("\n"))
    assert the_check(data)["user"] == "\x1b[2Jromeo@montague.lit"


@pytest.mark.parametrize("length", [20, 127, 128, 255, 256])
def test_user_names_of_any_length(length: int, tmp_path: Path) -> None:
    """The length of a UTF8String is of one, two or three bytes (X.690 8.1.3)."""
    name = "@montague.lit".rjust(length, "r")
    files = Files(tmp_path)
    files.node("long", f"{NODE},{XMPP}{name}")
    assert the_check(ping_by(files, "long", "long"))["user"] == name


@pytest.mark.parametrize("destinations", ["01", "0100", "01" + "a1" * 400])
def test_a_uri_that_names_no_node_is_passed_over(destinations: str, tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.node("odd", f"URI:reload://{destinations}@x/,{NODE},{XMPP}romeo@montague.lit")
    check = the_check(ping_by(files, "odd", "odd"))
    assert (check["status"], check["node_id"]) == ("valid", "a1" * 16)


def test_an_intermediate_that_comes_later_makes_trusted(tmp_path: Path) -> None:
    files = Files(tmp_path)
    files.make("inter", CA_EXTENSIONS, subject="/CN=inter", issuer="ca")
    files.node("leaf", f"{NODE},{XMPP}romeo@montague.lit", issuer="inter")
    overlay = tmp_path / "overlay.xml"
    overlay.write_bytes(write_overlay(files.overlay))
    data = ping_by(files, "leaf", "leaf") + ping_by(files, "leaf", "inter") + ping_by(files, "leaf")
    events = dumped(data, "--config", str(overlay), code=1)
    assert [checks(event["tree"])[-1]["status"] for event in events] == ["not trusted", "valid", "valid"]


# --- stored values ------------------------------------------------------------------------------------


def store_request(vector: dict[str, Any]) -> bytes:
    resource, data = unhex(vector["resource"]), unhex(vector["stored_data"])
    values = len(data).to_bytes(4, "big") + data
    kind_data = vector["kind"].to_bytes(4, "big") + bytes(8) + values
    return bytes([len(resource)]) + resource + b"\0" + len(kind_data).to_bytes(4, "big") + kind_data


def signers(folder: Path) -> list[str]:
    options = []
    for name in ("one_node", "two_nodes", "rsa"):
        path = folder / f"{name}.der"
        path.write_bytes(bytes.fromhex(IDENTITIES[name]["certificate"]))
        options += ["--certificate", str(path)]
    return options


@pytest.mark.parametrize("vector", cases("signatures.json"))
def test_who_signed_a_value(vector: dict[str, Any], tmp_path: Path) -> None:
    kinds = "5=dictionary,6=array,7=single,8=array,9=single"
    options = ["--as", "StoreReq", "--kinds", kinds, *signers(tmp_path)]
    names_nobody = "another signer" in vector["from"]
    check = the_check(store_request(vector), *options, code=not (vector["holds"] or names_nobody))
    wrong = "certificate missing" if names_nobody else "invalid"
    assert check["status"] == ("valid" if vector["holds"] else wrong)
    assert check["node_id"] == ("" if names_nobody else vector["node_id"])


def values_by(signer: str) -> bytes:
    """A FetchAns with one dictionary entry, stored at juliet@capulet.lit: a StoreReq without its first two fields."""
    wanted = [v for v in load("signatures.json") if v["signer"] == signer and v["kind"] == 5 and v["holds"]]
    return store_request(wanted[0])[18:]


def test_an_answer_does_not_say_its_resource_but_its_signer_does(tmp_path: Path) -> None:
    """7.4.2.2: a FetchAns names no Resource-ID. By USER-NODE-MATCH it is the hash of the signer's user name."""
    options = ["--as", "FetchAns", *signers(tmp_path)]
    assert the_check(values_by("one_node"), *options)["status"] == "valid"
    check = the_check(values_by("two_nodes"), *options)  # romeo's, at the resource of juliet
    assert check["status"] == "not checked"
    assert "Resource-ID" in check["reason"]


def test_the_request_before_an_answer_tells_the_resource(tmp_path: Path) -> None:
    """Both are found by their transaction_id."""

    def message(transaction_id: int, body: Body, code: Code) -> bytes:
        header = ForwardingHeader(1, 1, 100, transaction_id, (Destination(1, b"\xa1" * 16),))
        return codec.assemble(header, codec.encode_contents(code, body), SecurityBlock((), UNSIGNED))

    request = FetchReq(ids.resource_id(b"juliet@capulet.lit"), (StoredDataSpecifier(5),))
    answer = codec.decode_struct(FetchAns, values_by("two_nodes"), kinds={5: DataModel.DICTIONARY})
    asked = message(7, request, Code.FETCH_REQ)
    for transaction_id, status in ((7, "valid"), (8, "not checked")):
        events = dumped(asked + message(transaction_id, answer, Code.FETCH_ANS), *signers(tmp_path))
        assert [check["status"] for check in checks(events[1]["tree"])] == [status, "unsigned"]
