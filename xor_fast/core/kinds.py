"""The Kinds an overlay stores, and the access control policies of RFC 6940 7.3. A usage adds its Kind here."""

from collections.abc import Callable

from xor_fast.cext import ids
from xor_fast.config import KindDefinition
from xor_fast.errors import ConfigError
from xor_fast.messages import DataModel, DictionaryEntry, StoredData
from xor_fast.trust.signatures import Signer

Policy = Callable[[bytes, KindDefinition, StoredData, Signer], bool]
"""(Resource-ID, Kind, value, signer) -> may this signer write this value there? Names are compared as bytes; no
preparation of any name happens at the storing peer (XEP-0415 4.4)."""


def _user_match(resource: bytes, kind: KindDefinition, value: StoredData, signer: Signer) -> bool:
    """7.3.1"""
    return ids.resource_id(signer.certificate.user_name) == resource


def _node_match(resource: bytes, kind: KindDefinition, value: StoredData, signer: Signer) -> bool:
    """7.3.2"""
    return ids.resource_id(signer.node_id) == resource


def _user_node_match(resource: bytes, kind: KindDefinition, value: StoredData, signer: Signer) -> bool:
    """7.3.3: the user's resource, and the key is the Node-ID that signed."""
    entry = value.value
    return (
        isinstance(entry, DictionaryEntry)
        and entry.key == signer.node_id
        and _user_match(resource, kind, value, signer)
    )


def _node_multiple(resource: bytes, kind: KindDefinition, value: StoredData, signer: Signer) -> bool:
    """7.3.4: H(Node-ID || i) for 1 <= i <= max-node-multiple, i one byte wide (notes 5.15)."""
    return any(
        ids.resource_id(signer.node_id + bytes([i])) == resource for i in range(1, min(kind.max_node_multiple, 255) + 1)
    )


POLICIES: dict[str, Policy] = {
    "USER-MATCH": _user_match,
    "NODE-MATCH": _node_match,
    "USER-NODE-MATCH": _user_node_match,
    "NODE-MULTIPLE": _node_multiple,
}


class KindRegistry:
    """The Kinds this node stores, by Kind-ID, and the policies that say who may write them. A usage enters its Kinds,
    and policies of its own (14.4), here and nowhere else."""

    def __init__(self, definitions: tuple[KindDefinition, ...] = ()) -> None:
        self._kinds: dict[int, KindDefinition] = {}
        self._policies: dict[str, Policy] = dict(POLICIES)
        self.models: dict[int, DataModel] = {}
        # The document may name a policy that a usage brings: until then its Kinds are unknown here (7.3, 7.4.1.2).
        self._without_policy = [kind for kind in definitions if kind.access_control not in POLICIES]
        for definition in definitions:
            if definition.access_control in POLICIES:
                self.add(definition)

    def add_policy(self, name: str, policy: Policy) -> None:
        """An access control policy, for Kinds of the document too. The RFC's own cannot be replaced."""
        if name in POLICIES:
            raise ConfigError(f"access control {name} is the RFC's own (7.3): give yours another name")
        self._policies[name] = policy
        for definition in self._without_policy:
            if definition.access_control == name:
                self.add(definition)

    def add(self, definition: KindDefinition) -> None:
        """Enter a Kind; the configuration document's own definition, entered first, stays in force."""
        if definition.access_control not in self._policies:
            raise ConfigError(
                f"Kind {definition.name or definition.id}: access control {definition.access_control!r} is not one of "
                f"{', '.join(self._policies)}"
            )
        if definition.access_control == "USER-NODE-MATCH" and definition.model is not DataModel.DICTIONARY:
            raise ConfigError(f"Kind {definition.name or definition.id}: USER-NODE-MATCH needs a dictionary (7.3.3)")
        self._kinds.setdefault(definition.id, definition)
        self.models.setdefault(definition.id, definition.model)

    def get(self, kind: int) -> KindDefinition | None:
        return self._kinds.get(kind)

    def __contains__(self, kind: object) -> bool:
        return kind in self._kinds

    def permits(self, resource: bytes, kind: KindDefinition, value: StoredData, signer: Signer) -> bool:
        return self._policies[kind.access_control](resource, kind, value, signer)
