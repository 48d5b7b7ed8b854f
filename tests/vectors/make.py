"""Makes the published vectors out of `source/` with the slow reference: python -m tests.vectors.make

Nothing of the compiled codec or of `xor_fast.trust` takes part. Bytes written by hand in `source/` must be those of the
reference, or nothing is made.
"""

import hashlib
from functools import cache
from typing import Any

from tests.reference import codec as reference
from tests.reference import wire
from tests.reference.switch import received_mask
from tests.vectors import identities
from tests.vectors.identities import OVERLAY, Identity, everybody, public_der
from tests.vectors.notation import HERE, lines, load, meaning, overlay_of, plain, read, unhex
from xor_fast import messages as m

Vector = dict[str, Any]
OVERLAY_HASH = int.from_bytes(hashlib.sha1(OVERLAY.encode()).digest()[-4:], "big")
HASHES = {2: "sha1", 3: "sha224", 4: "sha256", 5: "sha384", 6: "sha512"}
CONTEXT = ("node_id_length", "kinds")  # what a decoder has to be told


def context(source: Vector) -> Vector:
    return {name: source[name] for name in CONTEXT if name in source}


def structures() -> list[Vector]:
    made = []
    for source in load("source/structures.json"):
        data, lengths = read(source["hex"])
        value = meaning(source["is"])
        assert reference.encode_struct(value) == data, source["from"]
        assert reference.decode_struct(type(value), data, *overlay_of(source)) == value, source["from"]
        vector = {"from": source["from"], "structure": type(value).__name__} | context(source)
        vector |= {"hex": data.hex(), "lengths": [list(place) for place in lengths]}
        if source.get("alone"):
            vector["alone"] = True
        made.append(vector | {"is": plain(value), "req": source["req"]})
    return made


def refused() -> list[Vector]:
    made = []
    for source in load("source/refused.json"):
        data = unhex(source["hex"])
        try:
            value = reference.decode_struct(getattr(m, source["struct"]), data, *overlay_of(source))
        except reference.Invalid:
            vector = {"from": source["from"], "structure": source["struct"]} | context(source)
            made.append(vector | {"hex": data.hex(), "rule": source["rule"], "req": source["req"]})
        else:
            raise AssertionError(f"{source['from']}: read as {value}")
    return made


# --- messages -----------------------------------------------------------------------------------------


def signed(signer: Identity, node_id: bytes, data: bytes) -> m.Signature:
    """The Signature over data, to which the SignerIdentity is added here."""
    kind, hashed = signer.identity_value(node_id)
    identity = m.SignerIdentity(kind, 4, hashlib.sha256(hashed).digest())
    value = identities.signature(signer.key, data + reference.encode_struct(identity))
    return m.Signature(4, 3 if "EC" in type(signer.key).__name__ else 1, identity, value)


def header_of(number: int, is_request: bool) -> m.ForwardingHeader:
    """A request to a resource that one peer has passed on; an answer back over a client's peer."""
    resource, peer, client = (
        m.Destination(2, b"\x5e" * 16),
        m.Destination(1, b"\xd1" * 16),
        m.Destination(1, b"\xd2" * 16),
    )
    to = (resource,) if is_request else (peer, m.Destination(3, b"\x80\x01", True), client)
    return m.ForwardingHeader(OVERLAY_HASH, 7, 100 - number, 0x1020304050607080 + number, to, (peer,) * is_request)


def whole_message(header: m.ForwardingHeader, code: int, body: Any, signer: Identity, node_id: bytes) -> m.Message:
    contents = reference.build_contents(code, body)
    data = header.overlay.to_bytes(4, "big") + header.transaction_id.to_bytes(8, "big") + contents
    bucket = (m.GenericCertificate(0, signer.certificate),)
    return m.Message(header, code, body, (), m.SecurityBlock(bucket, signed(signer, node_id, data)))


def messages() -> list[Vector]:
    bodies = {source["from"]: source for source in load("source/structures.json")}
    signers = [(everybody()[name], which) for name, which in (("one_node", 0), ("rsa", 0), ("two_nodes", 1))]
    made = []
    for number, source in enumerate(load("source/messages.json")):
        body_of = bodies.get(source.get("body"), {})
        body = meaning(body_of["is"]) if body_of else unhex(source["bytes"])
        signer, which = signers[number % 3]
        node_id = signer.node_ids[which]
        value = whole_message(
            header_of(number, source["code"] % 2 == 1 and source["code"] != 65535),
            source["code"],
            body,
            signer,
            node_id,
        )
        data = reference.encode_struct(value)
        vector = {"from": f"14.8, {source['name']}", "message_code": source["code"]} | context(body_of)
        vector |= {"hex": data.hex(), "body": reference.encode_body(source["code"], body).hex(), "is": plain(value)}
        vector |= {
            "signer": signer.name,
            "node_id": node_id.hex(),
            "signature_input": reference.signature_input(data).hex(),
        }
        made.append(vector | {"req": source["req"]})
    return made


