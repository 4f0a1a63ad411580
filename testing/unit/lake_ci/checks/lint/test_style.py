"""Tests the parsers of the output that flake8, black, isort and mypy print for faulty
files.
"""

from __future__ import annotations

from collections.abc import Callable

import pytest

from lake_ci.checks.lint.style import Black, Flake8, Format, Isort, Mypy, SortImports
from lake_ci.model.results import Finding, Status
from lake_ci.runner.check import CheckContext, CommandCheck
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]

FLAKE8 = (
    "a b/odd name.py\t2\tE221\tmultiple spaces before operator\n"
    "pkg/broken.py\t1\tE999\tSyntaxError: invalid syntax\n"
    "pkg/defect.py\t1\tF401\t'os' imported but unused\n"
    "pkg/tabs.py\t3\tW191\tindentation contains tabs\tand spaces\n"
)
BLACK_OUT = """\
--- {root}/pkg/defect.py\t2026-11-23 06:08:14.946319+00:00
+++ {root}/pkg/defect.py\t2026-11-23 06:08:15.852459+00:00
@@ -1,13 +1,13 @@
 import os
 import json
\x20
\x20
 def f(x=[]):
-    return x+1
+    return x + 1
\x20
\x20
 def g(a, b):
-  try:
-    return undefined
+    try:
+        return undefined
"""
BLACK_ERRORS = """\
would reformat {root}/pkg/defect.py
error: cannot parse for target version Python 3.9: {root}/pkg/broken.py:1:6
    def f(:
         ^
ParseError: bad input
error: cannot parse: {root}/a b/odd: name.py:7:8
    x = 1 if
           ^
ParseError: bad input
error: cannot format {root}/pkg/encoding.py: invalid or missing encoding declaration

Oh no! 💥 💔 💥
1 file would be reformatted, 3 files would fail to reformat.
"""
BLACK_CLEAN = """\
All done! ✨ 🍰 ✨
1 file would be left unchanged.
"""
BLACK_USAGE = """\
Usage: black [OPTIONS] SRC ...
Try 'black --help' for help.

Error: Invalid value for 'SRC ...': Path 'nofile.py' does not exist.
"""
ISORT = """\
--- {root}/pkg/typed.py:before\t2026-11-23 06:08:14.947809
+++ {root}/pkg/typed.py:after\t2026-11-23 06:08:16.390614
@@ -5,4 +5,6 @@
 add("1", 2)
 add(1)
 import nothere
+
+
 def un(x): return x
--- {root}/pkg/defect.py:before\t2026-11-23 06:08:14.946319
+++ {root}/pkg/defect.py:after\t2026-11-23 06:08:16.391319
@@ -1,5 +1,5 @@
+import json
 import os
-import json
\x20
\x20
 def f(x=[]):
"""
ISORT_ERRORS = """\
ERROR: {root}/pkg/typed.py Imports are incorrectly sorted and/or formatted.
ERROR: {root}/pkg/defect.py Imports are incorrectly sorted and/or formatted.
"""
MYPY = (
    '{"file": "pkg/typed.py", "line": 2, "column": 11, "end_line": 2, "end_column": 16,'
    ' "message": "Incompatible return value type (got \\"int\\", expected \\"str\\")",'
    ' "hint": null, "code": "return-value", "severity": "error"}\n{"file":'
    ' "pkg/typed.py", "line": 7, "column": 0, "end_line": 7, "end_column": 1,'
    ' "message": "Cannot find implementation or library stub for module named'
    ' \\"nothere\\"", "hint": "See'
    ' https://mypy.readthedocs.io/en/stable/running_mypy.html#missing-imports", "code":'
    ' "import-not-found", "severity": "error"}\n{"file": "pkg/typed.py", "line": 8,'
    ' "column": 0, "message": "Revealed type is \\"int\\"", "hint": null, "code":'
    ' "misc", "severity": "note"}\n{"file": "pkg/typed.py", "line": -1, "column": -1,'
    ' "message": "Source file found twice", "hint": null, "code": null, "severity":'
    ' "error"}\n'
)
MYPY_SYNTAX = (
    '{"file": "pkg/broken.py", "line": 1, "column": 8, "end_line": 1, "end_column": 9,'
    ' "message": "Expected `)`, found newline", "hint": null, "code": "syntax",'
    ' "severity": "error"}\n'
)
MYPY_USAGE = """\
usage: mypy [-h] [-v] [-V] [more options; see below]
            [-m MODULE] [-p PACKAGE] [-c PROGRAM_TEXT] [files ...]
mypy: error: unrecognized arguments: --bogus
"""
MYPY_INTERNAL = (
    "pkg/typed.py:1: error: INTERNAL ERROR -- Please try using mypy master on GitHub\n"
)


