"""Scenarios of one overlay that becomes two, and of two that must not become one."""

import msgspec

from xor_fast.cext import wire
from xor_fast.sim import checks
from xor_fast.sim.hostile import DATA
from xor_fast.sim.scenarios.results import Account
from xor_fast.sim.scenarios.scenario import Chart, Claim, Options, Progress, Result
from xor_fast.sim.scenarios.stage import Stage, each_side
from xor_fast.sim.scenarios.static import LIFETIME


def partition(options: Options, progress: Progress) -> Result:
    """The network splits in halves; both go on, write and read; then it is whole again."""
    stage = Stage(options, progress)
    stage.settle()
    keys = stage.store_all(stage.members, LIFETIME, refresh=False)
    stage.run(5.0, "resting")
    account = Account(stage)
    began, length = stage.world.now, options.number("minutes") * 60
    side = stage.random.sample(stage.members, stage.nodes // 2)
    stage.world.split([stage.world.machine_of[host] for host in side], length)
    wrong: list[tuple[float, float]] = []

    def look(phase: str, seconds: float) -> int:
        stage.run(seconds, phase)
        wrong.append(((stage.world.now - began) / 60, len(checks.wrong_neighbours(stage.world))))
        return int(wrong[-1][1])

    for part in range(20):
        if part in (6, 14):  # when each half is a ring of its own, everybody writes twice
            stage.rewrite(keys, LIFETIME)
        look("apart", length / 20)
    failed_apart = len(stage.stores_failed)
    period, healed_at = stage.world.overlay.update_interval, stage.world.now
    while look("healing", 5.0) and stage.world.now < healed_at + 2 * period:
        pass
    healed = stage.world.now - healed_at
    whole = not wrong[-1][1]
    look("resting", options.number("rest"))
    for _ in range(2):  # what a peer still has of the time before may come back later
        stage.look_up_all([*keys, *keys], gap=0.02)
        look("resting", options.number("rest"))
    lookups = stage.lookups
    claims = [
        Claim("one ring within two update periods of the healing", whole),
        Claim("every value is found", lookups.found == 4 * len(keys)),
        Claim("the newest that was acknowledged, nothing is rolled back", lookups.stale == 0),
    ]
    return account.result(
        claims,
        figures={"healed_seconds": healed, "stores_failed_apart": failed_apart},
        rows={
            "partition": f"{length / 60:g} min in halves, one ring {healed:.0f} s after (two update periods:"
            f" {2 * period:.0f} s); {failed_apart} Stores failed meanwhile",
        },
        charts=[
            Chart("A network in halves, and whole again", "minutes", "wrong entries in neighbour sets", {"": wrong})
        ],
    )


def bridge(options: Options, progress: Progress) -> Result:
    """Two overlays. Some peers of the one know bootstrap addresses of the other, and one machine that is in both says
    in each what it hears in the other, with the overlay's name exchanged."""
    stage = Stage(options, progress)
    other = msgspec.structs.replace(stage.world.overlay, instance_name="other.example")
    here = stage.settle(stage.nodes // 2)
    there = stage.settle(stage.nodes - len(here), overlay=other)
    account = Account(stage)
    side = each_side(len(here), options.maybe("neighbours"))
    for one, stranger in zip(here[:: side + 1], there[:: side + 1], strict=False):
        one.node.topology.partition.bootstrap = (stranger.address,)
        stranger.node.topology.partition.bootstrap = (one.address,)
    repeated = 0
    said: set[int] = set()
    bridges = {here[0]: there[0], there[0]: here[0]}
    hashes = {here[0]: other.overlay_hash, there[0]: stage.world.overlay.overlay_hash}

    def repeat(host: object, data: bytes) -> None:
        """What goes out of the bridge in one overlay goes out in the other as well."""
        nonlocal repeated
        twin = bridges.get(host)  # type: ignore[call-overload]
        if twin is None or stage.world.now > began + total:
            return
        for kind, _, message in wire.split_frames(data)[0]:
            if kind == DATA and isinstance(message, bytes) and message:
                transaction = wire.peek(message).transaction_id
                if transaction in said:
                    continue  # else it would go to and fro for ever
                said.add(transaction)
                repeated += 1
                renamed = message[:4] + hashes[host].to_bytes(4, "big") + message[8:]  # type: ignore[index]
                links = twin.node.switch.links()
                for frame in (message, renamed):
                    twin.node.switch.originate(stage.world.now, frame, links[repeated % len(links)])

    began, total = stage.world.now, options.number("minutes") * 60
    stage.world.frames = repeat
    stage.run(total, "bridging")
    own = {host.node.node_id for host in here}
    shared = sum(node_id not in own for host in here for node_id in host.node.ring)
    shared += sum(node_id in own for host in there for node_id in host.node.ring)
    dropped = sum(
        host.node.counters.get(name, 0) for host in (*here, *there) for name in ("drop_overlay", "drop_bad_signature")
    )
    claims = [
        Claim("no peer of the one overlay stands in a table of the other", shared == 0),
        Claim("strangers were met", dropped > 0 and repeated > 0),
    ]
    return account.result(
        claims,
        figures={"shared_entries": shared, "repeated": repeated, "dropped": dropped},
        rows={"bridge": f"{repeated} messages said again in the other overlay, {dropped} foreign messages dropped"},
    )
