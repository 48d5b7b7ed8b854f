"""Python's collector of cycles in a process that is there to run a node.

Nearly everything in a node is freed by its count of references. What stays (kept answers, values, timers) makes the
collector believe that there is much to do: left alone, it takes one fortieth of a Store, mostly in looking through
modules that never change (bench/README.md).
"""

import gc

_THRESHOLDS = 10_000, 20, 50  # objects made until the youngest are looked at; their rounds until the older ones are


def settle() -> None:
    """Call it once, when all is loaded and the node is made. Global: for a program that is nothing but a node."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
