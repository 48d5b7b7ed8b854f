"""Scenario churn: sessions end at random and newcomers take their place, while everybody looks up."""

from math import log
from random import Random

import msgspec

from xor_fast.config import Overlay
from xor_fast.sim.run import overlay_for
from xor_fast.sim.scenarios.results import Account
from xor_fast.sim.scenarios.scenario import Chart, Claim, Options, Progress, Result
from xor_fast.sim.scenarios.stage import Key, Stage
from xor_fast.sim.world import Host

# What must succeed at these median sessions (seconds), the longest that is not above the one that is run counts.
CLAIMED = ((3600.0, 0.9999), (600.0, 0.999), (84.0, 0.97))
UPKEEP = 900.0  # bytes per peer and second, at sessions of an hour or more


class Churn:
    def __init__(self, options: Options, progress: Progress) -> None:
        self.stage: Stage = Stage(options, progress, overlay=_overlay(options))
        self.options = options
        self.mean: float = options.number("session") / log(2)
        self.lifetime: float = options.number("lifetime")
        self.deaths: int = 0
        self.random: Random = self.stage.world.random("churn")

    def begin(self, host: Host) -> None:
        """Its session, from the moment at which it is there."""
        self.stage.world.at(self.stage.world.now + self.random.expovariate(1 / self.mean), self.end, host)

    def end(self, host: Host) -> None:
        self.deaths += 1
        self.stage.kill(host, silently=self.random.random() < self.options.number("silent"))
        self.begin(self.stage.join(self._joined))

    def _joined(self, host: Host) -> None:
        self.stage.store(Key(host), self.lifetime)


def _overlay(options: Options) -> Overlay:
    """Whether its peers answer changes at once or with the next periodic Update (RFC 6940 10.7.1, 10.7.4.1)."""
    return msgspec.structs.replace(
        overlay_for(options.count("nodes")),
        reactive=options.text("recovery") == "reactive",
        update_interval=options.number("update_interval"),
    )


def churn(options: Options, progress: Progress) -> Result:
    """Sessions with an exponential length; each death is followed by a newcomer with a user of its own."""
    run = Churn(options, progress)
    stage = run.stage
    stage.settle()
    stage.store_all(stage.members, run.lifetime)
    for host in list(stage.members):
        run.begin(host)
    stage.run(options.number("warm"), "warming up")
    account = Account(stage)
    deaths = run.deaths
    stage.look_up_steadily(stage.nodes * options.number("lookups_per_minute") / 60)
    minutes: list[tuple[float, float]] = []
    upkeep: list[tuple[float, float]] = []
    began, total = stage.world.now, options.number("minutes") * 60
    while stage.world.now < began + total:
        before, failed, over = stage.meter.upkeep, stage.lookups.failed, stage.lookups.over
        for _ in range(60):
            progress("churning", stage.world.now - began, total)
            stage.world.run(1.0)
        minute = (stage.world.now - began) / 60
        share = (stage.lookups.failed - failed) / max(1, stage.lookups.over - over)
        minutes.append((minute, 100 * share))
        upkeep.append((minute, (stage.meter.upkeep - before) / 60 / stage.nodes))
    deaths = run.deaths - deaths
    stage.end_lookups()
    session = options.number("session")
    lookups = stage.lookups
    least = next((success for length, success in CLAIMED if session >= length), CLAIMED[-1][1])
    what = f"median session {session / 60:g} min, {options.text('recovery')} recovery"
    title = f"{stage.nodes} peers, {what}"
    result = account.result(
        [Claim(f"at least {least:.2%} of the lookups succeed", lookups.success >= least)],
        figures={"deaths": deaths, "members": len(stage.members), "median_session": session},
        rows={"churn": f"{what}: {deaths} deaths in {total / 60:g} min"},
        charts=[
            Chart(f"Lookups that fail: {title}", "minutes", "percent of the lookups", {"": minutes}),
            Chart(f"Upkeep: {title}", "minutes", "bytes per peer and second", {"": upkeep}),
        ],
    )
    rate = result.figures["upkeep_bytes_per_peer_second"]
    if session >= CLAIMED[0][0]:
        assert isinstance(rate, float)
        result.claims.append(Claim(f"upkeep is at most {UPKEEP:g} B/s per peer", rate <= UPKEEP))
    result.problems = []  # a few failures are within the claim
    return result
