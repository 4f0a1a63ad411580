"""A scanner of files scans only changed files, but reports all findings."""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from lake_ci.checks.security.accepted_risks import Register
from lake_ci.checks.security.file_scanner import FileScanner
from lake_ci.checks.security.sarif import SecurityFinding
from lake_ci.model.results import Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

FILES = ["a.py", "b.py", "notes.md"]


class Sniffer(FileScanner):
    """A scanner that runs the command `sniff`, which `Nose` fakes."""

    name = "sniffer"
    report = "sniffer.json"
    settings = ("sniffer.toml",)

    def files(self, ctx: CheckContext) -> Sequence[str]:
        return FILES

    def scan(self, ctx: CheckContext, files: Sequence[str]) -> list[str]:
        return ["sniff", *files]

    def seen(self, document: Any, files: Sequence[str], ctx: CheckContext) -> list[str]:
        return list(document["seen"])

    def file(self, row: Any, ctx: CheckContext) -> str:
        return str(row["file"])

    def clean(self, document: Any) -> Any:
        return {"results": document["results"], "errors": document["errors"]}

    def security_findings(
        self, document: Any, ctx: CheckContext
    ) -> Iterator[SecurityFinding]:
        for row in document["errors"]:
            yield SecurityFinding(
                self.name, "unread", "not read", row["file"], 1, "high"
            )
        for row in document["results"]:
            yield SecurityFinding(
                self.name, "smell", "it smells", row["file"], row["line"], "high"
            )


class Nose:
    """Fakes the command `sniff`, and records the files that it scans."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.scanned: list[list[str]] = []
        self.more: list[dict[str, Any]] = []
        self.blind: set[str] = set()
        self.code: int | None = None

    def __call__(self, argv: Sequence[str], **options: Any) -> Completed:
        files = list(argv[1:])
        self.scanned.append(files)
        texts = {
            file: (self.root / file).read_text()
            for file in files
            if file not in self.blind
        }
        results = [
            {"file": file, "line": 1} for file, text in texts.items() if "smell" in text
        ]
        document = {
            "seen": [file for file in texts if file.endswith(".py")],
            "results": [*results, *self.more],
            "errors": [
                {"file": file} for file, text in texts.items() if text.startswith("[")
            ],
        }
        code = int(bool(results)) if self.code is None else self.code
        return Completed(tuple(argv), code, json.dumps(document), "", 0.1)


@pytest.fixture
def nose(ctx: CheckContext) -> Nose:
    (ctx.root / "pyproject.toml").write_text(
        '[tool.lake_ci.security]\nfail_on = "low"\n'
    )
    for name in FILES:
        (ctx.root / name).write_text(f"{name}\n")
    nose = Nose(ctx.root)
    ctx.execute = nose
    return nose


def run(ctx: CheckContext) -> Outcome:
    return Sniffer(Register(ctx.root, date(2026, 3, 1))).run(ctx)


def places(outcome: Outcome) -> list[str]:
    return [each.place for each in outcome.findings]


def report(ctx: CheckContext) -> Any:
    return json.loads((ctx.reports / "sniffer.json").read_text())


def test_the_first_time_all_is_asked_about_and_then_nothing(
    ctx: CheckContext, nose: Nose
) -> None:
    assert run(ctx).detail == "2 files, 2 changed"
    assert run(ctx).detail == "2 files, none changed"
    assert nose.scanned == [FILES]
    assert report(ctx) == {"files": 2, "results": [], "errors": []}


def test_what_was_found_is_said_again_without_asking(
    ctx: CheckContext, nose: Nose
) -> None:
    (ctx.root / "a.py").write_text("it smells\n")
    first, left = run(ctx), report(ctx)
    second = run(ctx)
    assert nose.scanned == [FILES]
    assert places(first) == places(second) == ["a.py:1"]
    assert first.status is second.status is Status.FAILURE
    assert (
        report(ctx)
        == left
        == {"files": 2, "results": [{"file": "a.py", "line": 1}], "errors": []}
    )


def test_only_what_changed_is_asked_about(ctx: CheckContext, nose: Nose) -> None:
    (ctx.root / "a.py").write_text("it smells\n")
    run(ctx)
    (ctx.root / "b.py").write_text("this smells, too\n")
    assert places(run(ctx)) == ["a.py:1", "b.py:1"]
    (ctx.root / "a.py").write_text("no more\n")
    outcome = run(ctx)
    assert places(outcome) == ["b.py:1"]
    assert nose.scanned[1:] == [["b.py"], ["a.py"]]
    assert outcome.detail == "1 finding in 2 files, 1 changed"


def test_what_it_says_of_others_is_known_already(ctx: CheckContext, nose: Nose) -> None:
    (ctx.root / "a.py").write_text("it smells\n")
    run(ctx)
    (ctx.root / "b.py").write_text("new\n")
    nose.more = [{"file": "a.py", "line": 1}]
    assert places(run(ctx)) == ["a.py:1"]
    assert len(report(ctx)["results"]) == 1


@pytest.mark.parametrize("name", ["sniffer.toml", "requirements/security.txt"])
def test_with_other_settings_all_is_asked_about(
    ctx: CheckContext, nose: Nose, name: str
) -> None:
    run(ctx)
    (ctx.root / name).parent.mkdir(exist_ok=True)
    (ctx.root / name).write_text("keen = true\n")
    run(ctx)
    assert nose.scanned == [FILES, FILES]


def test_a_file_that_could_not_be_read_is_asked_about_again(
    ctx: CheckContext, nose: Nose
) -> None:
    (ctx.root / "a.py").write_text("[\n")
    assert [each.rule for each in run(ctx).findings] == ["unread"]
    assert [each.rule for each in run(ctx).findings] == ["unread"]
    assert nose.scanned == [FILES, ["a.py"]]


def test_what_is_found_in_no_file_is_told_and_not_remembered(
    ctx: CheckContext, nose: Nose
) -> None:
    nose.more = [{"file": "a.zip/inside", "line": 7}]
    nose.code = 1
    assert places(run(ctx)) == places(run(ctx)) == ["a.zip/inside:7"]
    assert nose.scanned == [FILES, FILES]


def test_a_file_that_was_passed_over_by_mistake_is_asked_about_again(
    ctx: CheckContext, nose: Nose
) -> None:
    run(ctx)
    (ctx.root / "a.py").write_text("it smells\n")
    (ctx.root / "notes.md").write_text("of no matter\n")
    nose.blind = {"a.py"}
    nose.code = 0
    run(ctx)
    nose.blind = set()
    assert places(run(ctx)) == ["a.py:1"]
    assert nose.scanned[1:] == [["a.py", "notes.md"], ["a.py"]]


def test_a_crash_leaves_what_was_known(ctx: CheckContext, nose: Nose) -> None:
    run(ctx)
    (ctx.root / "b.py").write_text("new\n")
    nose.code = 7
    assert [each.rule for each in run(ctx).findings] == ["crash"]
    nose.code = None
    assert run(ctx).detail == "2 files, 1 changed"


def test_a_code_that_means_findings_without_any_is_a_crash(
    ctx: CheckContext, nose: Nose
) -> None:
    nose.code = 1
    assert [each.rule for each in run(ctx).findings] == ["crash"]


def test_a_scanner_that_looks_at_nothing_fails(ctx: CheckContext, nose: Nose) -> None:
    nose.blind = set(FILES)
    outcome = run(ctx)
    assert (outcome.status, outcome.findings[0].rule) == (Status.FAILURE, "nothing")
    assert not (ctx.reports / "sniffer.json").exists()
