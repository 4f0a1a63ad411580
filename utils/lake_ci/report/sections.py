"""The parts of the page that need no script: failures, jobs, checks, coverage, panels,
comparison.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from html import escape
from typing import Any

from lake_ci.model.results import Check, Finding, Status, count
from lake_ci.report import history
from lake_ci.report.graph import anchor
from lake_ci.report.markdown import coverage as measured
from lake_ci.report.overview import Overview, Past, Session, State
from lake_ci.report.terminal import seconds
from lake_ci.report.text import link, shorten, visible

FINDINGS_SHOWN = 10
TESTS_SHOWN = 10
ROWS_SHOWN = 200
MESSAGE_LIMIT = 1500
ARTIFACTS_SHOWN = 50


def e(text: object) -> str:
    """Text of a tool as text of the page, in elements and in attributes."""
    return escape(visible(str(text)))


def badge(state: State) -> str:
    """A state in a symbol, a word and a colour."""
    return (
        f'<span class="badge {state.value}">'
        f'<span aria-hidden="true">{state.symbol}</span> {state.word}</span>'
    )


def table(title: str, head: Sequence[str], rows: Iterable[str]) -> str:
    """A table that scrolls inside itself; `rows` are its finished `<tr>` or
    `<tbody>`.
    """
    # A heading without words is none, and a screen reader would stumble over it.
    cells = "".join(
        f'<th scope="col">{e(name)}</th>' if name.strip() else "<td></td>"
        for name in head
    )
    return (
        '<div class="scroll" role="region" tabindex="0"'
        f' aria-label="{e(title)}, scrollable">'
        f"<table><thead><tr>{cells}</tr></thead>{''.join(rows)}</table></div>"
    )


def failures(overview: Overview, base: str) -> str:
    """Each session that failed: why, its first findings, the output of its first failed
    tests, how to repeat it.
    """
    return "".join(_failure(session, base) for session in overview.failed)


def _failure(session: Session, base: str) -> str:
    place = anchor(session.id)
    cause = session.why or (
        (session.result.cause or "") if session.result else ""
    ).replace("-", " ")
    parts = [f"<h3>{badge(session.state)} {e(session.name)}</h3>"]
    parts += [f"<p>{e(cause)}</p>"] if cause else []
    parts += [*_failed_checks(session, base), *_failed_tests(session)]
    parts.append(f'<p class="again">Again: <code>{e(session.reproduce)}</code></p>')
    parts.append(f'<p><a href="#{place}">All checks of {e(session.name)}</a></p>')
    return f'<article class="failure">{"".join(parts)}</article>'


def _failed_checks(session: Session, base: str) -> Iterator[str]:
    """The first findings of each failed check, and the number of the others."""
    hidden = 0
    for check in session.checks:
        if check.status is Status.FAILURE:
            rows = "".join(
                f"<li>{_finding(found, base)}</li>"
                for found in check.findings[:FINDINGS_SHOWN]
            )
            yield (
                f"<h4>{e(check.name)}"
                f" <small>{e(check.detail)}</small></h4><ul>{rows}</ul>"
            )
            hidden += max(len(check.findings) - FINDINGS_SHOWN, 0)
    if hidden:
        yield (
            f'<p><a href="#findings?job={e(session.id)}">and'
            f' {count(hidden, "more finding")} of this job</a></p>'
        )


def _failed_tests(session: Session) -> Iterator[str]:
    """The output of the first failed tests, and the number of the others."""
    failed = [test for test in session.tests if test.outcome == "failed"]
    for test in failed[:TESTS_SHOWN]:
        yield (
            "<details><summary>Output of"
            f" {e(test.name)}</summary><pre>{e(test.output)}</pre></details>"
        )
    if len(failed) > TESTS_SHOWN:
        rest = count(len(failed) - TESTS_SHOWN, "more failed test")
        yield (
            f'<p><a href="#tests?job={e(session.id)}&amp;outcome=failed">{rest}</a></p>'
        )


def _finding(found: Finding, base: str) -> str:
    place = _place(found.file, found.line, base)
    message = e(shorten(found.message, MESSAGE_LIMIT))
    return (
        f'{place} <span class="rule">{e(found.rule)}</span> '
        f'<span class="message">{message}</span>'
    )


def _place(file: str | None, line: int | None, base: str) -> str:
    if file is None:
        return ""
    words = f"<code>{e(file)}{f':{line}' if line else ''}</code>"
    url = link(base, file, line)
    return f'<a href="{escape(url)}">{words}</a>' if url else words


def not_checked(overview: Overview) -> str:
    """What was asked for and not done, and what jobs remarked."""
    rows = [
        f'<li><a href="#{anchor(session.id)}">{e(session.name)}</a>, {e(check.name)}:'
        f" {e(weaker)}</li>"
        for session, check, weaker in overview.weaker()
    ]
    for session in overview.sessions:
        notes = [
            *(session.result.warnings if session.result else ()),
            *filter(None, [session.note]),
        ]
        rows += [
            f'<li><a href="#{anchor(session.id)}">{e(session.name)}</a>: {e(note)}</li>'
            for note in notes
        ]
    rows += [f"<li>{e(note)}</li>" for note in overview.notes]
    return f'<ul>{"".join(rows)}</ul>' if rows else ""


def jobs(overview: Overview) -> str:
    """Every job of the graph in a line, or one for each of its sessions."""
    past = overview.previous
    rows = []
    for node in overview.nodes:
        lines = [_job_row(session, past) for session in node.sessions]
        if node.skipped is not None:
            lines.append(
                f"<tr><td>{badge(State.SKIPPED)}</td>"
                f'<th scope="row">{e(node.name)}</th><td></td>'
                f'{"<td></td>" if past else ""}'
                f'<td class="what">not run: {e(node.skipped)}</td></tr>'
            )
        # A job that is one session has its anchor below, at its checks.
        alone = [session.id for session in node.sessions] == [node.name]
        name = "" if alone else f' id="{anchor(node.name)}" tabindex="-1"'
        rows.append(f'<tbody{name}>{"".join(lines)}</tbody>')
    head = ["Status", "Job", "Time", *(["Before"] if past else []), "What"]
    return table("Jobs", head, rows)


def _job_row(session: Session, past: Past | None) -> str:
    before = past.sessions.get(session.id) if past else None
    was = f"{before.state.word}, {seconds(before.seconds)}" if before else ""
    name = f'<a href="#{anchor(session.id)}">{e(session.name)}</a>'
    time = e(seconds(session.seconds)) if session.seconds else ""
    cells = [
        f"<td>{badge(session.state)}</td>",
        f'<th scope="row">{name}</th>',
        f'<td class="number">{time}</td>',
        f'<td class="before">{e(was)}</td>' if past else "",
        f'<td class="what">{e(shorten(session.headline, 200))}</td>',
    ]
    return f'<tr>{"".join(cells)}</tr>'


def checks(overview: Overview) -> str:
    """Of each session every check, its artifacts and how to repeat it; open where it
    failed.
    """
    return "".join(_session(session) for session in overview.sessions)


def _session(session: Session) -> str:
    is_open = " open" if session.state is State.FAILURE else ""
    rows = [_check(session, check) for check in session.checks]
    body = table(
        f"Checks of {session.name}",
        ["Status", "Check", "Time", "What", "Findings"],
        [f'<tbody>{"".join(rows)}</tbody>'],
    )
    facts = [f"<p>{e(session.why)}</p>"] if session.why else []
    if session.result is not None:
        result = session.result
        java = f", Java {e(result.java)}" if result.java else ""
        facts += [f"<p>Python {e(result.python)}{java}</p>"] if result.python else []
        facts += [body] if rows else []
        facts += [_artifacts(result.artifacts)] if result.artifacts else []
    facts.append(f'<p class="again">Again: <code>{e(session.reproduce)}</code></p>')
    time = f"<small>{e(seconds(session.seconds))}</small>" if session.seconds else ""
    return (
        '<details class="job"'
        f' id="{anchor(session.id)}"{is_open}><summary>{badge(session.state)}'
        f' <span>{e(session.name)}</span> {time}</summary>{"".join(facts)}</details>'
    )


def _check(session: Session, check: Check) -> str:
    weaker = (
        f"<br>not checked: {e(check.weaker)}"
        if check.weaker and check.weaker not in check.detail
        else ""
    )
    number = len(check.findings)
    more = f'<a href="#findings?job={e(session.id)}">{number:,}</a>' if number else ""
    return (
        f"<tr><td>{badge(State(check.status.value))}</td>"
        f'<th scope="row">{e(check.name)}</th>'
        f'<td class="number">{e(seconds(check.seconds))}</td>'
        f'<td class="what">{e(check.detail)}{weaker}</td><td>{more}</td></tr>'
    )


def _artifacts(names: Sequence[str]) -> str:
    links = "".join(f"<li>{_artifact(name)}</li>" for name in names[:ARTIFACTS_SHOWN])
    rest = len(names) - ARTIFACTS_SHOWN
    links += f"<li>and {rest:,} more</li>" if rest > 0 else ""
    return f'<h3>Artifacts</h3><ul class="artifacts">{links}</ul>'


def _artifact(name: str) -> str:
    # The page lies in reports/ itself.
    inside = name.startswith("reports/")
    url = link(
        "" if inside else "../", name.removeprefix("reports/") if inside else name
    )
    url = f"./{url}" if url is not None and inside else url
    return f'<a href="{escape(url)}">{e(name)}</a>' if url else e(name)


def coverage(overview: Overview, base: str) -> str:
    """Each file's share in percent, a column a variant, the lowest first."""
    variants = list(measured(overview))
    if not variants:
        return ""
    lowest: dict[str, float] = {}
    for _, _, files in variants:
        for name, share in files.items():
            lowest[name] = min(share, lowest.get(name, share))
    whole = "".join(
        f'<td class="number">{percent:.1f} %</td>' for _, percent, _ in variants
    )
    rows = [f'<tr class="whole"><th scope="row">All files</th>{whole}</tr>']
    for name in sorted(lowest, key=lambda name: (lowest[name], name))[:ROWS_SHOWN]:
        shares = [files.get(name) for _, _, files in variants]
        cells = "".join(_share(share) for share in shares)
        rows.append(f'<tr><th scope="row">{_place(name, None, base)}</th>{cells}</tr>')
    rest = len(lowest) - ROWS_SHOWN
    note = (
        f'<p class="note">{count(rest, "file")} with a higher share left out.</p>'
        if rest > 0
        else ""
    )
    head = ["File", *(session.name for session, _, _ in variants)]
    return table("Coverage by file", head, [f'<tbody>{"".join(rows)}</tbody>']) + note


