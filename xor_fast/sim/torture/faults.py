"""What goes wrong in a simulated overlay: drawn from a seed as a list that can be written down, cut and replayed.

Each fault stands for itself: it names machines by number, brings its own end, and does nothing where it does not apply
(a kill of a machine that is down). So every part of a list is a list, which is what `minimise` needs.
"""

from collections.abc import Sequence
from random import Random
from typing import Literal

import msgspec

What = Literal[
    "kill", "crash", "leave", "join", "stall", "mute", "partition", "cut", "slow", "jitter", "drop", "lie", "clock",
    "disk", "store", "remove", "fetch",
]  # fmt: skip
WORKLOAD: frozenset[str] = frozenset({"store", "remove", "fetch"})

Fate = Literal["", "gone", "blank", "disk"]
"""Of a machine that goes down: never seen again, back without what it had stored, or back with it."""


class Fault(msgspec.Struct, frozen=True, omit_defaults=True):
    """One thing that happens at a moment: a fault, or an operation of the workload. Times are seconds.

    kill: the process dies, its peers see resets. crash: the machine vanishes, and nobody is told. Both: back after
        `seconds` unless its fate is to be gone.
    leave: with a proper goodbye. join: a new machine.
    stall: nothing of it moves for `seconds`; then it goes on as if nothing had been. mute: it takes what it is sent and
        does nothing, until a watchdog restarts it with its disk after `seconds`.
    partition: `others` and the rest cannot reach each other for `seconds`. cut: its connection to others[0] is reset.
    slow: whatever it sends or gets takes `amount` longer, for `seconds`. jitter: every piece of every connection takes
        up to `amount` longer, for `seconds`, so that links overtake each other.
    drop: it acknowledges frames and forwards and answers nothing, for `seconds`; `how` "sly": its own upkeep goes on.
    lie: it answers Fetches as `how` says (`hostile.LIES`), for `seconds`.
    clock: its wall clock is off by `amount` from now on.
    disk: nothing can be written on its disk for `seconds`; `how` says why.
    store, remove: the user of the machine writes under its name. fetch: it looks up the user of machine others[0].
    """

    at: float
    what: What
    machine: int = 0
    others: tuple[int, ...] = ()
    seconds: float = 0.0
    amount: float = 0.0
    how: str = ""


# How often each kind of fault is drawn, in the mood in which it may be drawn at all.
_WEIGHTS: dict[str, float] = {
    "kill": 4, "crash": 1, "leave": 2, "join": 4, "stall": 2, "mute": 1, "partition": 0.7, "cut": 3, "slow": 1,
    "jitter": 0.5, "drop": 1, "lie": 1.5, "clock": 1, "disk": 1.5,
}  # fmt: skip
_FATES: Sequence[Fate] = ("gone", "gone", "blank", "disk", "disk", "disk")
_LIES = ("nothing", "forged", "stale", "refuse")
_DISK_FAULTS = ("no space left on device", "input/output error")
_CLOCK_JUMPS = (-86400.0, -3600.0, -30.0, -1.0, 1.0, 30.0, 3600.0, 86400.0)


def draw(random: Random, machines: int, seconds: float) -> list[Fault]:
    """Faults and a workload for that long, in the order in which they happen. `machines` are there from the start.

    A seed has a mood: some faults only, and more or fewer of them. All at once would hide behind each other what each
    alone can do."""
    moods = random.sample(sorted(_WEIGHTS), random.choice((2, 3, 5, len(_WEIGHTS))))
    count = random.choice((6, 12, 20, 30))
    known = machines
    drawn = []
    for at in sorted(random.uniform(0, seconds) for _ in range(count)):
        what = random.choices(moods, [_WEIGHTS[mood] for mood in moods])[0]
        drawn.append(_fault(random, what, at, known))  # type: ignore[arg-type]  # a key of _WEIGHTS is a What
        known += what == "join"
    drawn += [_operation(random, random.uniform(0, seconds), known) for _ in range(int(seconds))]
    return sorted(drawn, key=lambda fault: fault.at)


def _fault(random: Random, what: What, at: float, known: int) -> Fault:
    machine = known if what == "join" else random.randrange(known)
    long = round(random.choice((random.uniform(0.2, 3.0), random.uniform(3.0, 12.0), random.uniform(12.0, 45.0))), 2)
    others: tuple[int, ...] = ()
    amount, how = 0.0, ""
    if what in ("kill", "crash"):
        how = random.choice(_FATES)
    elif what == "partition":
        others = tuple(sorted(random.sample(range(known), random.randint(1, known // 2))))
    elif what == "cut":
        others = (random.randrange(known),)
    elif what in ("slow", "jitter"):
        amount = round(random.uniform(0.05, 1.0), 3)
    elif what == "drop":
        how = random.choice(("", "sly"))
    elif what == "lie":
        how = random.choice(_LIES)
    elif what == "disk":
        how = random.choice(_DISK_FAULTS)
    elif what == "clock":
        amount = random.choice(_CLOCK_JUMPS)
    return Fault(round(at, 3), what, machine, others, long, amount, how)


def _operation(random: Random, at: float, known: int) -> Fault:
    what: What = random.choice(("store", "store", "remove", "fetch", "fetch", "fetch"))
    others = (random.randrange(known),) if what == "fetch" else ()
    return Fault(round(at, 3), what, random.randrange(known), others)
