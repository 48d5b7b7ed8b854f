"""What an owner may choose for one node, beside what the overlay's document sets for all of them."""

from typing import NamedTuple

from xor_fast import limits


class Tuning(NamedTuple):
    """Times in seconds. Peers of one overlay may differ in all of it.

    neighbours_each_side: successors and predecessors kept (10.7: at least three). None: as many as log2 of the ring's
        size, which is estimated.
    fingers: how many of the long links are kept, counted from the longest (10.7.4.3: at least 16), up to 128.
    hold_down: wait before replicas are made after a neighbour failed (10.7.1).
    """

    neighbours_each_side: int | None = None
    fingers: int = limits.FINGERS
    hold_down: float = limits.HOLD_DOWN


DEFAULTS: Tuning = Tuning()
