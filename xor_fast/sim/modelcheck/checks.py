"""What must hold in every state, and at every end."""

from xor_fast.core.topology import State
from xor_fast.sim.modelcheck.machine import View
from xor_fast.sim.modelcheck.world import GONE, Global, World


def _living(world: World, state: Global) -> list[tuple[int, View]]:
    return [(node, world.locals.views[number]) for node, number in enumerate(state.nodes) if number != GONE]


def always(world: World, state: Global) -> str | None:
    """Safety; None, or what is wrong."""
    living = _living(world, state)
    return (
        _two_claims(world, state, living)
        or _nobody(world, state, living)
        or _lost(world, state, living)
        or _stale(world, state, living)
    )


def _two_claims(world: World, state: Global, living: list[tuple[int, View]]) -> str | None:
    """Nobody claims what another does, but for a joiner and its admitting peer, until that has the joiner's word.

    Who is admitted by a peer that leaves or dies at once is known to others only; its heir hears of it through them. So
    after a leave or a failure it is at every end that no two claim the same."""
    if _gone(world, state, ("kill", "leave")):
        return None
    for position, (node, view) in enumerate(living):
        for other, its in living[position + 1 :]:
            both = view.claims & its.claims
            if both and other != view.admits and node != its.admits:
                return f"n{node + 1} and n{other + 1} both claim the points {_bits(both)}"
    return None


def _gone(world: World, state: Global, kinds: tuple[str, ...]) -> bool:
    return any(op.kind in kinds and state.begun >> number & 1 for number, op in enumerate(world.operations))


def _nobody(world: World, state: Global, living: list[tuple[int, View]]) -> str | None:
    """Without a leave or a failure, each point is somebody's at every moment."""
    if _gone(world, state, ("leave", "kill")) or not any(view.joined for _, view in living):
        return None
    return _unclaimed(world, living)


def _unclaimed(world: World, living: list[tuple[int, View]]) -> str | None:
    claimed = 0
    for _, view in living:
        claimed |= view.claims
    missing = [i for i in range(len(world.cast.points)) if not claimed >> i & 1]
    return f"nobody claims the points {missing}" if missing else None


def _lost(world: World, state: Global, living: list[tuple[int, View]]) -> str | None:
    """What was acknowledged is held by somebody, unless a kill took the last holder."""
    held = acknowledged = 0
    for _, view in living:
        held |= view.holds
        acknowledged |= view.acknowledged
    lost = acknowledged & ~held & ~state.excused
    return f"nobody holds the values {_bits(lost)} any more" if lost and living else None


def _stale(world: World, state: Global, living: list[tuple[int, View]]) -> str | None:
    """Without a leave or a failure, whoever claims a place has what was acknowledged there. Only what is written just
    now, while both claim, may still be on its way to the joiner."""
    if _gone(world, state, ("leave", "kill")):
        return None
    written = sum(1 << op.value for op in world.operations if op.kind == "store")
    for node, view in living:
        is_coming = any(target == node and items for (_, target, _), items in state.queues)
        what = _missing_at(world, state, living, node, view, written if is_coming else 0)
        if what is not None:
            return what
    return None


def _missing_at(
    world: World, state: Global, living: list[tuple[int, View]], node: int, view: View, except_for: int = 0
) -> str | None:
    acknowledged = 0
    for _, its in living:
        acknowledged |= its.acknowledged
    for number in _bits(acknowledged & ~view.holds & ~state.excused & ~except_for):
        if view.claims >> world.cast.points.index(world.cast.values[number].resource) & 1:
            return f"n{node + 1} claims the place of value {number} and does not have it"
    return None


def at_the_end(world: World, state: Global) -> str | None:
    """Liveness: one ordered ring of those who should be in it, each point one claim, each value at who claims it."""
    living = _living(world, state)
    nobody_to_ask = all(state.nodes[node] == GONE for node in world.bootstrap)
    undecided = (State.LEAVING,) if nobody_to_ask else (State.JOINING, State.LEAVING)
    outside = [node for node, view in living if view.state in undecided]
    members = sorted(
        ((world.cast.identities[node].node_id, node, view) for node, view in living if view.joined), key=lambda m: m[0]
    )
    if outside:
        return f"{_names(outside)} neither in nor out"
    if any(view.admits >= 0 for _, view in living):
        return "an admission is left over"
    ring = [node_id for node_id, _, _ in members]
    for place, (_, node, view) in enumerate(members):
        count = min(3, len(ring) - 1)
        after = tuple(ring[(place + step) % len(ring)] for step in range(1, count + 1))
        before = tuple(ring[place - step] for step in range(1, count + 1))
        if view.successors[:count] != after or view.predecessors[:count] != before:
            return f"n{node + 1} has other neighbours than the ring"
    if not members:
        return None
    missing = (_missing_at(world, state, living, node, view) for node, view in living)
    return next((what for what in missing if what is not None), None) or _unclaimed(world, living)


def _bits(number: int) -> list[int]:
    return [i for i in range(number.bit_length()) if number >> i & 1]


def _names(nodes: list[int]) -> str:
    return ", ".join(f"n{node + 1}" for node in nodes)
