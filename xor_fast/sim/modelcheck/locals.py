"""Every state a single node was ever in, and what each input made of it.

A node is without I/O, so what it does depends on its own state and its own inputs alone. Each pair is therefore carried
out once, by the real core; whatever else the world does meanwhile, the answer is looked up. A state is come back to by
repeating the inputs that led to it.
"""

from collections import OrderedDict

from xor_fast.cext import codec
from xor_fast.messages import Code, UpdateReq
from xor_fast.sim.modelcheck.machine import Cast, Input, Machine, Output, View

MAX_MACHINES = 400  # kept where they stand: the next input of that state needs no repetition


# Answers whose request was made with nothing to follow. The one that ends an admission is told by what it does.
_ENDS = frozenset({Code.UPDATE_ANS, Code.ROUTE_QUERY_ANS})
# RFC 6940 10.5: links (1 to 4), Join (5), values handed over (6), the Update that admits and those that tell (7 to 9);
# and 10.9. A link that comes up or goes, and a rest, count as well.
_STEPS = frozenset(
    {Code.ATTACH_ANS, Code.JOIN_REQ, Code.JOIN_ANS, Code.STORE_ANS, Code.UPDATE_REQ, Code.UPDATE_ANS, Code.LEAVE_REQ}
)


class Locals:
    def __init__(self, cast: Cast) -> None:
        self._cast = cast
        self._numbers: dict[tuple[int, bytes], int] = {}
        self._came_by: list[tuple[int, Input]] = []  # the state before, and the input
        self._steps: dict[tuple[int, Input], tuple[int, tuple[Output, ...]]] = {}
        self._machines: OrderedDict[int, Machine] = OrderedDict()
        self.messages: list[bytes] = []
        self.ends_only: list[bool] = []  # of each message: is it an answer that nothing but its transaction hears of?
        self.ends_step: list[bool] = []  # of each message: with it a protocol step is over
        self.named_in: list[frozenset[int] | None] = []  # of each message: whom an Update names; None: it is none
        self._message_numbers: dict[bytes, int] = {}
        self.digests: list[bytes] = []
        self.views: list[View] = []
        self.node_of: list[int] = []
        self.repeated: int = 0  # inputs given once more to come back to a state

    def __len__(self) -> int:
        return len(self.views)

    @property
    def carried_out(self) -> int:
        """Inputs carried out by the core, each state and input once."""
        return len(self._steps)

    def fresh(self, node: int) -> int:
        """The state of a node that has just been made."""
        return self._enter(Machine(self._cast, node), node, -1, ())

    def step(self, state: int, given: Input) -> tuple[int, tuple[Output, ...]]:
        """The state after an input, and what came out. CoreError if the core raises."""
        found = self._steps.get((state, given))
        if found is None:
            machine = self.machine(state)
            outputs = tuple(self.named(output) for output in machine.apply(self.meant(given)))
            found = self._steps[state, given] = self._enter(machine, self.node_of[state], state, given), outputs
        return found

    def named(self, output: Output) -> Output:
        """A message by its number: states are compared far more often than messages are read."""
        if output[0] != "send":
            return output
        message: bytes = output[2]  # type: ignore[assignment]
        number = self._message_numbers.setdefault(message, len(self.messages))
        if number == len(self.messages):
            self.messages.append(message)
            decoded = codec.decode_message(message, self._cast.overlay.node_id_length)
            self.ends_step.append(decoded.code in _STEPS)
            self.ends_only.append(decoded.code in _ENDS)
            self.named_in.append(self._named_in(decoded.body))
        return ("send", output[1], number)

    def _named_in(self, body: object) -> frozenset[int] | None:
        if not isinstance(body, UpdateReq):
            return None
        return frozenset(map(self._cast.index_of, (*body.predecessors, *body.successors, *body.fingers)))

    def meant(self, given: Input) -> Input:
        return ("message", given[1], self.messages[given[2]]) if given[0] == "message" else given  # type: ignore[call-overload]

    def _enter(self, machine: Machine, node: int, before: int, given: Input) -> int:
        key = (node, machine.digest())
        number = self._numbers.setdefault(key, len(self.views))
        if number == len(self.views):
            self.digests.append(key[1])
            self.views.append(machine.view())
            self.node_of.append(node)
            self._came_by.append((before, given))
        self._machines[number] = machine
        if len(self._machines) > MAX_MACHINES:
            self._machines.popitem(last=False)
        return number

    def machine(self, state: int) -> Machine:
        """One that is in this state, for the caller to take on."""
        machine = self._machines.pop(state, None)
        if machine is not None:
            return machine
        way: list[Input] = []
        node = self.node_of[state]
        while state >= 0:
            state, given = self._came_by[state]
            way.append(given)
        machine = Machine(self._cast, node)
        for given in reversed(way[:-1]):
            machine.apply(self.meant(given))
        self.repeated += len(way) - 1
        return machine
