"""A job's sessions have the right names. A wrong declaration of a job is an error."""

from __future__ import annotations

from typing import Any

import pytest

from lake_ci.errors import UsageError, nearest
from lake_ci.model.job import Graph, Job
from lake_ci.runner.run import Run


def documented(run: Run) -> None:
    """Say what it does.

    And more, for those who want it.
    """


def bare(run: Run) -> None: ...


def job(name: str, **options: Any) -> Job:
    return Job(name, documented, **options)


@pytest.mark.parametrize(
    ("options", "python", "java", "session", "folder", "reproduce"),
    [
        ({}, None, None, "lint", "lint", "nox -s lint"),
        ({"python": None}, None, None, "lint", "lint", "nox -s lint"),
        (
            {"pythons": ("3.9", "3.10")},
            "3.10",
            None,
            "lint-3.10",
            "lint-3.10",
            "nox -s lint-3.10",
        ),
        (
            {"javas": ("11",)},
            None,
            "11",
            "lint(java11)",
            "lint-java11",
            'nox -s "lint(java11)"',
        ),
        (
            {"pythons": ("3.10",), "javas": ("17",)},
            "3.10",
            "17",
            "lint-3.10(java17)",
            "lint-3.10-java17",
            'nox -s "lint-3.10(java17)"',
        ),
    ],
)
def test_a_variant_is_named_as_nox_names_its_session(
    options: dict[str, Any],
    python: str | None,
    java: str | None,
    session: str,
    folder: str,
    reproduce: str,
) -> None:
    variant = job("lint", **options).variant(python, java)
    assert (variant.session, variant.id, variant.reproduce) == (
        session,
        folder,
        reproduce,
    )


def test_a_matrix_has_every_combination_in_the_order_nox_lists_them() -> None:
    matrix = job("tests", pythons=("3.9", "3.10"), javas=("11", "17"))
    assert [variant.session for variant in matrix.variants] == [
        "tests-3.9(java11)",
        "tests-3.9(java17)",
        "tests-3.10(java11)",
        "tests-3.10(java17)",
    ]


def test_a_job_without_a_matrix_has_one_variant_on_its_python() -> None:
    assert [(v.session, v.python) for v in job("lint").variants] == [("lint", "3.11")]
    assert [(v.session, v.python) for v in job("lint", python=None).variants] == [
        ("lint", None)
    ]
    assert job("lint").variant(None, None).python == "3.11"


def test_the_summary_is_the_first_line_of_the_docstring() -> None:
    assert job("lint").summary == "Say what it does."


def test_the_graph_keeps_the_order_of_the_declarations() -> None:
    graph = Graph()
    first = graph.add(job("lint"))
    second = graph.add(job("tests", needs=("lint",)))
    assert list(graph) == [first, second]
    assert graph.named("tests") is second


@pytest.mark.parametrize(
    ("declared", "message"),
    [
        (job("lint"), "noxfile.py: job 'lint' is declared twice"),
        (
            Job("docs", bare),
            (
                "noxfile.py: job 'docs' has no docstring (its first line is what `nox"
                " -l` prints)"
            ),
        ),
        (
            job("docs", needs=("lnt",)),
            (
                "noxfile.py: job 'docs' needs 'lnt', which is not declared "
                "(declare it above the job that needs it; did you mean 'lint'?)"
            ),
        ),
        (
            job("docs", events=("pusj:main",)),
            "noxfile.py: job 'docs': unknown event 'pusj:main'; did you mean 'push'?",
        ),
        (
            job("docs", events=("pull-request",)),
            (
                "noxfile.py: job 'docs': unknown event 'pull-request'; did you mean"
                " 'pull_request'?"
            ),
        ),
        *(
            (
                job("docs", events=(event,)),
                (
                    f"noxfile.py: job 'docs': the event '{event}' starts no workflow"
                    " run (the events with a branch are push:main, push:develop)"
                ),
            )
            for event in ("push:release", "pull_request:main", "tag:v1.0.0")
        ),
    ],
)
def test_a_wrong_declaration_is_refused_in_one_line(
    declared: Job, message: str
) -> None:
    graph = Graph()
    graph.add(job("lint"))
    with pytest.raises(UsageError) as raised:
        graph.add(declared)
    assert str(raised.value) == message
    assert [each.name for each in graph] == ["lint"]


def test_an_event_may_name_its_branch() -> None:
    Graph().add(job("deploy", events=("push:main", "workflow_dispatch")))


def test_an_unknown_name_is_answered_with_the_nearest() -> None:
    graph = Graph()
    graph.add(job("lint"))
    with pytest.raises(UsageError, match=r"no job 'lnit'; did you mean 'lint'\?"):
        graph.named("lnit")


def test_a_name_that_nothing_resembles_is_answered_with_the_list() -> None:
    assert nearest("zzz", ["lint", "tests"]) == "; there are: lint, tests"
