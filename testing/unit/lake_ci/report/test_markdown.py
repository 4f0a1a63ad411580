"""Tests the status report in Markdown."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

import pytest

from lake_ci.model.results import CheckResult, Finding, Status
from lake_ci.report import efficiency, markdown
from lake_ci.report.overview import Past, PastSession, Refused, State
from testing.unit.lake_ci.report import samples


@pytest.fixture
def bad_day(tmp_path: Path) -> str:
    plan = samples.leave_realistic(tmp_path)
    return markdown.report(samples.collect(tmp_path, plan))


def section(text: str, title: str) -> list[str]:
    """Return the nonempty lines of a section."""
    body = text.partition(f"### {title}\n")[2].partition("\n### ")[0]
    return [line for line in body.splitlines() if line]


def test_the_head_says_how_it_ended_and_of_what(bad_day: str) -> None:
    assert bad_day.splitlines()[:3] == [
        "## ❌ Failed: 1 failed, 3 with warnings, 5 passed, 6 skipped",
        "",
        "push on main, commit `781e32854715`, run `7f3a91c2d4e8`, 4 min 36 s",
    ]


def test_failures_come_first_with_place_message_and_rerun_command(
    bad_day: str,
) -> None:
    assert bad_day.index("### Failures") < bad_day.index("### Jobs")
    assert section(bad_day, "Failures") == [
        "#### ❌ tests-3.10(java17)",
        "- **integration** 1 failed, 61 passed",
        (
            "  - `testing/integration/test_sample_run.py:141` AssertionError "
            "test_silver::test_late_rows_are_merged: assert 336775 == 336776"
        ),
        "- **types** 1 finding",
        (
            "  - `utils/lakekit/declarations/transpile.py:23` arg-type Argument 1"
            ' to "frozenset" has incompatible type'
            ' "set\\[type\\[Condition\\]\\]"; expected'
            ' "Iterable\\[type\\[Expression\\]\\]"'
        ),
        'Rerun: `nox -s "tests-3.10(java17)"`',
    ]


def test_every_session_is_a_line_with_symbol_word_and_seconds(bad_day: str) -> None:
    lines = section(bad_day, "Jobs")
    assert len(lines) == 2 + 15
    assert (
        "| ⚠️ warning | security | 24.5 s | safety: the advisories are 9 days old |"
        in lines
    )
    starts = [line.rpartition("|")[0].rpartition("|")[0] for line in lines]
    assert "| ✅ passed | tests-3.9(java11) | 81.0 s " in starts
    assert "| ⏸️ skipped | deploy |  " in starts
    assert "| ⏸️ not run | acceptance | " in starts


def test_what_was_not_checked_is_said_with_the_reason(bad_day: str) -> None:
    assert section(bad_day, "Not checked") == [
        (
            "- terraform, plan: the provider registry is out of reach: plans of staging"
            " and production were not made"
        ),
        (
            "- tests-3.9(java11): lake_ci needs Python 3.10: its tests are not"
            " collected here"
        ),
        (
            "- tests-3.9(java17): lake_ci needs Python 3.10: its tests are not"
            " collected here"
        ),
    ]


def test_skipped_checks_unreadable_reports_and_notes_count_as_not_checked(
    tmp_path: Path,
) -> None:
    checks = [
        samples.passed("flake8"),
        CheckResult("mypy", Status.SKIPPED, detail="the time limit was reached"),
    ]
    overview = samples.overview_of(tmp_path, lint=checks)
    (tmp_path / "reports" / "docker" / "junit.xml").write_text("<", encoding="utf-8")
    (tmp_path / "reports" / ".history").mkdir()
    (tmp_path / "reports" / ".history" / "runs.json").write_text("{", encoding="utf-8")
    lines = section(markdown.report(samples.collect(tmp_path)), "Not checked")
    assert overview.state is State.SUCCESS
    assert lines[0] == "- lint, mypy: the time limit was reached"
    assert lines[1].startswith("- docker: ") and "junit.xml" in lines[1]
    assert lines[2].startswith("- reports/.history/runs.json ")


def test_duration_is_compared_with_its_lower_bound(tmp_path: Path) -> None:
    plan = samples.leave_realistic(tmp_path)
    overview = samples.collect(tmp_path, plan)
    lines = efficiency.text(efficiency.of(overview))
    assert section(markdown.report(overview), "Duration") == [
        f"- {line}" for line in lines
    ]
    assert re.search(r"4 min 36 s, 2\.62 .* 1 min 45 s$", lines[0])


def test_coverage_is_said_for_each_variant_with_its_lowest_files(bad_day: str) -> None:
    lines = section(bad_day, "Coverage")
    assert len(lines) == 6
    assert (
        lines[0]
        == "- tests-3.9(java11): 95.1 %; lowest: utils/lakekit/commands/run.py 91 %,"
        " utils/lakekit/declarations/tables.py 97 %, utils/lakekit/cli/main.py 99 %"
    )


def test_artifacts_and_refused_results_are_named(bad_day: str) -> None:
    first = section(bad_day, "Artifacts")[0]
    assert (
        first == "- tests-3.9(java11): `reports/tests-3.9-java11/coverage.xml`,"
        " `reports/tests-3.9-java11/junit.xml`"
    )
    [refused] = section(bad_day, "Ignored results")
    assert refused.startswith("- `reports/acceptance/result.json`: ")
    assert "0123456789ab" in refused and samples.RUN in refused


def test_a_good_run_has_no_failures_and_nothing_unchecked(tmp_path: Path) -> None:
    text = markdown.report(samples.overview_of(tmp_path))
    assert text.startswith("## ✅ Passed: 14 passed, 1 skipped\n")
    assert "### Failures" not in text
    assert "### Not checked" not in text


def test_a_session_without_a_result_is_a_failure_that_says_so(tmp_path: Path) -> None:
    samples.overview_of(tmp_path)
    (tmp_path / "reports" / "lint" / "result.json").unlink()
    overview = samples.collect(tmp_path)
    assert section(markdown.report(overview), "Failures") == [
        f"#### ❌ lint: {overview.sessions[0].why}",
        "Rerun: `nox -s lint`",
    ]


def test_only_the_first_findings_are_named_and_the_others_counted(
    tmp_path: Path,
) -> None:
    found = [
        Finding("flake8", "F401", f"number {number}", "a.py", number)
        for number in range(1, 31)
    ]
    text = markdown.report(
        samples.overview_of(tmp_path, lint=[samples.failed("flake8", *found)])
    )
    assert "number 10" in text and "number 11" not in text
    assert "  - and 20 more findings, in reports/index.html" in text


def test_a_message_of_many_lines_is_cut_and_stays_one_line(tmp_path: Path) -> None:
    found = Finding("x", "r", "\n".join(f"line {number}" for number in range(20)))
    lines = section(
        markdown.report(
            samples.overview_of(tmp_path, lint=[samples.failed("x", found)])
        ),
        "Failures",
    )
    assert (
        "  - r line 0<br>line 1<br>line 2<br>line 3<br>line 4<br>line 5<br>…" in lines
    )


def test_files_are_linked_where_the_report_is_told_where_they_are(
    tmp_path: Path,
) -> None:
    found = [
        Finding("x", "r", "m", "a b(1).py", 3),
        Finding("x", "r", "m", "/etc/passwd", 1),
        Finding("x", "r", "m"),
    ]
    overview = samples.overview_of(tmp_path, lint=[samples.failed("x", *found)])
    lines = section(
        markdown.report(overview, source="https://github.com/o/r/blob/abc/"), "Failures"
    )
    assert (
        "  - [`a b(1).py:3`](<https://github.com/o/r/blob/abc/a%20b%281%29.py#L3>) r m"
        in lines
    )
    assert "  - `/etc/passwd:1` r m" in lines
    assert "  - r m" in lines


def test_the_previous_run_is_compared_with(tmp_path: Path) -> None:
    overview = samples.overview_of(tmp_path)
    sessions = {
        session.id: PastSession(State.SUCCESS, 10.0, {"check": "success"})
        for session in overview.sessions
    }
    past = Past(
        "before",
        "push",
        "main",
        samples.COMMIT,
        "2026-01-30T02:00:00Z",
        State.SUCCESS,
        1.0,
        sessions,
    )
    lines = section(
        markdown.report(replace(overview, past=(past,))),
        "Compared with the previous run",
    )
    assert lines == [
        "Run `before` of 2026-01-30T02:00:00Z, commit `781e32854715`: ✅ passed",
        "Nothing differs.",
    ]
    sessions["lint"] = PastSession(State.FAILURE, 10.0, {"check": "failure"})
    lines = section(
        markdown.report(replace(overview, past=(replace(past, commit=None),))),
        "Compared with the previous run",
    )
    assert lines == [
        "Run `before` of 2026-01-30T02:00:00Z: ✅ passed",
        "- fixed: lint: check",
    ]


@pytest.mark.parametrize(
    ("text", "escaped"),
    [
        (
            "a|b `c` *d* [e](f) <g> &amp;",
            "a\\|b \\`c\\` \\*d\\* \\[e\\](f) &lt;g&gt; &amp;amp;",
        ),
        (
            "snake_case and _this_ and __init__",
            "snake_case and \\_this\\_ and \\_\\_init\\_\\_",
        ),
        ("- no list", "\\- no list"),
        ("# no heading", "\\# no heading"),
        ("12. no list", "12\\. no list"),
        ("two\nlines", "two lines"),
        ("back\\slash $x$ ~~y~~", "back\\\\slash \\$x\\$ \\~\\~y\\~\\~"),
        ("\u202eright to left", "⟨U+202E⟩right to left"),
    ],
)
def test_text_of_tools_is_no_markup(text: str, escaped: str) -> None:
    assert markdown.plain(text) == escaped


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("@pytest.fixture", "@\u2060pytest.fixture"),
        ("fixes #12", "fixes #\u206012"),
        ("owner/name#12", "owner/name#\u206012"),
        ("#12", "\\#\u206012"),
        ("gh-12", "gh-\u206012"),
        ("a@b.example", "a@\u2060b.example"),
        (
            "see https://github.com/pypa/pip/issues/9",
            "see https://redirect.github.com/pypa/pip/issues/9",
        ),
        ("https://github.com/pypa/pip", "https://github.com/pypa/pip"),
        ("a @ b, C#, #x", "a @ b, C#, #x"),
    ],
)
def test_the_text_of_a_tool_mentions_no_account_and_no_issue(
    text: str, expected: str
) -> None:
    assert markdown.plain(text) == expected


@pytest.mark.parametrize(
    ("text", "span"),
    [
        ("a", "`a`"),
        ("a`b", "`` a`b ``"),
        ("a``b`", "``` a``b` ```"),
        ("a\nb", "`a b`"),
        ("", ""),
    ],
)
def test_a_code_span_holds_whatever_it_is_given(text: str, span: str) -> None:
    assert markdown.code(text) == span


def test_hostile_text_in_every_field_breaks_nothing(tmp_path: Path) -> None:
    bad = samples.HOSTILE
    found = Finding(bad, bad, bad, bad, 1, bad)
    check = CheckResult(
        bad, Status.FAILURE, 1.0, bad, (found,), bad, {"percent": 1, "files": {bad: 1}}
    )
    overview = samples.overview_of(tmp_path)
    node = overview.nodes[0]
    result = samples.result_of(samples.design().jobs["lint"].variants[0], check)
    result = replace(
        result, artifacts=(bad,), warnings=(bad,), reproduce=bad, cause=bad
    )
    session = replace(
        node.sessions[0],
        name=bad,
        reproduce=bad,
        state=State.FAILURE,
        why=bad,
        result=result,
        note=bad,
    )
    overview = replace(
        overview,
        event=bad,
        branch=bad,
        run=bad,
        nodes=(
            replace(node, sessions=(session,)),
            replace(node, name=bad, sessions=(), skipped=bad),
        ),
        refused=(Refused(bad, bad),),
        past=(Past(bad, bad, bad, bad, bad, State.SUCCESS, 1.0, {}),),
        notes=(bad,),
    )
    text = markdown.report(overview)
    text.encode()
    # Remove escaped characters and code spans, because only the remaining text could be
    # markup.
    markup = re.sub(r"\\.|(`+).*?(?<!`)\1(?!`)", "", text)
    assert re.findall("<.*?>", markup) == ["<br>"] * markup.count("<")
    assert "](" not in markup
    assert "`" not in markup
    assert not [line for line in text.splitlines() if line.lstrip().startswith("::")]
    assert "\u202e" not in text
    assert all(
        line.count("|") - line.count("\\|") == 5 for line in section(text, "Jobs")
    )


def test_a_report_that_fits_is_left_as_it_is() -> None:
    assert markdown.cut("a\nb\n", 4, "the file") == "a\nb\n"


def test_a_long_report_is_cut_on_a_line_and_counts_the_rest() -> None:
    text = "".join(f"✅ line {number}\n" for number in range(1000))
    cut = markdown.cut(text, 500, "reports/summary.md")
    assert len(cut.encode()) <= 500
    lines = cut.splitlines()
    shown = len(lines) - 2
    assert lines[shown - 1] == f"✅ line {shown - 1}"
    assert (
        lines[-1]
        == f"… {1000 - shown} lines left out; the full report is in reports/summary.md"
    )
