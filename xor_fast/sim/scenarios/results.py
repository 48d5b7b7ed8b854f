"""From a stage to a Result: the figures that every scenario with many peers gives."""

from xor_fast.sim.meter import Stopwatch, memory_kib
from xor_fast.sim.scenarios.scenario import Chart, Claim, Result
from xor_fast.sim.scenarios.stage import Stage


class Account:
    """Opened when the part of a run begins that is to be measured."""

    def __init__(self, stage: Stage) -> None:
        self._stage = stage
        self._watch = Stopwatch(stage.world.now, sum(stage.meter.messages.values()))
        self._began = stage.world.now
        self._bytes = stage.meter.sent
        self._upkeep = stage.meter.upkeep
        self._trust = (stage.meter.signatures, stage.meter.certificates)
        self._total = stage.meter.total

    def result(
        self,
        claims: list[Claim],
        *,
        figures: dict[str, object] | None = None,
        rows: dict[str, str] | None = None,
        charts: list[Chart] | None = None,
        problems: list[str] | None = None,
    ) -> Result:
        """The common figures, and those of the scenario."""
        stage = self._stage
        seconds = max(stage.world.now - self._began, 1e-9)
        common, shown = self._lookups()
        rates = self._rates(seconds)
        speed = self._watch.figures(stage.world.now, sum(stage.meter.messages.values()))
        memory = (memory_kib() - stage.memory_before) / max(1, stage.nodes)
        upkeep = {
            "upkeep_bytes_per_peer_second": round((stage.meter.upkeep - self._upkeep) / seconds / stage.nodes, 1),
            "bytes_per_peer_second": rates,
            "signatures_share": round((stage.meter.signatures - self._trust[0]) / self._sent, 3),
            "certificates_share": round((stage.meter.certificates - self._trust[1]) / self._sent, 3),
        }
        shown |= {
            "upkeep": f"{upkeep['upkeep_bytes_per_peer_second']} B/s sent per peer, without lookups and Stores: "
            + ", ".join(f"{what} {rate}" for what, rate in rates.items()),
            "of all bytes": f"{upkeep['signatures_share']:.0%} are signatures and their signers' names, "
            f"{upkeep['certificates_share']:.0%} certificates",
            "speed": f"{speed['virtual_per_cpu_second']:g} virtual seconds and {speed['messages_per_cpu_second']:g} "
            f"messages a second of CPU; {speed['virtual_seconds']:g} s in {speed['cpu_seconds']:g} s, "
            f"{speed['messages_per_real_second']:g} messages a real second",
            "memory": f"{memory:.0f} KiB per peer",
        }
        return Result(
            seed=stage.options.seed,
            trace=stage.world.trace,
            figures={
                "nodes": stage.nodes,
                **common,
                **(figures or {}),
                **upkeep,
                **speed,
                "kib_per_peer": round(memory, 1),
            },
            rows={"peers": str(stage.nodes), **(rows or {}), **shown},
            claims=claims,
            charts=charts or [],
            problems=(problems or []) + stage.problems(stage.lookups.failures),
        )

    @property
    def _sent(self) -> int:
        return max(1, self._stage.meter.total - self._total)

    def _rates(self, seconds: float) -> dict[str, float]:
        """Bytes by what they are for, per peer and second, the most first."""
        sent = self._stage.meter.sent - self._bytes
        return {what: round(count / seconds / self._stage.nodes, 1) for what, count in sent.most_common()}

    def _lookups(self) -> tuple[dict[str, object], dict[str, str]]:
        lookups = self._stage.lookups
        figures: dict[str, object] = {
            "lookups": lookups.asked,
            "found": lookups.found,
            "failed": lookups.failed,
            "unheld": lookups.unheld,
            "stale": lookups.stale,
            "success": lookups.success,
            "mean_hops": round(lookups.mean_hops, 3),
            "max_hops": lookups.max_hops,
            "hops": {str(hops): count for hops, count in sorted(lookups.hops.items())},
            "failures": self._stage.problems(lookups.failures),
            "lookup_seconds": {"median": round(lookups.time(0.5), 3), "p99": round(lookups.time(0.99), 3)},
        }
        rows = {
            "lookups": f"{lookups.found} of {lookups.over} found ({lookups.success:.3%})"
            + (f"; {lookups.unheld} for values that nobody holds any more" if lookups.unheld else "")
            + (f"; {lookups.under_way.total()} came to no end" if lookups.under_way.total() else "")
            + (f"; {lookups.stale} older than the newest" if lookups.stale else ""),
            "hops": f"{lookups.mean_hops:.2f} links from asker to owner on average, at most {lookups.max_hops}",
            "time": f"half within {lookups.time(0.5):.2f} s, 99 % within {lookups.time(0.99):.2f} s",
        }
        return figures, rows
