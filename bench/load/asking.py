"""The asking side of `requests.py`: requests made beforehand, so many of them under way, the answers judged afterwards.

That leaves the other core to the peers that take the replicas, and the node that answers is never short of requests.
"""

import asyncio
import random
from collections.abc import Callable, Sequence
from functools import cache
from time import monotonic, time_ns

from bench.load.pki import CLIENT, PKI, RELAY, credentials, identity
from xor_fast.cext import codec
from xor_fast.cext.ids import between, resource_id
from xor_fast.cext.ring import Ring
from xor_fast.cext.switch import Switch
from xor_fast.cext.wire import peek
from xor_fast.messages import (
    Body,
    Code,
    DataModel,
    DataValue,
    Destination,
    DestinationType,
    DictionaryEntry,
    FetchAns,
    FetchReq,
    ForwardingHeader,
    Message,
    PingAns,
    PingReq,
    SecurityBlock,
    StoreAns,
    StoredData,
    StoredDataSpecifier,
    StoredDataValue,
    StoreKindData,
    StoreReq,
)
from xor_fast.net.tls import Tls
from xor_fast.net.transport import Transport
from xor_fast.trust.signatures import Identity

KIND = 5  # XMPP-LOCATION: a dictionary under USER-NODE-MATCH
VALUE_SIZE = 100
USER = 3000  # numbers of the identities that store: they count up from it
_RANDOM = random.Random(6940)


# --- what is asked -----------------------------------------------------------------------------------------


@cache
def users(count: int, peers: tuple[bytes, ...]) -> list[Identity]:
    """So many nodes whose own resource lies in the range of the node that answers, which has these others beside it."""
    own = PKI.node_id(RELAY)
    predecessor = max(peers, key=lambda peer: (int.from_bytes(peer) - int.from_bytes(own)) % (1 << 128), default=own)
    found: list[Identity] = []
    number = USER
    while len(found) < count:
        user = identity(number)
        if between(predecessor, resource_id(user.user_name), own):
            found.append(user)
        number += 1
    return found


def request(sender: Identity, resource: bytes, code: int, body: Body) -> bytes:
    """A whole signed message to a Resource-ID."""
    header = ForwardingHeader(
        overlay=PKI.overlay.overlay_hash,
        configuration_sequence=PKI.overlay.sequence,
        ttl=PKI.overlay.initial_ttl,
        transaction_id=_RANDOM.getrandbits(64),
        destination_list=(Destination(DestinationType.RESOURCE, resource),),
    )
    contents = codec.encode_contents(code, body)
    head = PKI.overlay.overlay_hash.to_bytes(4) + header.transaction_id.to_bytes(8)
    signature = sender.sign(head + contents + codec.encode_struct(sender.signer))
    return codec.assemble(header, contents, SecurityBlock(sender.certificates, signature))


def store(user: Identity, resource: bytes, kind: int, storage_time: int, value: StoredDataValue) -> bytes:
    """The request that stores one value of a user's, signed as a value and as a message."""
    return request(user, resource, Code.STORE_REQ, store_body(user, resource, kind, storage_time, value))


def store_body(user: Identity, resource: bytes, kind: int, storage_time: int, value: StoredDataValue) -> StoreReq:
    signed = codec.value_signature_input(resource, kind, storage_time, value, user.signer)
    data = StoredData(storage_time, 3600, value, user.sign(signed))
    return StoreReq(resource, 0, (StoreKindData(kind, 0, (data,)),))


class Load:
    """Requests of the users in turn; values: what each, by its Node-ID, has stored last."""

    def __init__(self, users: Sequence[Identity]) -> None:
        self.users = users
        self.values: dict[bytes, bytes] = {}
        self._time = time_ns() // 1_000_000

    def make(self, what: str, count: int) -> list[bytes]:
        """`what` is Ping, Store or Fetch."""
        made = {"Ping": self._ping, "Store": self._store, "Fetch": self._fetch}[what]
        return [made(self.users[number % len(self.users)]) for number in range(count)]

    def _ping(self, user: Identity) -> bytes:
        return request(user, resource_id(user.user_name), Code.PING_REQ, PingReq())

    def _store(self, user: Identity) -> bytes:
        self._time += 1  # a value has to be newer than the one before
        value = self.values[user.node_id] = _RANDOM.randbytes(VALUE_SIZE)
        entry = DictionaryEntry(user.node_id, DataValue(True, value))
        return store(user, resource_id(user.user_name), KIND, self._time, entry)

    def _fetch(self, user: Identity) -> bytes:
        resource = resource_id(user.user_name)
        body = FetchReq(resource, (StoredDataSpecifier(KIND, 0, ()),))
        return request(user, resource, Code.FETCH_REQ, body)


