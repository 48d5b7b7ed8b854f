"""Room for newcomers. Whoever joins through a bootstrap node keeps the link to it: with thousands of them the slots of
the connection table would run out, and the next one could not get in.
"""

import heapq
from typing import TYPE_CHECKING

from xor_fast import limits
from xor_fast.actions import Hangup

if TYPE_CHECKING:
    from xor_fast.core.node import Node


def thin_out(node: "Node") -> None:
    """Hang up on the peers we heard of least recently, if there are too many, and none of them serves our tables.

    To them we are one entry among many; who misses us as a neighbour or finger Attaches again."""
    if len(node.ring) <= limits.MAX_PEERS:
        return
    topology, switch = node.topology, node.switch
    used = {*topology.neighbourhood.sides().both(), *topology.fingers.table().values()}
    links = [switch.link_of(node_id) for node_id in node.ring if node_id not in used]
    for link in heapq.nsmallest(limits.LINKS_LET_GO, links, key=switch.idle_since):
        node.count("links_let_go")
        node.act(Hangup(link, "room is needed for newcomers"))