def _share(share: float | None) -> str:
    return (
        '<td class="number">not measured</td>'
        if share is None
        else f'<td class="number">{share:.1f} %</td>'
    )


def panels(overview: Overview) -> str:
    """The tables that checks bring themselves, as `Check` says."""
    return "".join(_panels(overview))


def _panels(overview: Overview) -> Iterator[str]:
    for session in overview.sessions:
        for check in session.checks:
            panel: Any = check.data.get("panel")
            if isinstance(panel, dict) and isinstance(panel.get("rows"), list):
                title = f"{session.name}: {panel.get('title') or check.name}"
                yield _panel(title, panel)


def _panel(title: str, panel: Mapping[str, Any]) -> str:
    columns = panel.get("columns")
    head = [str(name) for name in columns] if isinstance(columns, list) else []
    rows = [row if isinstance(row, list) else [row] for row in panel["rows"]]
    cells = [
        "".join(f"<td>{_cell(cell)}</td>" for cell in row) for row in rows[:ROWS_SHOWN]
    ]
    body = "".join(f"<tr>{row}</tr>" for row in cells)
    listed = table(title, head, [f"<tbody>{body}</tbody>"])
    rest = len(rows) - ROWS_SHOWN
    note = (
        f'<p class="note">{count(rest, "more row")} in result.json.</p>'
        if rest > 0
        else ""
    )
    return f"<h3>{e(title)}</h3>{listed}{note}"