# --- keys, hashes, signatures ---------------------------------------------------------------------------


def identity_vectors() -> list[Vector]:
    """Keys and certificates; the first is the CA's."""
    return [
        {
            "name": identity.name,
            "overlay": OVERLAY,
            "issuer": identity.name if identity.is_self_signed else "ca",
            "user_name": identity.user,
            "node_ids": [node_id.hex() for node_id in identity.node_ids],
            "private_key": identities.private_pem(identity.key),
            "public_key": public_der(identity.key).hex(),
            "certificate": identity.certificate.hex(),
        }
        for identity in everybody().values()
    ]


def hash_vector(
    from_: str, what: str, algorithm: str, data: bytes, first: int, size: int, req: list[str], **more: Any
) -> Vector:
    """result: `size` bytes of the digest of `input`, from byte `first` on."""
    digest = hashlib.new(algorithm, data).digest()
    vector = (
        {"from": from_, "what": what} | more | {"algorithm": algorithm, "input": data.hex(), "digest": digest.hex()}
    )
    return vector | {"first": first, "size": size, "result": digest[first : first + size].hex(), "req": req}


def hash_vectors() -> list[Vector]:
    made = []
    for source in load("source/names.json"):
        data = source["name"].encode() if "name" in source else unhex(source["bytes"])
        first, size = (0, 16) if source["what"] == "resource_id" else (16, 4)
        given = {"name": source["name"]} if "name" in source else {}
        made.append(hash_vector(source["from"], source["what"], "sha1", data, first, size, source["req"], **given))
    for owner in ("one_node", "rsa"):
        public = public_der(everybody()[owner].key)
        for algorithm in ("sha1", "sha256"):
            for length in (16, 20):
                for index in (None, 1, 2, 3):
                    what = "one Node-ID" if index is None else f"Node-ID {index} of several"
                    req = ["hash.self-signed-node-id"] if index is None else ["hash.self-signed-multi"]
                    data = identities.self_signed(public, index)
                    more = {"owner": owner, "public_key": public.hex(), "index": index, "node_id_length": length}
                    from_ = f"11.3.1, {owner}, {algorithm}, {what} of {length} bytes"
                    made.append(hash_vector(from_, "self_signed_node_id", algorithm, data, 0, length, req, **more))
    for number, algorithm in HASHES.items():
        for value in (b"", b"abc"):
            size = hashlib.new(algorithm).digest_size
            more = {"hash_algorithm": number, "value": value.hex()}
            data = len(value).to_bytes(4, "big") + value
            from_ = f"7.4.3.2, {algorithm} of {value.decode() or 'nothing'}"
            made.append(hash_vector(from_, "value", algorithm, data, 0, size, ["hash.stat-digest"], **more))
    for owner in ("one_node", "rsa", "two_nodes"):
        identity = everybody()[owner]
        for node_id in identity.node_ids:
            kind, data = identity.identity_value(node_id)
            what, req = [("cert_hash", "hash.cert-hash"), ("cert_hash_node_id", "hash.cert-hash-node-id")][kind - 1]
            more = {"owner": owner, "node_id": node_id.hex()}
            made.append(hash_vector(f"6.3.4, {owner}", what, "sha256", data, 0, 32, [req], **more))
    return made


ABC = m.DataValue(True, b"abc")
LOCATION = m.XmppLocation(2, b"", 0, (m.Destination(1, b"\xa1" * 16),))
RESOURCE = hashlib.sha1(b"juliet@capulet.lit").digest()[:16]
STORAGE_TIME = 1763834400000
VALUES: list[tuple[str, str, int, int, Any]] = [  # signer, which of its Node-IDs, Kind, value
    ("7.1, a single value", "rsa", 0, 7, ABC),
    ("7.1, an array entry: its index counts as zero", "one_node", 0, 6, m.ArrayEntry(0xFFFFFFFF, ABC)),
    ("7.1, the same at another index: the same input", "one_node", 0, 6, m.ArrayEntry(0, ABC)),
    ("7.1, a dictionary entry", "two_nodes", 1, 5, m.DictionaryEntry(b"k1", ABC)),
    ("7.1, a removed dictionary entry", "one_node", 0, 5, m.DictionaryEntry(b"k1", m.DataValue(False, b""))),
    ("XEP-0415 4.2, a location under the Node-ID of its device", "one_node", 0, 5,
     m.DictionaryEntry(b"\xa1" * 16, m.DataValue(True, reference.encode_struct(LOCATION)))),
]  # fmt: skip


def value_input(kind: int, value: bytes, resource: bytes = bytes([len(RESOURCE)]) + RESOURCE) -> bytes:
    """What 7.1 signs, up to the SignerIdentity; by the readings of notes 3.2 unless told another resource."""
    return resource + kind.to_bytes(4, "big") + STORAGE_TIME.to_bytes(8, "big") + value


