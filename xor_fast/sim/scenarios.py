"""The one list of scenarios: `xor-fast sim list`."""

from xor_fast.sim.churn import churn
from xor_fast.sim.grow import grow
from xor_fast.sim.scenario import FINGERS, NEIGHBOURS, Parameter, Scenario, nodes, one_of, seconds, share, whole
from xor_fast.sim.static import half, mute, paths

_RING = (NEIGHBOURS, FINGERS)
_MINUTES = "minutes of virtual time"

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
            Parameter("neighbours", 20, whole(3, 64), "successors and predecessors each"),
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
            Parameter("minutes", 60, whole(1, 10_000), _MINUTES),
            Parameter("warm", 120.0, seconds, "churn before anything is measured"),
            Parameter("silent", 0.1, share, "of the deaths that no kernel tells of"),
            Parameter("lifetime", 3600.0, seconds, "of the values; their writers store again before half of it"),
            Parameter("lookups_per_minute", 1.0, float, "of each peer"),
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
            Parameter("rest", 60.0, seconds, "from then to the first lookup"),
        ),
        mute,
    ),
)
SCENARIOS: dict[str, Scenario] = {scenario.name: scenario for scenario in _ALL}