def completed(code: int, stdout: str = "", stderr: str = "") -> Completed:
    return Completed(("tool",), code, stdout, stderr, 0.1)


def places(findings: tuple[Finding, ...]) -> list[tuple[str, str]]:
    return [(finding.place, finding.rule) for finding in findings]


def test_flake8_findings_have_place_rule_and_message(
    ctx: CheckContext, answering: Answering
) -> None:
    (ctx.root / "one.py").write_text("X = 1\n", encoding="utf-8")
    answering(completed(1, FLAKE8))
    outcome = Flake8().run(ctx)
    assert places(outcome.findings) == [
        ("a b/odd name.py:2", "E221"),
        ("pkg/broken.py:1", "E999"),
        ("pkg/defect.py:1", "F401"),
        ("pkg/tabs.py:3", "W191"),
    ]
    assert outcome.findings[2].message == "'os' imported but unused"


def test_black_findings_are_first_changed_lines_and_unreadable_files(
    ctx: CheckContext, answering: Answering
) -> None:
    root = str(ctx.root)
    (ctx.root / "one.py").write_text("X = 1\n", encoding="utf-8")
    checked = completed(123, stderr=BLACK_ERRORS.replace("{root}", root))
    calls = answering(checked, completed(0, BLACK_OUT.replace("{root}", root)))
    outcome = Black().run(ctx)
    assert calls[1][1:] == ["--diff", "--quiet", f"{root}/pkg/defect.py"]
    assert outcome.status is Status.FAILURE
    assert places(outcome.findings) == [
        ("pkg/defect.py:6", "format"),
        ("pkg/broken.py:1", "parse"),
        ("a b/odd: name.py:7", "parse"),
        ("pkg/encoding.py:1", "error"),
    ]
    assert [finding.message for finding in outcome.findings] == [
        "black would change this; run `nox -s format`",
        "cannot parse for target version Python 3.9",
        "cannot parse",
        "invalid or missing encoding declaration",
    ]


def test_isort_findings_are_the_first_lines_to_change(
    ctx: CheckContext, answering: Answering
) -> None:
    root = str(ctx.root)
    (ctx.root / "one.py").write_text("X = 1\n", encoding="utf-8")
    answering(
        completed(
            1, ISORT.replace("{root}", root), ISORT_ERRORS.replace("{root}", root)
        )
    )
    outcome = Isort().run(ctx)
    assert places(outcome.findings) == [
        ("pkg/typed.py:8", "order"),
        ("pkg/defect.py:1", "order"),
    ]
    assert outcome.findings[0].message == "isort would change this; run `nox -s format`"