def judge(what: str, answers: Sequence[bytes], replicas: int) -> set[bytes]:
    """Every answer is signed by the node asked, and says what the request deserved. Gives the values in them."""
    verifier, now = PKI.verifier(), time_ns() // 1_000_000
    found: set[bytes] = set()
    for answer in answers:
        message = codec.decode_message(answer, 16, {KIND: DataModel.DICTIONARY})
        bucket = message.security.certificates
        signer = verifier.verify(message.security.signature, codec.signature_input(answer), bucket, now)
        assert signer.node_id == PKI.node_id(RELAY)
        _is_sound[what](message, replicas)
        if isinstance(message.body, FetchAns):
            found.update(_entries(message.body))
    return found


def _entries(body: FetchAns) -> list[bytes]:
    entries = [data.value for response in body.kind_responses for data in response.values]
    return [entry.value.value for entry in entries if isinstance(entry, DictionaryEntry)]


def _is_pong(message: Message, _replicas: int) -> None:
    assert isinstance(message.body, PingAns), message.body


def _is_stored(message: Message, replicas: int) -> None:
    assert isinstance(message.body, StoreAns), message.body
    assert [len(response.replicas) for response in message.body.kind_responses] == [replicas]


def _is_fetched(message: Message, _replicas: int) -> None:
    assert isinstance(message.body, FetchAns), message.body
    assert len(_entries(message.body)) == 1


_is_sound: dict[str, Callable[[Message, int], None]] = {"Ping": _is_pong, "Store": _is_stored, "Fetch": _is_fetched}


# --- how it is asked ---------------------------------------------------------------------------------------


class Asker:
    """A client's link (RFC 6940 4.2.1): frames and ACKs by the data plane, no node behind it."""

    def __init__(self) -> None:
        self.is_up = False
        self._switch = Switch(
            Ring(PKI.node_id(CLIENT)), PKI.overlay.overlay_hash, max_message_size=PKI.overlay.max_message_size
        )
        self._link = self._switch.open_link(monotonic(), PKI.node_id(RELAY))
        self._waiting: list[bytes] = []
        self._answers: list[bytes] = []
        self._under_way: set[int] = set()
        self._done: asyncio.Future[None] | None = None

    async def connect(self, port: int) -> None:
        """To the node that answers."""
        await Tls(credentials(CLIENT)).connect(("127.0.0.1", port), self)

    async def ask(self, requests: Sequence[bytes], depth: int) -> list[bytes]:
        """Send them all, `depth` of them under way at any time; their answers."""
        self._waiting, self._answers = list(reversed(requests)), []
        self._done = asyncio.get_running_loop().create_future()
        for _ in range(min(depth, len(requests))):
            self._send_next()
        self._flush()
        await asyncio.wait_for(self._done, 10 + len(requests) / 100)
        return self._answers

    def close(self) -> None:
        self._transport.close()

    def _send_next(self) -> None:
        message = self._waiting.pop()
        self._under_way.add(peek(message).transaction_id)
        self._switch.originate(monotonic(), message, self._link)

    def _flush(self) -> None:
        for _, data in self._switch.sends():
            self._transport.write(data)

    # --- what the connection tells ---

    def connection_made(self, transport: Transport) -> None:
        self.is_up = True
        self._transport = transport

    def data_received(self, data: memoryview) -> None:
        assert self._switch.receive(monotonic(), self._link, data)
        for received in self._switch.take_inbox():
            transaction_id = peek(received.message).transaction_id
            if transaction_id not in self._under_way:
                continue  # a request of the node's own, an Update say: a client that keeps silent gets few
            self._under_way.remove(transaction_id)
            self._answers.append(received.message)
            if self._waiting:
                self._send_next()
        self._flush()
        if not self._under_way and self._done is not None and not self._done.done():
            self._done.set_result(None)

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def connection_lost(self, error: Exception | None) -> None:
        if self._done is not None and not self._done.done():
            self._done.set_exception(error or ConnectionError("the node closed the link"))