def value_vector(from_: str, name: str, which: int, kind: int, value: Any, signature: m.Signature) -> Vector:
    stored = m.StoredData(STORAGE_TIME, 3600, value, signature)
    covered = reference.value_signature_input(RESOURCE, kind, STORAGE_TIME, value, signature.identity)
    return {
        "from": from_, "signer": name, "node_id": everybody()[name].node_ids[which].hex(), "resource": RESOURCE.hex(),
        "kind": kind, "stored_data": reference.build_stored_data(stored).hex(), "is": plain(stored),
        "signature_input": covered.hex(), "holds": True,
    }  # fmt: skip


def value_signatures() -> list[Vector]:
    made = []
    for from_, name, which, kind, value in VALUES:
        signer = everybody()[name]
        zeroed = m.ArrayEntry(0, value.value) if isinstance(value, m.ArrayEntry) else value
        data = value_input(kind, reference.encode_struct(zeroed))
        made.append(value_vector(from_, name, which, kind, value, signed(signer, signer.node_ids[which], data)))
    return made + wrong_value_signatures()


def wrong_value_signatures() -> list[Vector]:
    """Signatures that do not hold, each by a mistake that is easily made."""
    signer, entry = everybody()["one_node"], m.ArrayEntry(7, ABC)
    right, encoded = value_input(6, reference.encode_struct(m.ArrayEntry(0, ABC))), reference.encode_struct(ABC)
    mistakes = {
        "7.1, wrong: the index itself was signed": value_input(6, reference.encode_struct(entry)),
        "7.1, wrong: the Resource-ID without its length": value_input(6, right[-12:], RESOURCE),
        "7.1, wrong: the index left out": value_input(6, encoded),
        "7.1, wrong: the lifetime was signed too": right + (3600).to_bytes(4, "big"),
    }
    made = []
    for from_, data in mistakes.items():
        signature = signed(signer, signer.node_ids[0], data)
        made.append(value_vector(from_, "one_node", 0, 6, entry, signature) | {"holds": False})
    good = signed(signer, signer.node_ids[0], right)
    unnamed = m.Signature(4, 3, m.SignerIdentity(1, 4, bytes(32)), good.signature_value)
    made.append(
        value_vector("7.1, wrong: another signer is named", "one_node", 0, 6, entry, unnamed) | {"holds": False}
    )
    return made


# --- frames, URIs ---------------------------------------------------------------------------------------


def frames() -> list[Vector]:
    """Data frames as they arrive on one connection, and the ACK of each."""
    message = wire.message([wire.node(b"\xd1" * 16)])
    arrivals = {
        "6.6.2, from 0 on": [0, 1, 2, 3],
        "6.6.2, frame 5 is lost": [0, 1, 2, 3, 4, 6, 7, 8],
        "6.6.2, frame 2 comes late": [0, 1, 3, 2, 4],
        "6.6.2, the mask goes back 31 frames": list(range(40)),
        "6.6.2, numbers begin anew after 2^32 - 1": [0xFFFFFFFD, 0xFFFFFFFE, 0xFFFFFFFF, 0, 1],
        "6.6.2, a gap of more than 31": [0, 1, 100, 101],
    }
    made = []
    for from_, sequences in arrivals.items():
        masks = [received_mask(n, sequences[:i]) for i, n in enumerate(sequences)]
        made.append({
            "from": from_, "message": message.hex(), "sequences": sequences, "received": masks,
            "frames": [wire.data_frame(n, message).hex() for n in sequences],
            "acks": [wire.ack_frame(n, mask).hex() for n, mask in zip(sequences, masks, strict=True)],
        })  # fmt: skip
    return made


def uris() -> list[Vector]:
    made = []
    for source in load("source/uris.json"):
        vector = {"from": source["from"], "uri": source["uri"]} | context(source)
        if source.get("refused"):
            made.append(vector | {"refused": True})
            continue
        value = meaning(source["is"])
        route = b"".join(map(reference.encode_struct, value.destination_list))
        data = b"" if value.specifier is None else reference.encode_struct(value.specifier)
        written = f"reload://{route.hex()}@{value.overlay_name}/{data.hex()}"
        assert written.lower() == source["uri"].lower(), source["from"]
        made.append(vector | {"written": written, "is": plain(value)})
    return made


@cache
def published() -> dict[str, str]:
    """The text of every published file by its name."""
    made = {
        "structures.json": structures(),
        "refused.json": refused(),
        "messages.json": messages(),
        "identities.json": identity_vectors(),
        "hashes.json": hash_vectors(),
        "signatures.json": value_signatures(),
        "frames.json": frames(),
        "uris.json": uris(),
        "registries.json": load("source/registries.json"),
    }
    return {name: lines(vectors) for name, vectors in made.items()}


if __name__ == "__main__":
    for name, text in published().items():
        (HERE / name).write_text(text)