def _cell(value: object) -> str:
    if isinstance(value, float):
        return f"{value:,.6g}"
    return e(shorten(str("" if value is None else value), MESSAGE_LIMIT))


def comparison(overview: Overview) -> str:
    """What differs from the previous run."""
    past = overview.previous
    if past is None:
        return ""
    commit = f", commit <code>{e(past.commit[:12])}</code>" if past.commit else ""
    head = (
        f"<p>Run <code>{e(past.run)}</code> of {e(past.made)}{commit}:"
        f" {badge(past.state)}</p>"
    )
    rows = [
        f'<tr><td>{e(change.kind)}</td><th scope="row">'
        f'<a href="#{anchor(change.session)}">{e(change.name)}</a></th>'
        f'<td class="what">{e(change.text)}</td></tr>'
        for change in history.compare(overview)
    ]
    if not rows:
        return f"{head}<p>Nothing differs.</p>"
    return head + table(
        "Differences", ["Change", "Job", "What"], [f'<tbody>{"".join(rows)}</tbody>']
    )


def refused(overview: Overview) -> str:
    """The result.json that were found and count nowhere."""
    rows = [
        f"<li><code>{e(entry.file)}</code> {e(entry.reason)}</li>"
        for entry in overview.refused
    ]
    return f'<ul>{"".join(rows)}</ul>' if rows else ""
