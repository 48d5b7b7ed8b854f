"""How much state a node keeps, found by walking through its parts: whatever they are, all of it has to be bounded."""

from collections import Counter, deque
from collections.abc import Iterator, Sized

from xor_fast.core.node import Node

_DEPTH = 4


def footprint(node: Node) -> Counter[str]:
    """Sizes of all containers of the core's own objects, by the way to them: "topology._told" -> 12."""
    sizes: Counter[str] = Counter()
    seen: set[int] = {id(node)}
    for path, container in _containers(node, "", seen, _DEPTH):
        sizes[path] += len(container)
    return sizes


def _containers(part: object, path: str, seen: set[int], depth: int) -> Iterator[tuple[str, Sized]]:
    for name, value in _attributes(part):
        where = f"{path}.{name}" if path else name
        if isinstance(value, (list, dict, set, tuple, deque)):
            yield where, value
        elif depth and type(value).__module__.startswith("xor_fast.core") and id(value) not in seen:
            seen.add(id(value))
            yield from _containers(value, where, seen, depth - 1)


def _attributes(part: object) -> Iterator[tuple[str, object]]:
    yield from vars(part).items() if hasattr(part, "__dict__") else ()
    for cls in type(part).__mro__:
        for name in getattr(cls, "__slots__", ()):
            if hasattr(part, name):
                yield name, getattr(part, name)
