"""The suite hides random secrets wherever it shows text."""

from __future__ import annotations

import contextlib
import html
import json
import os
import random
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from xml.sax.saxutils import escape, quoteattr

import pytest

from lake_ci.errors import LakeCiError
from lake_ci.model import results
from lake_ci.model.results import CheckResult, Finding, Result, Status
from lake_ci.pipeline import github_issue
from lake_ci.report import annotations as github_log, html as page, markdown, terminal
from lake_ci.runner.suite import exit_on_error
from lake_ci.system.processes import Processes
from lake_ci.system.redaction import SHORTEST, Redactor
from testing.unit.lake_ci.report.samples import design, overview_of, result_of

SEED = 20261129
GROUPS, SIZE = 20, 25
ALPHABET = (
    "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789" * 2
    + "\"'`\\<>&|*_[](){}#@$%^~!?;:,.=+-/ \n\t"
    + "äßéπЖ中😀\u0301\u200b\u202e"
)
LINT = next(job for job in design() if job.name == "lint").variants[0]
PRINT = """
import json, os, sys
for name, value in sorted(os.environ.items()):
    if name.startswith("RANDOM_"):
        print(value)
        print(repr(value), json.dumps(value), sep="\\n", file=sys.stderr)
"""


def secrets_of(group: int) -> dict[str, str]:
    """Return random secrets as environment variables."""
    chance = random.Random(SEED + group)  # nosec B311 - values for a test
    found: dict[str, str] = {}
    while len(found) < SIZE:
        length = chance.randrange(SHORTEST, 60)
        value = "".join(chance.choice(ALPHABET) for _ in range(length)).strip()
        # If a line of a secret is shorter than SHORTEST and is printed alone, it is not
        # hidden.
        if all(len(line.strip()) >= SHORTEST for line in value.splitlines()):
            found[f"RANDOM_{len(found)}_TOKEN"] = value
    return found


def traces(value: str) -> Iterator[str]:
    """Yield the texts that would reveal a secret: each of its lines, unchanged and in
    all encodings.
    """
    for line in {value, *value.splitlines()}:
        text = line.strip()
        if len(text) >= SHORTEST:
            yield from {text, html.escape(text), escape(text), quoteattr(text)[1:-1]}
            yield from {json.dumps(text)[1:-1], repr(text)[1:-1]}
            yield json.dumps(text, ensure_ascii=False)[1:-1]


def result_with(texts: list[str]) -> Result:
    """Return a result whose text fields contain these texts."""
    findings = tuple(
        Finding("tool", f"rule {text}", f"Bearer {text}\nis refused", f"{text}.py", 1)
        for text in texts
    )
    checks = [
        CheckResult("one", Status.FAILURE, 1.0, " and ".join(texts), findings),
        CheckResult(
            "two",
            Status.WARNING,
            1.0,
            not_checked=texts[0],
            data={"percent": 90, "files": dict.fromkeys(texts, 1.0)},
        ),
    ]
    return replace(
        result_of(LINT, *checks),
        warnings=tuple(texts),
        artifacts=tuple(f"reports/lint/{text}" for text in texts),
        reproduce=f"nox -s lint -- {texts[0]}",
    )


def error_text(redact: Redactor, error: Exception, capsys: Any) -> str:
    with contextlib.suppress(SystemExit), exit_on_error(redact):
        raise error
    return str(capsys.readouterr().err)


def issue_text(text: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Report a text, and return the body of the issue that GitHub would get."""
    sent: list[str] = []

    def call(method: str, url: str, env: Any, body: Any = None) -> Any:
        sent.append(json.dumps(body, ensure_ascii=False))
        return {"html_url": "https://github.com/me/lake/issues/1"} if body else []

    monkeypatch.setattr(github_issue, "_call", call)
    names = ("REPOSITORY", "API_URL", "SERVER_URL", "RUN_ID")
    github_issue.tell(text, {f"GITHUB_{name}": "x" for name in names})
    return sent[-1]


@pytest.mark.parametrize("group", range(GROUPS))
def test_random_secrets_are_hidden_in_every_place(
    group: int,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    print(f"seed {SEED + group}")
    env = secrets_of(group)
    values = list(env.values())
    redact = Redactor.of(env)
    log: list[str] = []
    done = Processes(redact=redact).run(
        [sys.executable, "-c", PRINT],
        cwd=tmp_path,
        env={**os.environ, **env, "PYTHONIOENCODING": "utf-8"},
        echo=log.append,
    )
    result = redact.tree(result_with(values))
    overview = redact.tree(
        replace(overview_of(tmp_path, lint=result.checks), notes=tuple(values), run="7")
    )
    junit = tmp_path / "junit.xml"
    cases = "".join(f"<a b={quoteattr(each)}>{escape(each)}</a>" for each in values)
    junit.write_text(f"<t>{cases}</t>", encoding="utf-8")
    redact.file(junit)
    report = markdown.report(overview)
    places = {
        "the output of a tool": done.stdout + done.stderr,
        "the log": "".join(log),
        "result.json": results.write(tmp_path / "x", result).read_text("utf-8"),
        "the page": page.page(overview, source_url=None),
        "summary.md": report,
        "the issue": issue_text(report, monkeypatch),
        "the annotations": github_log.log(overview, "mark"),
        "the terminal": terminal.job(result),
        "junit.xml": junit.read_text(encoding="utf-8"),
        "an error": error_text(redact, LakeCiError(*values[:2]), capsys),
        "a traceback": error_text(redact, RuntimeError(values), capsys),
    }
    for place, text in places.items():
        assert "[hidden]" in text, place
        for value in values:
            found = [trace for trace in traces(value) if trace in text]
            assert not found, f"{place} shows {found[0]!r} of {value!r}"
