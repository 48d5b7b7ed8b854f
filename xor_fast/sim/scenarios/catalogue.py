"""The one list of scenarios: `xor-fast sim list`."""

from xor_fast.sim.scenarios.churn import churn
from xor_fast.sim.scenarios.grow import grow
from xor_fast.sim.scenarios.misfits import clock, droppers, restart, slow
from xor_fast.sim.scenarios.scenario import (
    FINGERS,
    Parameter,
    Scenario,
    neighbours,
    nodes,
    one_of,
    rate,
    seconds,
    share,
    whole,
)
from xor_fast.sim.scenarios.splits import bridge, partition
from xor_fast.sim.scenarios.static import half, mute, paths

_RING = (neighbours(None), FINGERS)
_MINUTES = "minutes of virtual time"
_LOOKUPS = Parameter("lookups", 2000, whole(1, 1_000_000), "how many")

_ALL = (
    Scenario(
        "grow",
        "A ring from one node on, a value for every user, a lookup from elsewhere (what runs without a name).",
        (
            nodes(64),
            Parameter("lookups", None, whole(1, 1_000_000), "how many (default: one for each node)"),
            Parameter("signatures", "fake", one_of("fake", "real"), "fake, or real: ECDSA, some fifty times slower"),
        ),
        grow,
    ),
    Scenario(
        "paths",
        "Lookups in a ring at rest: over how many links does a request go?",
        (nodes(1024), *_RING, Parameter("lookups", 3000, whole(1, 1_000_000), "how many")),
        paths,
    ),
    Scenario(
        "half",
        "A share of the peers dies in the same instant: when is it one ring again, and is everything found?",
        (
            nodes(1000),
            neighbours(20),
            FINGERS,
            Parameter("share", 0.5, share, "of the peers that die"),
            Parameter("minutes", 21, whole(1, 600), _MINUTES),
        ),
        half,
    ),
    Scenario(
        "churn",
        "Sessions end at random, newcomers take their place: do lookups succeed, and what does it cost?",
        (
            nodes(1000),
            *_RING,
            Parameter("session", 3600.0, seconds, "median length of a session"),
            Parameter("recovery", "reactive", one_of("reactive", "periodic"), "of the neighbours and long links"),
            Parameter("update_interval", 600.0, seconds, "between periodic Updates, which both have"),
            Parameter("minutes", 60, whole(1, 10_000), _MINUTES),
            Parameter("warm", 120.0, seconds, "churn before anything is measured"),
            Parameter("silent", 0.1, share, "of the deaths that no kernel tells of"),
            Parameter("lifetime", 3600.0, seconds, "of the values; their writers store again before half of it"),
            Parameter("lookups_per_minute", 1.0, rate, "of each peer"),
        ),
        churn,
    ),
    Scenario(
        "mute",
        "A share of the peers hangs without a word: is every key with a living holder found?",
        (
            nodes(1000),
            *_RING,
            Parameter("share", 0.6, share, "of the peers that hang"),
            Parameter("rest", 330.0, seconds, "from then to the first lookup; a hung peer is noticed within 300 s"),
        ),
        mute,
    ),
    Scenario(
        "droppers",
        "A share of the peers says nothing about values and forwards nothing: how many lookups succeed?",
        (
            nodes(1000),
            *_RING,
            Parameter("share", 0.2, share, "of the peers that drop"),
            Parameter("how", "sly", one_of("sly", "all"), "sly: its own upkeep goes on, so it stays in all tables"),
            _LOOKUPS,
        ),
        droppers,
    ),
    Scenario(
        "partition",
        "The network splits in halves, both go on writing, and it is whole again: one ring, newest values?",
        (
            nodes(200),
            *_RING,
            Parameter("minutes", 10, whole(1, 600), "apart"),
            Parameter("rest", 60.0, seconds, "from one ring to the lookups"),
        ),
        partition,
    ),
    Scenario(
        "bridge",
        "Two overlays with mixed up bootstrap lists, and a machine that repeats in each what it hears in the other.",
        (nodes(128, least=4), *_RING, Parameter("minutes", 10, whole(1, 600), _MINUTES)),
        bridge,
    ),
    Scenario(
        "slow",
        "A share of the peers answers late: is everything found, and how often is one taken for dead?",
        (
            nodes(500),
            *_RING,
            Parameter("share", 0.2, share, "of the peers that are slow"),
            Parameter("delay", 0.4, seconds, "that each message to or from them takes longer"),
            _LOOKUPS,
        ),
        slow,
    ),
    Scenario(
        "restart",
        "A share of the peers is killed at once and started again, with disks or without: is anything lost?",
        (
            nodes(500),
            *_RING,
            Parameter("share", 0.3, share, "of the peers that are killed"),
            Parameter("away", 30.0, seconds, "until they are started again, on average"),
            Parameter("disk", "kept", one_of("kept", "blank"), "what they come back with"),
        ),
        restart,
    ),
    Scenario(
        "clock",
        "Wall clocks jump: do values live on, and do newer ones win?",
        (
            nodes(200),
            *_RING,
            Parameter("share", 0.3, share, "of the peers whose clock jumps"),
            Parameter("jump", 86400.0, seconds, "forwards or back"),
            _LOOKUPS,
        ),
        clock,
    ),
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
