"""Tests that only one module of the suite uses private parts of nox."""

from __future__ import annotations

import ast
import json
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

import lake_ci
from lake_ci.runner import nox_adapter

PACKAGE = Path(lake_ci.__file__).parent


@pytest.mark.parametrize("text", [None, "", "{", "{}"])
def test_a_report_that_nox_did_not_finish_says_nothing(
    tmp_path: Path, text: str | None
) -> None:
    if text is not None:
        (tmp_path / "report.json").write_text(text)
    assert nox_adapter.read_report(tmp_path / "report.json") == {}


def test_nox_report_is_read_by_every_name_of_a_session(tmp_path: Path) -> None:
    entry = {"signatures": ["tests(java11)", "tests-3.10(java11)"], "result": "success"}
    (tmp_path / "report.json").write_text(
        json.dumps({"result": 1, "sessions": [entry]})
    )
    assert nox_adapter.read_report(tmp_path / "report.json") == {
        "tests(java11)": entry,
        "tests-3.10(java11)": entry,
    }


@pytest.mark.parametrize(
    ("outer", "parallel", "expected"),
    [
        ([], None, None),
        ([], "3", "3"),
        (["-j", "7"], None, "7"),
    ],
)
def test_the_inner_nox_gets_the_outer_ones_options_and_runs_in_parallel(
    tmp_path: Path, outer: list[str], parallel: str | None, expected: str | None
) -> None:
    from nox import _options

    config = _options.options.parse_args(
        [*outer, "-x", "-R", "-s", "pipeline", "--", "--event", "push"]
    )
    number = nox_adapter.workers(config, parallel)
    argv = nox_adapter.command(
        config, ["lint", "tests-3.10(java17)"], tmp_path / "report.json", number
    )
    assert argv[:3] == [sys.executable, "-m", "nox"]
    at_once = argv[argv.index("--parallel") + 1]
    assert (
        at_once == expected if expected else int(at_once) >= 1
    )  # if no number is given, one worker per processor
    assert "--stop-on-first-error" in argv
    assert "--event" not in argv
    assert "pipeline" not in argv
    assert "tests-3.10(java17)" in argv
    # The configuration of the nox that runs the pipeline must not change.
    assert config.sessions == ["pipeline"]


@pytest.mark.parametrize(
    "entry, missing, need",
    [
        ({"reason": "Python interpreter 3.9 not found"}, "3.9", None),
        ({"reason": "Prerequisite session build was not successful"}, None, "build"),
        ({"reason": "a session.error of its own"}, None, None),
        ({"reason": None}, None, None),
    ],
)
def test_noxs_words_tell_what_was_missing(
    entry: dict[str, str | None], missing: str | None, need: str | None
) -> None:
    entry = {"result": "aborted", **entry}
    assert nox_adapter.missing_interpreter(entry) == missing
    assert nox_adapter.failed_need(entry) == need


def private_uses(source: str, name: str) -> Iterator[str]:
    """Yield each line in which a module uses a private part of nox, as `NAME:LINE`."""
    private = ("._runner", "virtualenv._reused", "sessions._normalize_path")
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            words = [each.name for each in node.names]
        elif isinstance(node, ast.ImportFrom):
            words = [f"{node.module}.{each.name}" for each in node.names]
        elif isinstance(node, ast.Attribute):
            words = ["nox._"] if ast.unparse(node).endswith(private) else []
        else:
            continue
        if any(word.startswith("nox._") for word in words):
            yield f"{name}:{node.lineno}"


@pytest.mark.parametrize(
    "line", ["from nox import _options", "import nox._cli", "session._runner.x"]
)
def test_a_private_part_is_seen(line: str) -> None:
    assert list(private_uses(f"import nox\n{line}\n", "a.py")) == ["a.py:2"]


def test_no_other_module_reads_private_parts() -> None:
    sources = {file: file.read_text("utf-8") for file in PACKAGE.rglob("*.py")}
    found = [
        use for file, text in sources.items() for use in private_uses(text, str(file))
    ]
    assert found
    assert {each.rpartition(":")[0] for each in found} == {nox_adapter.__file__}
