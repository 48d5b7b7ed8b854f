"""The relay of bench/load/forwarding.py that is our node: a whole peer with TLS links, as `xor-fast` runs it.

python -m bench.load.relay_node      prints "port N", serves until killed
"""

import asyncio
import random

import uvloop

from bench.load.pki import PKI, RELAY, TARGET, TARGETS, credentials, identity
from xor_fast.core.node import Node
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Tls

RING_SIZE = 1000  # peers in the routing table, as in the benchmark of the ring alone


async def serve() -> None:
    """A peer in the middle of a ring. The load generator speaks neither Join nor Update (RFC 6940 10.5, 10.7), so the
    ring is filled here instead of by the topology plug-in: nothing else about the node is special."""
    sock = bind("127.0.0.1", 0)
    chance = random.Random(6940)
    node = Node(PKI.overlay, identity(RELAY), PKI.verifier(), chance, addresses=(address_of(sock),))
    async with Peer(node, Tls(credentials(RELAY)), sock):
        for target in range(TARGETS):
            node.ring.add(PKI.node_id(TARGET + target))
        node.ring.joined = True
        while len(node.ring) < RING_SIZE:
            node.ring.add(chance.randbytes(16))
        print("port", address_of(sock)[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve())
