"""Scenario grow: a ring from one node on, a value for every user, a lookup from elsewhere."""

import msgspec

from xor_fast.sim.meter import Stopwatch
from xor_fast.sim.real import real_overlay
from xor_fast.sim.run import MakeIdentity, fake_identity, overlay_for, simulate
from xor_fast.sim.scenarios.scenario import Claim, Options, Progress, Result


def grow(options: Options, progress: Progress) -> Result:
    nodes, signatures = options.count("nodes"), options.text("signatures")
    overlay = overlay_for(nodes)
    make_identity: MakeIdentity = fake_identity
    if signatures == "real":
        overlay, make_identity = real_overlay(overlay, options.seed)
    watch = Stopwatch(0.0, 0)
    lookups = options.maybe("lookups")
    report = simulate(
        nodes, options.seed, lookups=lookups, overlay=overlay, make_identity=make_identity, progress=progress
    )
    speed = watch.figures(report.virtual_seconds, 0)
    figures = msgspec.to_builtins(report)
    figures |= {"real_seconds": speed["real_seconds"], "cpu_seconds": speed["cpu_seconds"]}
    return Result(
        seed=options.seed,
        trace=report.trace,
        figures=figures,
        rows={
            "nodes": f"{nodes}, {'one ring' if report.one_ring else 'NOT ONE RING'}",
            "stored": f"{report.stored} of {nodes}",
            "lookups": f"{report.found} of {report.lookups} found",
            "hops": f"{report.mean_hops:.2f} on average, at most {report.max_hops}",
            "virtual time": f"{report.virtual_seconds:.1f} s in {speed['real_seconds']:.1f} s:"
            f" {report.virtual_seconds / max(speed['real_seconds'], 1e-3):.1f} seconds a second",
            "events": f"{report.events}, {report.bytes_carried} bytes carried",
        },
        claims=[
            Claim("one ring", report.one_ring),
            Claim("every value is stored", report.stored == nodes),
            Claim("every lookup finds its value", report.found == report.lookups),
        ],
        problems=report.problems,
    )
