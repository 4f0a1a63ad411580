"""The lake outside the images: made once, readable by an image's user, and a failure
that says what lakekit said.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from lake_ci.checks.docker.reference_lake import Outside
from lake_ci.errors import LakeCiError
from lake_ci.runner.check import Workbench
from lake_ci.system.processes import Completed


def made(argv: list[str]) -> Completed:
    """What `lakekit run` leaves, and `lakekit show` prints."""
    if "run" in argv:
        log = Path(argv[argv.index("--lake") + 1]) / "gold"
        log.mkdir(parents=True, mode=0o700)
        (log / "part.parquet").touch(mode=0o600)
        return Completed(tuple(argv), 0, "", "", 0.1)
    return Completed(tuple(argv), 0, json.dumps({"rows": [{"place": 1}]}), "", 0.1)


def test_the_lake_is_made_once_and_any_user_may_read_it(
    bench: Workbench, tmp_path: Path, answering: Callable[..., list[list[str]]]
) -> None:
    calls = answering(made)
    outside = Outside(tmp_path / "lake")
    assert outside.rows("gold.busiest_hours", bench) == [{"place": 1}]
    assert outside.lake(bench) == tmp_path / "lake"
    assert [argv[3] for argv in calls] == ["run", "show"]
    assert (tmp_path / "lake" / "gold").stat().st_mode & 0o777 == 0o755
    assert (tmp_path / "lake" / "gold" / "part.parquet").stat().st_mode & 0o777 == 0o644


@pytest.mark.parametrize("fails", ["run", "show"])
def test_a_command_that_fails_is_named_with_its_last_lines(
    bench: Workbench,
    tmp_path: Path,
    answering: Callable[..., list[list[str]]],
    fails: str,
) -> None:
    def answer(argv: list[str]) -> Completed:
        return (
            Completed(tuple(argv), 3, "", "no such source", 0.1)
            if fails in argv
            else made(argv)
        )

    answering(answer)
    with pytest.raises(
        LakeCiError, match=rf"lakekit {fails} .*exited with 3\nno such source"
    ):
        Outside(tmp_path / "lake").rows("gold.busiest_hours", bench)
