"""The openssl program as the judge of every signature, hash and certificate of the vectors.

It judges the vectors, not this package, so no test here shows a requirement: test_signatures.py does, against them.
"""

import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from tests.vectors.notation import load, unhex

pytestmark = pytest.mark.skipif(not shutil.which("openssl"), reason="the openssl program is not installed")
IDENTITIES = {vector["name"]: vector for vector in load("identities.json")}


def openssl(*arguments: object) -> str:
    done = subprocess.run(["openssl", *map(str, arguments)], capture_output=True, text=True, check=True)
    return done.stdout


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """NAME.der (certificate), NAME.pem (its public key, taken out by openssl) and NAME.key (private)."""
    made = tmp_path_factory.mktemp("vectors")
    for name, vector in IDENTITIES.items():
        (made / f"{name}.der").write_bytes(unhex(vector["certificate"]))
        (made / f"{name}.key").write_text(vector["private_key"])
        (made / f"{name}.pem").write_text(
            openssl("x509", "-inform", "DER", "-in", made / f"{name}.der", "-pubkey", "-noout")
        )
    return made


def test_every_digest(tmp_path: Path) -> None:
    vectors = load("hashes.json")
    for algorithm in {vector["algorithm"] for vector in vectors}:
        of_it = [vector for vector in vectors if vector["algorithm"] == algorithm]
        for number, vector in enumerate(of_it):
            (tmp_path / f"{number:04}").write_bytes(unhex(vector["input"]))
        said = openssl("dgst", f"-{algorithm}", "-r", *[tmp_path / f"{number:04}" for number in range(len(of_it))])
        digests = [line.split()[0] for line in said.splitlines()]
        assert digests == [vector["digest"] for vector in of_it]
    for vector in vectors:
        first, size = vector["first"], vector["size"]
        assert unhex(vector["digest"])[first : first + size].hex() == vector["result"]


# By what is hashed: which bytes of the digest, and what the input is made of.
PARTS = {"resource_id": (0, 16), "overlay": (16, 4), "cert_hash": (0, 32), "cert_hash_node_id": (0, 32)}


def test_what_the_digests_are_of() -> None:
    for vector in load("hashes.json"):
        what, data = vector["what"], unhex(vector["input"])
        if what == "self_signed_node_id":
            prefix = b"" if vector["index"] is None else bytes([0, 0, 0, vector["index"]])
            assert (vector["first"], vector["size"]) == (0, vector["node_id_length"])
            assert data == prefix + unhex(IDENTITIES[vector["owner"]]["public_key"])
        elif what == "value":
            assert data == len(unhex(vector["value"])).to_bytes(4, "big") + unhex(vector["value"])
            assert vector["result"] == vector["digest"]
        else:
            assert (vector["first"], vector["size"]) == PARTS[what]
        if what.startswith("cert_hash"):
            prefix = unhex(vector["node_id"]) if what == "cert_hash_node_id" else b""
            assert data == prefix + unhex(IDENTITIES[vector["owner"]]["certificate"])


def verified(folder: Path, tmp_path: Path, signer: str, data: bytes, signature: bytes) -> bool:
    (tmp_path / "data").write_bytes(data)
    (tmp_path / "signature").write_bytes(signature)
    done = subprocess.run(
        ["openssl", "dgst", "-sha256", "-verify", folder / f"{signer}.pem", "-signature", tmp_path / "signature",
         tmp_path / "data"], capture_output=True, check=False,
    )  # fmt: skip
    return done.stdout == b"Verified OK\n"


def test_every_signature_of_a_message(folder: Path, tmp_path: Path) -> None:
    vectors = load("messages.json")
    for vector in vectors:
        signature = vector["is"]["security"]["signature"]
        assert signature["hash_algorithm"] == 4
        data, value = unhex(vector["signature_input"]), unhex(signature["signature_value"])
        assert verified(folder, tmp_path, vector["signer"], data, value), vector["from"]
    assert not verified(folder, tmp_path, vectors[0]["signer"], b"other data", value)


def test_every_signature_of_a_stored_value(folder: Path, tmp_path: Path) -> None:
    for vector in load("signatures.json"):
        signature = vector["is"]["signature"]
        names_signer = signature["identity"]["certificate_hash"] == named(vector)
        data, value = unhex(vector["signature_input"]), unhex(signature["signature_value"])
        assert (verified(folder, tmp_path, vector["signer"], data, value) and names_signer) == vector["holds"], vector[
            "from"
        ]


def named(vector: dict[str, Any]) -> str:
    """The hash by which a signature names its signer, from hashes.json."""
    found = [
        v["result"]
        for v in load("hashes.json")
        if v["what"].startswith("cert_hash") and (v["owner"], v["node_id"]) == (vector["signer"], vector["node_id"])
    ]
    return str(found[0])


def test_every_certificate_and_its_keys(folder: Path, tmp_path: Path) -> None:
    (tmp_path / "ca.pem").write_text(openssl("x509", "-inform", "DER", "-in", folder / "ca.der"))
    for name, vector in IDENTITIES.items():
        public = openssl("pkey", "-in", folder / f"{name}.key", "-pubout")
        assert (folder / f"{name}.pem").read_text() == public
        spki = subprocess.run(
            ["openssl", "pkey", "-pubin", "-in", folder / f"{name}.pem", "-outform", "DER"],
            capture_output=True,
            check=True,
        )
        assert spki.stdout.hex() == vector["public_key"]
        if vector["issuer"] != "ca":
            (tmp_path / "root.pem").write_text(openssl("x509", "-inform", "DER", "-in", folder / f"{name}.der"))
        root = tmp_path / ("ca.pem" if vector["issuer"] == "ca" else "root.pem")
        moment = ("-partial_chain", "-attime", 1763834400)
        (tmp_path / "leaf.pem").write_text(openssl("x509", "-inform", "DER", "-in", folder / f"{name}.der"))
        assert openssl("verify", *moment, "-CAfile", root, tmp_path / "leaf.pem").endswith("OK\n")


def test_node_ids_of_self_signed_certificates_follow_from_their_keys(folder: Path, tmp_path: Path) -> None:
    """Hash and subjectAltName by openssl: 0110 and the Node-ID stand in each URI of the certificate."""
    algorithms = {"self_signed": "sha256", "self_signed_rsa": "sha1", "self_signed_three": "sha256"}
    for name, algorithm in algorithms.items():
        vector = IDENTITIES[name]
        public, several = unhex(vector["public_key"]), len(vector["node_ids"]) > 1
        names = openssl("x509", "-inform", "DER", "-in", folder / f"{name}.der", "-noout", "-ext", "subjectAltName")
        for index, node_id in enumerate(vector["node_ids"], 1):
            (tmp_path / "input").write_bytes(index.to_bytes(4, "big") * several + public)
            digest = openssl("dgst", f"-{algorithm}", "-r", tmp_path / "input").split()[0]
            assert digest[:32] == node_id
            assert f"URI:reload://0110{node_id}@{vector['overlay']}/" in names
