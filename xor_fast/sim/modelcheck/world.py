"""A world without time: nodes, the messages under way between them, and what may happen next.

Each direction of a connection is a queue; the end of a connection is the last thing in it. A node that is gone is
state GONE: what it had sent still arrives.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

from xor_fast.core.topology import State
from xor_fast.sim.modelcheck.locals import Locals
from xor_fast.sim.modelcheck.machine import LINKS_PER_PAIR, Cast, CoreError, DialName, Input, Output

GONE = -1
UP, DOWN = -1, -2

Item = int
"""A message, by its number; or UP, the accepter's part of a handshake; or DOWN, the end of the connection."""
Direction = tuple[int, int, int]
"""from, to, which of their connections"""
Queues = dict[Direction, tuple[Item, ...]]


class Operation(NamedTuple):
    """What a scenario does to a node: "start", "join", "leave", "kill" or "store"; value: which one is stored."""

    kind: str
    node: int
    value: int = -1

    def __str__(self) -> str:
        return f"{self.kind} n{self.node + 1}"


class Global(NamedTuple):
    """nodes: the local state of each. dials: (node, dial), sorted. begun: operations, as bits.

    quiet: seconds since the last operation. excused: values that a kill took with their last holder."""

    nodes: tuple[int, ...]
    queues: tuple[tuple[Direction, tuple[Item, ...]], ...]
    dials: tuple[tuple[int, DialName], ...]
    begun: int
    quiet: float
    excused: int


class Step(NamedTuple):
    """kind: "deliver" (what: Direction), "dial" (DialName), "operation" (number), "time" (nothing). node: where.

    item: what is delivered."""

    kind: str
    node: int
    what: tuple[Any, ...] | int = ()
    item: Item = 0


TIME = Step("time", -1)


