"""What must hold in a world: always (safety), and once faults have stopped (liveness)."""

from xor_fast import limits
from xor_fast.sim.world import Host, World


def ring_order(world: World) -> list[Host]:
    """The living members, in the order of the ring."""
    return sorted((host for host in world.alive if host.node.ring.joined), key=lambda host: host.node.node_id)


def wrong_neighbours(world: World) -> list[str]:
    """Where a member's neighbours are not those the whole ring has; empty: one ordered ring."""
    members = ring_order(world)
    found = []
    each_side = min(limits.NEIGHBOURS_EACH_SIDE, len(members) - 1)
    for position, host in enumerate(members):
        for step in range(1, each_side + 1):
            successor = members[(position + step) % len(members)].node.node_id
            predecessor = members[position - step].node.node_id
            successors = host.node.ring.successors(each_side)
            predecessors = host.node.ring.predecessors(each_side)
            if successors[step - 1 : step] != [successor]:
                found.append(f"{host.name}: successor {step} is not {successor.hex()}")
            if predecessors[step - 1 : step] != [predecessor]:
                found.append(f"{host.name}: predecessor {step} is not {predecessor.hex()}")
    return found


def is_one_ring(world: World) -> bool:
    return not wrong_neighbours(world)


def claimants(world: World, resource: bytes) -> list[Host]:
    """Who believes to be responsible for a Resource-ID; in a settled ring exactly one."""
    return [host for host in world.alive if host.node.ring.is_responsible(resource)]
