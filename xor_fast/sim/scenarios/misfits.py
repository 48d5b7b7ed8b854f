"""Scenarios in which a share of the peers is not as it should be: droppers, slow links, wrong clocks, restarts."""

from collections.abc import Callable
from functools import partial

from xor_fast.sim import checks
from xor_fast.sim.disk import VirtualDisk
from xor_fast.sim.scenarios.results import Account
from xor_fast.sim.scenarios.scenario import Chart, Claim, Options, Progress, Result
from xor_fast.sim.scenarios.stage import REWRITING, WAIT, Key, Stage
from xor_fast.sim.scenarios.static import LIFETIME
from xor_fast.sim.storm import Machine
from xor_fast.sim.world import Host

# How many lookups must succeed at these shares of droppers; the smallest that is not below the one that is run counts.
CLAIMED_DROPPERS = ((0.1, 0.99), (0.2, 0.98), (0.3, 0.90))
FOREVER = 1e9


def _prepared(options: Options, progress: Progress) -> tuple[Stage, list[Key], list[Host]]:
    """A settled ring with values, and the share of its hosts that will misbehave."""
    stage = Stage(options, progress)
    stage.settle()
    keys = stage.store_all(stage.members, LIFETIME, refresh=False)
    stage.run(5.0, "resting")
    return stage, keys, stage.draw(options.number("share"))


def _look_up(stage: Stage, lookups: int, rate: float) -> None:
    stage.look_up_steadily(rate)
    stage.run(lookups * 3 / rate + WAIT, "looking up", lambda: stage.lookups.asked >= lookups)
    stage.end_lookups()


def droppers(options: Options, progress: Progress) -> Result:
    """A share of the peers says nothing about values and forwards nothing, and yet stays in all tables."""
    stage, keys, odd = _prepared(options, progress)
    evil = set(odd)
    stage.honest = lambda host: host not in evil
    for host in odd:
        stage.world.drop(stage.world.machine_of[host], FOREVER, sly=options.text("how") == "sly")
    account = Account(stage)
    lost = stage.only_held()
    _look_up(stage, options.count("lookups"), stage.nodes / 60)
    asked, lookups = options.number("share"), stage.lookups
    least = next((success for part, success in CLAIMED_DROPPERS if asked <= part), 0.0)
    result = account.result(
        [Claim(f"at least {least:.0%} of the lookups of keys with an honest holder succeed", lookups.success >= least)],
        figures={"droppers": len(odd), "keys_without_honest_holder": lost},
        rows={"droppers": f"{len(odd)}; {lost} of {len(keys)} keys have no honest holder and are not asked for"},
    )
    result.problems = []  # a few failures are within the claim
    return result


def slow(options: Options, progress: Progress) -> Result:
    """Some peers answer late: a slow peer is not a dead one, not for long at least."""
    stage, _, odd = _prepared(options, progress)
    for host in odd:
        stage.world.slow(stage.world.machine_of[host], FOREVER, options.number("delay"))
    account = Account(stage)
    stage.only_held()
    before = _peers_lost(stage)
    _look_up(stage, options.count("lookups"), stage.nodes / 60)
    # By a neighbour, until the late ACK came: a link of two slow peers is new to it.
    missed = _peers_lost(stage) - before
    periods = 2 * stage.world.overlay.update_interval
    whole = stage.run(periods, "resting", lambda: checks.is_one_ring(stage.world))
    claims = [
        Claim("every lookup succeeds", stage.lookups.success == 1.0),
        Claim("one ring at the end", whole),
    ]
    return account.result(
        claims,
        figures={"slow": len(odd), "taken_for_dead": missed},
        rows={
            "slow": f"{len(odd)}, each message to and from them takes {options.number('delay'):g} s longer;"
            f" {missed} times one left a table for a moment"
        },
    )


def _peers_lost(stage: Stage) -> int:
    return sum(host.node.counters.get("peers_lost", 0) for host in stage.members)


def clock(options: Options, progress: Progress) -> Result:
    """Wall clocks jump; lifetimes do not follow them, and no writer's newer value loses against its older one."""
    stage, keys, odd = _prepared(options, progress)
    account = Account(stage)
    jump = options.number("jump")
    stage.only_held()
    for host in odd:
        stage.world.set_clock(stage.world.machine_of[host], stage.random.choice((-jump, jump)))
    stage.look_up_all(stage.keys)  # as it was stored: no life follows a clock
    before = len(stage.stores_failed)
    stage.rewrite(keys, LIFETIME)
    stage.run(REWRITING, "storing")  # all have begun
    stage.run(WAIT, "storing", lambda: stage.writing == 0)
    refused = len(stage.stores_failed) - before
    _look_up(stage, options.count("lookups") + len(stage.keys), stage.nodes / 60)
    claims = [
        Claim("every writer, whatever its clock says, can store again", refused == 0),
        Claim("every lookup finds the newest value", stage.lookups.success == 1.0 and stage.lookups.stale == 0),
    ]
    return account.result(
        claims,
        figures={"jumped": len(odd), "stores_refused": refused},
        rows={"clocks": f"{len(odd)} jumped by {jump:g} s, forwards or back; {refused} Stores refused afterwards"},
        problems=stage.stores_failed[before : before + 5],
    )


def restart(options: Options, progress: Progress) -> Result:
    """A share of the peers is killed at once and started again, with its disk or without."""
    stage, keys, odd = _prepared(options, progress)
    with_disk = options.text("disk") == "kept"
    account = Account(stage)
    machines = [stage.world.machine_of[host] for host in odd]
    disks = [host.disk for host in odd]
    for host in odd:
        stage.kill(host)
    survived = {key.user for key in keys if stage.holders(key)}
    back: list[Host] = []
    for machine, disk in zip(machines, disks, strict=True):
        wait = options.number("away") * stage.random.uniform(0.5, 1.5)
        again = partial(_back, stage, machine, disk if with_disk else None, back.append)
        stage.world.at(stage.world.now + wait, again)
    began, period = stage.world.now, stage.world.overlay.update_interval
    wrong: list[tuple[float, float]] = []
    whole = False
    while not whole and stage.world.now < began + 2 * period:
        stage.run(2.0, "starting again")
        wrong.append((stage.world.now - began, len(checks.wrong_neighbours(stage.world))))
        whole = len(back) == len(odd) and wrong[-1][1] == 0
    healed = stage.world.now - began
    stage.run(10.0, "resting")
    stage.keys = [key for key in keys if with_disk or key.user in survived]
    lost = [key.user.decode() for key in stage.keys if not stage.holders(key)]
    stage.look_up_all(stage.keys, gap=0.0)
    whose = "" if with_disk else " that a survivor held"
    claims = [
        Claim("one ring of all within two update periods", whole),
        Claim(f"no value{whose} is lost", not lost),
        Claim(f"every value{whose} is found", stage.lookups.found == len(stage.keys)),
    ]
    return account.result(
        claims,
        figures={"restarted": len(odd), "healed_seconds": healed, "keys_lost": len(lost), "survived": len(survived)},
        rows={
            "restarted": f"{len(odd)} at once, {'with' if with_disk else 'without'} their disks, one ring after"
            f" {healed:.0f} s; {len(keys) - len(survived)} of {len(keys)} keys had all their holders among them"
        },
        charts=[Chart("Restart", "seconds after the kill", "wrong entries in neighbour sets", {"": wrong})],
        problems=[f"lost: {user}" for user in lost[:5]],
    )


def _back(stage: Stage, machine: Machine, disk: VirtualDisk | None, joined: Callable[[Host], None]) -> None:
    stage.join(joined, stage.world.boot(machine, disk))