class World:
    """The rules by which one global state follows from another."""

    def __init__(
        self, cast: Cast, locals_: Locals, operations: tuple[Operation, ...] = (), *, reduce: bool = True
    ) -> None:
        """reduce: answers that only end a transaction are taken as soon as they are sent."""
        self.reduce = reduce
        self._all_stay = all(operation.kind not in ("leave", "kill") for operation in operations)
        self.cast = cast
        self.locals = locals_
        self.operations = operations
        joiners = {operation.node for operation in operations if operation.kind == "join"}
        self.bootstrap: list[int] = [index for index in range(len(cast.identities)) if index not in joiners] or [0]
        self._at = {address: index for index, address in enumerate(cast.addresses)}

    def begin(self) -> Global:
        nodes = tuple(self.locals.fresh(index) for index in range(len(self.cast.identities)))
        return Global(nodes, (), (), 0, 0.0, 0)

    # --- what may happen -------------------------------------------------------------------------------

    def moves(self, state: Global) -> list[Step]:
        """Deliveries and handshakes; if there are none, only time can pass."""
        steps = [Step("deliver", key[1], key, items[0]) for key, items in state.queues if items]
        steps += [Step("dial", node, dial) for node, dial in state.dials]
        return steps

    def no_news(self, state: Global, steps: list[Step]) -> Step | None:
        """The delivery of an Update that changes nothing now and never will (see the package's docstring), if any."""
        if not self._all_stay:
            return None
        for step in steps:
            named = self.locals.named_in[step.item] if step.kind == "deliver" and step.item >= 0 else None
            if named is None:
                continue
            source, node, number = step.what  # type: ignore[misc]
            before = state.nodes[node]
            view = self.locals.views[before]
            if view.state is State.JOINED and source in view.ring and named <= view.ring | {node}:
                after, outputs = self.locals.step(before, ("message", source * LINKS_PER_PAIR + number, step.item))
                if after == before and len(outputs) == 1 and self._is_over_at_once(state, node, outputs[0]):
                    return step
        return None

    def commute(self, step: Step, other: Step) -> bool:
        """Either order leads to the same state, but for ids of requests: no node has to do with both."""
        return not set(self.touched(step)) & set(self.touched(other))

    def is_between_steps(self, last: Step | None, state: Global) -> bool:
        """Has the step that led here, or the end of all messages, brought a protocol step to its end?"""
        return last is None or last.kind != "deliver" or last.item < 0 or self.locals.ends_step[last.item]

    def check_losses(self, before: int, after: int) -> None:
        """What `no_news` relies on: while nobody leaves or dies, nobody loses a peer."""
        lost = self.locals.views[before].ring - self.locals.views[after].ring
        if self._all_stay and lost:
            raise CoreError(f"n{min(lost) + 1} was lost and lives")

    def _is_over_at_once(self, state: Global, node: int, output: Output) -> bool:
        """The answer changes nothing but the list of requests under way, and is not even queued."""
        if output[0] != "send" or not self.locals.ends_only[output[2]]:  # type: ignore[call-overload]
            return False
        queues = dict(state.queues)
        after = _Doing(self, state)
        after._out(node, output)
        return queues == after._queues

    def wishes(self, state: Global) -> Iterator[Step]:
        """Operations that have not begun and whose node is there (or, for a join, not there yet)."""
        for number, operation in enumerate(self.operations):
            there = state.nodes[operation.node]
            if state.begun >> number & 1 or there == GONE:
                continue
            # What is to befall a joiner waits until it has begun.
            if operation.kind == "join" or self.accepts(there):
                yield Step("operation", operation.node, number)

    def touched(self, step: Step) -> tuple[int, ...]:
        """The nodes whose state a step reads or changes. Steps that touch different ones commute."""
        if step.kind == "dial":
            addresses, _ = step.what  # type: ignore[misc]
            return (step.node, *(self._at[address] for address in addresses if address in self._at))
        if step.kind == "operation" and self.operations[step.what].kind == "kill":  # type: ignore[index]
            return tuple(self._at.values())  # whether others hold what it takes with it decides what is excused
        return (step.node,)

    # --- doing it --------------------------------------------------------------------------------------

    def take(self, state: Global, step: Step) -> Global:
        """CoreError if the core raises."""
        now = _Doing(self, state)
        getattr(now, f"_{step.kind}")(step)
        return now.result()

    def pause(self, state: Global) -> float:
        """Until the first deadline of a living node."""
        views = self.locals.views
        return min(
            (views[n].deadline for n in state.nodes if n != GONE and views[n].deadline is not None), default=600.0
        )  # type: ignore[type-var, return-value]

    def accepts(self, state: int) -> bool:
        return state != GONE and self.locals.views[state].state.name != "OUTSIDE"


