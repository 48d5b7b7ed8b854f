"""What an owner may choose for one node, beside what the overlay's document sets for all of them."""

from typing import NamedTuple

from xor_fast import limits
from xor_fast.cext.switch import ViaLists
from xor_fast.errors import ConfigError


class Tuning(NamedTuple):
    """Times in seconds. Peers of one overlay may differ in all of it.

    neighbours_each_side: successors and predecessors kept (10.7: at least three). None: as many as log2 of the ring's
        size, which is estimated.
    fingers: how many of the long links are kept, counted from the longest (10.7.4.3: at least 16), up to 128.
    hold_down: wait before replicas are made after a neighbour failed (10.7.1).
    via_lists: how requests are passed on so that their answers find the way back (6.1.2).
    answers_bad_headers: what cannot be passed on is answered with an Error, which costs a signature; else dropped in
        silence (6.1).
    """

    neighbours_each_side: int | None = None
    fingers: int = limits.FINGERS
    hold_down: float = limits.HOLD_DOWN
    via_lists: ViaLists = ViaLists.WHOLE
    answers_bad_headers: bool = True


DEFAULTS: Tuning = Tuning()


def checked(tuning: Tuning) -> Tuning:
    """ConfigError for what no node can keep."""
    each_side = tuning.neighbours_each_side
    if each_side is not None and not limits.NEIGHBOURS_EACH_SIDE <= each_side <= limits.MAX_NEIGHBOURS:
        raise ConfigError(
            f"neighbours_each_side is {each_side}: choose {limits.NEIGHBOURS_EACH_SIDE} to {limits.MAX_NEIGHBOURS}"
        )
    if not 1 <= tuning.fingers <= limits.MAX_FINGERS:
        raise ConfigError(f"fingers is {tuning.fingers}: choose 1 to {limits.MAX_FINGERS}")
    if not 0 <= tuning.hold_down <= limits.MAX_HOLD_DOWN:
        raise ConfigError(f"hold_down is {tuning.hold_down}: choose 0 to {limits.MAX_HOLD_DOWN:g} seconds")
    return tuning