def test_mypy_errors_are_findings_with_their_hints_and_notes_are_not(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(completed(1, MYPY))
    outcome = Mypy().run(ctx)
    assert places(outcome.findings) == [
        ("pkg/typed.py:2", "return-value"),
        ("pkg/typed.py:7", "import-not-found"),
        ("pkg/typed.py:1", "error"),
    ]
    assert (
        outcome.findings[1]
        .message.splitlines()[1]
        .startswith("See https://mypy.readthedocs.io/")
    )


def test_mypy_that_prints_only_notes_succeeds(
    ctx: CheckContext, answering: Answering
) -> None:
    notes = [line for line in MYPY.splitlines() if '"note"' in line]
    answering(completed(1, "\n".join(notes)))
    assert Mypy().run(ctx).status is Status.SUCCESS
    answering(completed(1))
    assert [each.rule for each in Mypy().run(ctx).findings] == ["crash"]


def test_a_file_that_mypy_cannot_parse_is_a_finding_with_its_line(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(completed(2, MYPY_SYNTAX))
    outcome = Mypy().run(ctx)
    assert places(outcome.findings) == [("pkg/broken.py:1", "syntax")]


def test_a_setting_that_mypy_does_not_know_is_a_finding(
    ctx: CheckContext, answering: Answering
) -> None:
    answering(
        completed(
            0, "", "pyproject.toml: [mypy]: Unrecognized option: strickt = True\n"
        )
    )
    outcome = Mypy().run(ctx)
    assert outcome.status is Status.FAILURE
    assert [
        (finding.file, finding.rule, finding.message) for finding in outcome.findings
    ] == [("pyproject.toml", "setting", "[mypy]: Unrecognized option: strickt = True")]


@pytest.mark.parametrize(
    ("tool", "done"),
    [
        (Flake8(), completed(0)),
        (Black(), completed(0, stderr=BLACK_CLEAN)),
        (Isort(), completed(0)),
        (Mypy(), completed(0)),
        (Format(), completed(0)),
        (SortImports(), completed(0)),
    ],
)
def test_a_clean_run_is_success(
    ctx: CheckContext, answering: Answering, tool: CommandCheck, done: Completed
) -> None:
    answering(done)
    assert tool.run(ctx).status is Status.SUCCESS


@pytest.mark.parametrize(
    ("tool", "done", "last_line"),
    [
        (
            Flake8(),
            completed(
                2,
                "usage: flake8 [options] file file ...\nflake8: error: unrecognized"
                " arguments: --bogus",
            ),
            "flake8: error: unrecognized arguments: --bogus",
        ),
        (
            Flake8(),
            completed(1, "There was a critical error during execution of Flake8:\n"),
            "of Flake8:",
        ),
        (Black(), completed(2, stderr=BLACK_USAGE), "Path 'nofile.py' does not exist."),
        (
            Black(),
            completed(123, stderr="Oh no!\n1 file would fail to reformat."),
            "fail to reformat.",
        ),
        (Isort(), completed(1, stderr="Broken 1 paths"), "Broken 1 paths"),
        (Mypy(), completed(2, stderr=MYPY_USAGE), "unrecognized arguments: --bogus"),
        (
            Mypy(),
            completed(
                2,
                stderr="nofile.py: error: Cannot read file: No such file or directory",
            ),
            "directory",
        ),
        (Mypy(), completed(2, MYPY_INTERNAL), "using mypy master on GitHub"),
        (Mypy(), completed(1, "Success: no issues found"), "no issues found"),
        (Mypy(), completed(1, '{"file": "a.py"}'), '{"file": "a.py"}'),
        (Mypy(), completed(1, "[]"), "[]"),
        (
            Format(),
            completed(123, stderr="error: cannot format a.py"),
            "error: cannot format a.py",
        ),
        (SortImports(), completed(1, stderr="ERROR: no"), "ERROR: no"),
    ],
)
def test_output_of_another_kind_is_a_crash_with_the_tools_last_lines(
    ctx: CheckContext,
    answering: Answering,
    tool: CommandCheck,
    done: Completed,
    last_line: str,
) -> None:
    (ctx.root / "one.py").write_text("X = 1\n", encoding="utf-8")
    answering(done)
    outcome = tool.run(ctx)
    assert outcome.status is Status.FAILURE
    [finding] = outcome.findings
    assert finding.rule == "crash"
    assert finding.message.endswith(last_line)


@pytest.mark.parametrize("tool", [Flake8(), Black(), Isort(), Format(), SortImports()])
def test_the_files_are_those_of_git_or_those_that_were_typed(
    ctx: CheckContext, answering: Answering, tool: CommandCheck
) -> None:
    (ctx.root / "a b.py").touch()
    (ctx.root / "reports" / "ignored.py").touch()
    calls = answering(completed(0))
    tool.run(ctx)
    ctx.posargs = ("one.py", "two.py")
    tool.run(ctx)
    assert calls[0][-1] == "a b.py"
    assert "reports/ignored.py" not in calls[0]
    assert calls[1][-2:] == ["one.py", "two.py"]
    assert calls[0][0] == ctx.bin(tool.name)


def test_mypy_looks_at_what_pyproject_names_unless_files_are_typed(
    ctx: CheckContext, answering: Answering
) -> None:
    calls = answering(completed(0))
    Mypy().run(ctx)
    ctx.posargs = ("one.py",)
    Mypy().run(ctx)
    assert calls == [
        [ctx.bin("mypy"), "--output=json", "--no-error-summary"],
        [ctx.bin("mypy"), "--output=json", "--no-error-summary", "one.py"],
    ]


def test_only_what_rewrites_files_must_be_alone() -> None:
    assert [tool.exclusive for tool in (Flake8(), Black(), Isort(), Mypy())] == [
        False
    ] * 4
    assert [tool.exclusive for tool in (SortImports(), Format())] == [True, True]


@pytest.mark.parametrize(
    ("tool", "code", "output", "place"),
    [
        (
            Flake8(),
            1,
            "two.py\t1\tF401\t'os' imported but unused\n",
            ("two.py:1", "F401"),
        ),
        (
            Isort(),
            1,
            "--- {root}/two.py:before\t2026-11-23 06:08:14.947809\n"
            "+++ {root}/two.py:after\t2026-11-23 06:08:16.390614\n"
            "@@ -1,2 +1,2 @@\n+import json\n import os\n-import json\n",
            ("two.py:1", "order"),
        ),
    ],
)
def test_a_tool_is_given_only_the_files_not_known_to_be_clean(
    ctx: CheckContext,
    answering: Answering,
    tool: CommandCheck,
    code: int,
    output: str,
    place: tuple[str, str],
) -> None:
    for name in ("one.py", "two.py"):
        (ctx.root / name).write_text("X = 1\n", encoding="utf-8")
    calls = answering(completed(0))
    first = tool.run(ctx)
    assert {"one.py", "two.py"} <= set(calls[0])
    again = tool.run(ctx)
    assert len(calls) == 1
    assert first.status is again.status is Status.SUCCESS
    assert again.detail.endswith("none changed")
    (ctx.root / "two.py").write_text("import os\nimport json\n", encoding="utf-8")
    found = completed(code, output.replace("{root}", str(ctx.root)))
    for _ in range(2):
        calls = answering(found)
        assert places(tool.run(ctx).findings) == [place]
        assert calls[0][-1] == "two.py"
        assert "one.py" not in calls[0]


def test_a_new_module_makes_isort_sort_all_files_again(
    ctx: CheckContext, answering: Answering
) -> None:
    (ctx.root / "pyproject.toml").write_text(
        '[tool.isort]\nsrc_paths = ["src"]\n', encoding="utf-8"
    )
    (ctx.root / "one.py").write_text("import requests\n", encoding="utf-8")
    calls = answering(completed(0))
    Isort().run(ctx)
    (ctx.root / "src").mkdir()
    (ctx.root / "src" / "notes.txt").touch()
    Isort().run(ctx)
    assert len(calls) == 1
    (ctx.root / "src" / "requests.py").touch()
    Isort().run(ctx)
    assert "one.py" in calls[1]


@pytest.mark.parametrize("tool", [Flake8(), Black(), Isort()])
def test_a_crash_makes_no_file_known(
    ctx: CheckContext, answering: Answering, tool: CommandCheck
) -> None:
    (ctx.root / "one.py").write_text("X = 1\n", encoding="utf-8")
    answering(completed(1, stderr="There was a critical error during execution"))
    assert tool.run(ctx).status is Status.FAILURE
    calls = answering(completed(0))
    assert tool.run(ctx).status is Status.SUCCESS
    assert "one.py" in calls[0]
