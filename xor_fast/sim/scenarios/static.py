"""Scenarios of a ring that does not change, or changes once: path lengths, half of it dead, the most of it mute."""

from math import log2

from xor_fast.sim import checks
from xor_fast.sim.scenarios.results import Account
from xor_fast.sim.scenarios.scenario import Chart, Claim, Options, Progress, Result
from xor_fast.sim.scenarios.stage import Stage

# Mean path lengths for 16 random fingers and the RFC's neighbour sets, by log2 of the number of peers.
EXPECTED_HOPS = {6: 3.46, 8: 4.57, 10: 5.46, 12: 6.45}
LIFETIME = 86400.0


def paths(options: Options, progress: Progress) -> Result:
    """Lookups in a ring at rest: over how many links a request goes."""
    stage = Stage(options, progress)
    stage.settle()
    stage.store_all(stage.members, LIFETIME, refresh=False)
    stage.only_held()
    account = Account(stage)
    count = options.count("lookups")
    stage.look_up_steadily(stage.nodes / 6)
    stage.run(60 * count, "looking up", lambda: stage.lookups.asked >= count)
    stage.end_lookups()
    lookups, ceiling = stage.lookups, log2(stage.nodes) + 5
    claims = [
        Claim("every lookup finds its value", lookups.success == 1.0),
        Claim(f"no path is longer than log2 N + 5 = {ceiling:.1f} links", lookups.max_hops <= ceiling),
    ]
    expected = EXPECTED_HOPS.get(round(log2(stage.nodes)))
    if expected is not None and stage.nodes == 1 << round(log2(stage.nodes)):
        within = lookups.mean_hops <= 1.05 * expected
        claims.append(Claim(f"the mean path is at most 1.05 times {expected} links", within))
    chart = Chart(
        f"Path length, {stage.nodes} peers",
        "links from asker to owner",
        "share of lookups",
        {"": [(hops, part / max(1, lookups.found)) for hops, part in sorted(lookups.hops.items())]},
        labels=[str(hops) for hops in sorted(lookups.hops)],
    )
    return account.result(claims, charts=[chart])


def half(options: Options, progress: Progress) -> Result:
    """A share of the peers dies in the same instant; the others look up all the while."""
    stage = Stage(options, progress)
    stage.settle()
    keys = stage.store_all(stage.members, LIFETIME, refresh=False)
    stage.run(5.0, "resting")
    dead = stage.draw(options.number("share"))
    for host in dead:
        stage.kill(host)
    account = Account(stage)
    lost = stage.only_held()
    period = stage.world.overlay.update_interval
    began = stage.world.now
    stage.look_up_steadily(stage.nodes / 60)
    wrong: list[tuple[float, float]] = []
    healed: float | None = None
    while stage.world.now < began + options.number("minutes") * 60:
        wrong.append((stage.world.now - began, len(checks.wrong_neighbours(stage.world))))
        if not wrong[-1][1] and healed is None:
            healed = stage.world.now - began
        elif wrong[-1][1]:
            healed = None
        done = stage.world.now - began
        progress("healing", done, options.number("minutes") * 60)
        stage.world.run(1.0 if done < 60 else 5.0)
    stage.end_lookups()
    claims = [
        Claim("one ring within two update periods", healed is not None and healed <= 2 * period),
        Claim("no lookup of a key that a living peer holds fails", stage.lookups.success == 1.0),
    ]
    when = "NEVER" if healed is None else f"after {healed:.0f} s"
    return account.result(
        claims,
        figures={"killed": len(dead), "healed_seconds": healed, "keys": len(keys), "keys_lost": lost},
        rows={
            "killed": f"{len(dead)} in the same instant; {lost} of {len(keys)} keys had all their holders among them",
            "one ring": f"{when} (two update periods: {2 * period:.0f} s)",
        },
        charts=[
            Chart(
                f"{len(dead)} of {stage.nodes} peers die at once",
                "seconds after",
                "wrong entries in neighbour sets",
                {"": wrong},
            )
        ],
    )


def mute(options: Options, progress: Progress) -> Result:
    """A share of the peers hangs: it takes bytes and does nothing, and only silence tells."""
    stage = Stage(options, progress)
    stage.settle()
    keys = stage.store_all(stage.members, LIFETIME, refresh=False)
    stage.run(5.0, "resting")
    for host in stage.draw(options.number("share")):
        host.is_mute = True
        stage.leave_stage(host)
    account = Account(stage)
    began = stage.world.now
    lost = stage.only_held()
    stage.run(options.number("rest"), "noticing")
    stage.look_up_all(stage.keys)
    claims = [Claim("every key with a living holder is found", stage.lookups.success == 1.0)]
    silent = stage.nodes - len(stage.members)
    return account.result(
        claims,
        figures={"mute": silent, "keys": len(keys), "keys_lost": lost, "waited": stage.world.now - began},
        rows={"mute": f"{silent}; {lost} of {len(keys)} keys had all their holders among them"},
    )