class _Doing:
    """One step under way, on copies."""

    def __init__(self, world: World, before: Global) -> None:
        self._world = world
        self._nodes = list(before.nodes)
        self._queues: Queues = dict(before.queues)
        self._dials = list(before.dials)
        self._begun, self._quiet, self._excused = before.begun, before.quiet, before.excused

    def result(self) -> Global:
        return Global(
            tuple(self._nodes),
            tuple(sorted(self._queues.items())),
            tuple(sorted(self._dials)),
            self._begun,
            self._quiet,
            self._excused,
        )

    def _deliver(self, step: Step) -> None:
        key: Direction = step.what  # type: ignore[assignment]
        source, node, number = key
        item, *rest = self._queues[key]
        self._queues[key] = tuple(rest)
        link = source * LINKS_PER_PAIR + number
        if item == DOWN:
            del self._queues[key]
            if self._nodes[source] == GONE:
                self._queues.pop((node, source, number), None)
            self._give(node, ("down", link))
        elif item == UP:
            self._give(node, ("up", link, None))
        else:
            self._give(node, ("message", link, item))

    def _dial(self, step: Step) -> None:
        node, dial = step.node, step.what
        self._dials.remove((node, dial))  # type: ignore[arg-type]
        for address in dial[0]:  # type: ignore[index]
            target = self._world._at.get(address, node)
            if target != node and self._world.accepts(self._nodes[target]):
                break
        else:
            self._give(node, ("failed", dial))
            return
        number = next(
            n for n in range(LINKS_PER_PAIR) if not {(node, target, n), (target, node, n)} & self._queues.keys()
        )
        # TLS 1.3: the client is done first, and may send at once.
        self._queues[node, target, number] = (UP,)
        self._queues[target, node, number] = ()
        self._give(node, ("up", target * LINKS_PER_PAIR + number, dial))

    def _operation(self, step: Step) -> None:
        number: int = step.what  # type: ignore[assignment]
        operation = self._world.operations[number]
        self._begun |= 1 << number
        self._quiet = 0.0
        if operation.kind == "kill":
            self._kill(operation.node)
        else:
            self._give(operation.node, self._wish(operation))

    def _wish(self, operation: Operation) -> Input:
        if operation.kind == "join":
            # Beginning beside the admitting peer, if there is another: the first Attach is then forwarded.
            known = self._world.bootstrap
            first = sum(index <= operation.value for index in known) % len(known)
            return ("join", tuple(self._world.cast.addresses[i] for i in (*known[first:], *known[:first])))
        return ("store", operation.value) if operation.kind == "store" else (operation.kind,)

    def _time(self, step: Step) -> None:
        pause = self._world.pause(self.result())
        self._quiet = round(self._quiet + pause, 6)
        for node, state in enumerate(self._nodes):
            if state != GONE:
                self._give(node, ("time", pause))

    def _give(self, node: int, given: Input) -> None:
        before = self._nodes[node]
        self._nodes[node], outputs = self._world.locals.step(before, given)
        self._world.check_losses(before, self._nodes[node])
        for output in outputs:
            self._out(node, output)

    def _out(self, node: int, output: Output) -> None:
        kind = output[0]
        if kind == "send":
            link: int = output[1]  # type: ignore[assignment]
            self._send(node, link // LINKS_PER_PAIR, link % LINKS_PER_PAIR, output[2])  # type: ignore[arg-type]
        elif kind == "dial":
            self._dials.append((node, output[1]))  # type: ignore[arg-type]
        elif kind in ("hangup", "refuse"):
            link = output[1]  # type: ignore[assignment]
            peer, number = link // LINKS_PER_PAIR, link % LINKS_PER_PAIR
            self._append((node, peer, number), DOWN)
            if kind == "hangup":
                self._queues[peer, node, number] = (DOWN,)
            else:
                self._queues.pop((peer, node, number), None)
        elif kind == "left":
            self._end(node)

    def _send(self, node: int, peer: int, number: int, message: int) -> None:
        locals_ = self._world.locals
        key = (node, peer, number)
        if self._world.reduce and locals_.ends_only[message] and DOWN not in self._queues.get(key, (DOWN,)):
            before = self._nodes[peer]
            if before != GONE:
                after, outputs = locals_.step(before, ("message", node * LINKS_PER_PAIR + number, message))
                old, new = (locals_.views[number]._replace(deadline=None) for number in (before, after))
                if not outputs and old == new:
                    self._nodes[peer] = after
                    return
        self._append(key, message)

    def _append(self, key: Direction, item: Item) -> None:
        items = self._queues.get(key)
        if items is not None and items[-1:] != (DOWN,):
            self._queues[key] = (*items, item)

    def _kill(self, node: int) -> None:
        """As kill -9. Values of which it is the last holder are nobody's fault."""
        views = self._world.locals.views
        others = 0
        for index, state in enumerate(self._nodes):
            if index != node and state != GONE:
                others |= views[state].holds
        self._excused |= views[self._nodes[node]].holds & ~others
        self._end(node)

    def _end(self, node: int) -> None:
        self._nodes[node] = GONE
        self._dials = [dial for dial in self._dials if dial[0] != node]
        for source, target, number in list(self._queues):
            if target == node:
                del self._queues[source, target, number]
        for key in list(self._queues):
            if key[0] == node:
                self._append(key, DOWN)
