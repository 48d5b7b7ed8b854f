"""What must hold in a world: always (safety), and once faults have stopped (liveness)."""

from xor_fast.sim.world import Host, World


def ring_order(world: World) -> list[Host]:
    """The living members, in the order of the ring."""
    return sorted((host for host in world.alive if host.node.ring.joined), key=lambda host: host.node.node_id)


def wrong_neighbours(world: World) -> list[str]:
    """Where a member's neighbours are not those the whole ring has; empty: one ordered ring."""
    members = ring_order(world)
    found = []
    for position, host in enumerate(members):
        each_side = min(host.node.topology.neighbourhood.each_side, len(members) - 1)
        steps = range(1, each_side + 1)
        behind = [members[(position + step) % len(members)].node.node_id for step in steps]
        before = [members[position - step].node.node_id for step in steps]
        found += _differences(host, "successor", behind, host.node.ring.successors(each_side))
        found += _differences(host, "predecessor", before, host.node.ring.predecessors(each_side))
    return found


def _differences(host: Host, side: str, expected: list[bytes], kept: list[bytes]) -> list[str]:
    if kept == expected:
        return []
    return [
        f"{host.name}: {side} {step} is not {node_id.hex()}"
        for step, node_id in enumerate(expected, 1)
        if kept[step - 1 : step] != [node_id]
    ]


def is_one_ring(world: World) -> bool:
    return not wrong_neighbours(world)


def claimants(world: World, resource: bytes) -> list[Host]:
    """Who believes to be responsible for a Resource-ID; in a settled ring exactly one."""
    return [host for host in world.alive if host.node.ring.is_responsible(resource)]
