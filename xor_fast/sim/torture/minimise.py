"""Of a failing list of faults, the shortest that still fails: delta debugging (Zeller, "ddmin")."""

from collections.abc import Callable, Sequence
from typing import TypeVar

T = TypeVar("T")


def minimise(
    items: Sequence[T],
    fails: Callable[[Sequence[T]], bool],
    progress: Callable[[int, int], None] = lambda left, runs: None,
) -> list[T]:
    """1-minimal: leaving out any one of the items that are left does not fail any more.

    fails(items) says whether a part fails; the whole must. progress(items left, runs so far)."""
    left = list(items)
    parts = 2
    runs = 0
    while len(left) > 1:
        size = -(-len(left) // parts)
        for start in range(0, len(left), size):
            rest = left[:start] + left[start + size :]
            runs += 1
            progress(len(left), runs)
            if fails(rest):
                left = rest
                parts = max(parts - 1, 2)
                break
        else:
            if size == 1:
                break
            parts = min(2 * parts, len(left))
    return left if len(left) != 1 or not fails([]) else []
