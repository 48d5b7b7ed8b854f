"""The relay of bench/load/forwarding.py that is our node: a whole peer with TLS links, as `xor-fast` runs it.

    python -m bench.load.relay_node TARGETS      prints "port N", serves until killed
"""

import asyncio
import random
import sys

import uvloop

from bench.load.pki import PKI, RELAY, TARGET, credentials
from xor_fast.core.node import Node
from xor_fast.net.listener import address_of, bind
from xor_fast.net.peer import Peer
from xor_fast.net.tls import Tls

RING = 1000  # peers in the routing table, as in the benchmark of the ring alone


async def serve(targets: int) -> None:
    """A peer whose ring holds the targets among others. The load generator sends no Update (RFC 6940 10.7.3), so the
    ring is filled here: nothing else about the node is special."""
    sock = bind("127.0.0.1", 0)
    node = Node(PKI.overlay, PKI.identity(RELAY), PKI.verifier(), random.Random(1), addresses=(address_of(sock),))
    async with Peer(node, Tls(credentials(RELAY)), sock) as peer:
        peer.start_overlay()
        for target in range(targets):
            node.ring.add(PKI.node_id(TARGET + target))
        print("port", address_of(sock)[1], flush=True)
        await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(serve(int(sys.argv[1])))
