"""The short form of `make survive`: what was acknowledged outlives `kill -9`, and is found all the while."""

from pathlib import Path

import pytest

from tests.processes.survive import FOUND, Settings, survive

pytestmark = pytest.mark.timeout(300)


def test_two_at_a_time_are_killed_until_a_third_is_gone(tmp_path: Path) -> None:
    settings = Settings(nodes=14, stores=500, hold_down=2.0, scenarios=("pairs",))
    (report,) = survive(settings, tmp_path)
    for row in report.rows:
        print(row)
    assert report.lost == []
    assert report.found >= FOUND
    assert report.holds, "each pair was repaired before the next was killed"
    assert report.rows[-1].gone >= settings.share * settings.nodes


def test_a_third_is_killed_at_once_and_started_again_with_its_disks(tmp_path: Path) -> None:
    """Some values lay on none but those."""
    settings = Settings(nodes=12, stores=500, hold_down=2.0, outage=3.0, scenarios=("restart",))
    (report,) = survive(settings, tmp_path)
    for row in report.rows:
        print(row)
    assert report.lost == []
    assert report.holds, "it is one ring again in which each node holds what it should"
    assert ": 0 values" not in report.rows[1].step


def test_all_are_killed_at_once_and_started_again(tmp_path: Path) -> None:
    """As when the power of the whole place fails: what was acknowledged is on the disks and nowhere else."""
    (report,) = survive(Settings(nodes=6, stores=300, hold_down=2.0, scenarios=("blackout",)), tmp_path)
    for row in report.rows:
        print(row)
    assert report.lost == []
    assert report.holds, "it is one ring again in which each node holds what it should"
