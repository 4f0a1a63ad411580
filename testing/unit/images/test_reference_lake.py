"""The reference lake is created only once, and every image's user can read it. If the
creation of the lake fails, the error contains lakekit's output.
"""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from testing.images.containers import Completed
from testing.images.reference_lake import ReferenceLake


class Lakekit:
    """A fake lakekit with the commands `run` and `show`. The command whose name is
    `fails` fails.
    """

    def __init__(self, fails: str = "") -> None:
        self.fails = fails
        self.calls: list[str] = []

    def __call__(self, *arguments: str) -> Completed:
        self.calls.append(arguments[0])
        if arguments[0] == "run":
            log = Path(arguments[arguments.index("--lake") + 1]) / "gold"
            log.mkdir(parents=True, mode=0o700)
            (log / "part.parquet").touch(mode=0o600)
        if arguments[0] == self.fails:
            return Completed(arguments, 3, "", "reading\nno such source\n")
        return Completed(arguments, 0, json.dumps({"rows": [{"rank": 1}]}), "")


def test_lake_is_made_once_and_any_user_may_read_it(tmp_path: Path) -> None:
    lakekit = Lakekit()
    lake = ReferenceLake(tmp_path / "lake", lakekit)
    # Each image's tests create their own object for the same lake.
    for each in (lake, ReferenceLake(tmp_path / "lake", lakekit)):
        assert each.make() == tmp_path / "lake"
    assert lake.rows("gold.busiest_hours") == [{"rank": 1}]
    assert lakekit.calls == ["run", "show"]
    assert (tmp_path / "lake" / "gold").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "lake" / "gold" / "part.parquet").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fails", ["run", "show"])
def test_command_that_fails_is_named_with_its_last_lines(
    tmp_path: Path, fails: str
) -> None:
    lake = ReferenceLake(tmp_path / "lake", Lakekit(fails))
    expected = rf"lakekit {fails} .*exited with 3: no such source\nreading"
    with pytest.raises(pytest.fail.Exception, match=expected):
        lake.rows("gold.busiest_hours")


def test_lake_of_a_run_that_failed_is_not_used(tmp_path: Path) -> None:
    with pytest.raises(pytest.fail.Exception):
        ReferenceLake(tmp_path / "lake", Lakekit("run")).make()
    lakekit = Lakekit()
    ReferenceLake(tmp_path / "lake", lakekit).make()
    assert lakekit.calls == ["run"]
