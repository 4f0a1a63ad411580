"""The image `dev` runs nox and unit tests in a mounted checkout, even with a user id
that is unknown in the image.
"""

from __future__ import annotations

from testing.images.containers import OFFLINE, Engine, reason
from testing.images.reference_lake import ROOT

MODULE = "testing/unit/lakekit/declarations/test_tables.py"
OPTIONS = (
    OFFLINE,
    "--cap-drop=ALL",
    "--user=12345:12345",
    "--tmpfs=/tmp:rw,exec",
    f"--volume={ROOT}:/work:ro",
)


def test_nox_lists_its_sessions(engine: Engine) -> None:
    listed = engine.run("nox", "-l", options=OPTIONS)
    assert listed.returncode == 0, reason("nox -l", listed)
    assert "* pipeline" in listed.stdout


def test_unit_tests_pass(engine: Engine) -> None:
    test = ("python", "-m", "pytest", "-q", "-p", "no:cacheprovider", MODULE)
    tested = engine.run(*test, options=OPTIONS)
    assert tested.returncode == 0, reason(MODULE, tested)
    assert " passed" in tested.stdout
