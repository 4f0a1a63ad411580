"""The ledger is append-only, and each entry refers to the previous entry."""

from __future__ import annotations

from dataclasses import replace

import pytest

from lake_ci.deploy.errors import StepError, WorkspaceError
from lake_ci.deploy.ledger import DeployRun, Ledger, LedgerEntry, Pending, release_stack
from testing.unit.lake_ci.deploy.conftest import BASE, FakeWorkspace


def entry(
    number: int, kind: str, version: str | None, identity: str = ""
) -> LedgerEntry:
    folder = f"/{version}" if version else None
    given = identity or f"id{number}"
    return LedgerEntry(
        number,
        kind,
        given,
        folder,
        version,
        "c",
        "s",
        "cluster",
        "15.4",
        "me",
        "then",
        "now",
    )


@pytest.fixture
def ledger(workspace: FakeWorkspace) -> Ledger:
    return Ledger(workspace, BASE)


def test_entry_is_read_as_it_was_written(ledger: Ledger) -> None:
    written = ledger.append(
        replace(
            entry(0, "deploy", "1.0"),
            runs=(DeployRun(1, 2, 3, (4, 5)),),
            tables={"t": 7},
        )
    )
    assert written.number == 1
    assert ledger.entries() == [written]
    assert ledger.current() == written


def test_entry_of_the_same_deploy_is_not_written_twice(ledger: Ledger) -> None:
    first = ledger.append(entry(0, "deploy", "1.0", "same"))
    assert ledger.append(entry(0, "deploy", "1.0", "same")) == first
    assert len(ledger.entries()) == 1


def test_entry_of_somebody_else_is_never_written_over(
    ledger: Ledger, workspace: FakeWorkspace
) -> None:
    ledger.append(entry(0, "deploy", "1.0"))
    workspace.files[f"{BASE}/ledger/000002.json"] = b"theirs"
    # When this deploy read the ledger, the second entry did not exist yet.
    ledger._numbers = lambda: [1]  # type: ignore[method-assign]  # a double
    with pytest.raises(StepError, match="another process wrote"):
        ledger.append(entry(0, "deploy", "1.1", "ours"))
    assert workspace.files[f"{BASE}/ledger/000002.json"] == b"theirs"


def test_undone_deploy_is_listed_and_is_not_current(ledger: Ledger) -> None:
    live = ledger.append(entry(0, "deploy", "1.0", "first"))
    ledger.append(entry(0, "returned", None, "second"))
    assert ledger.current() == live
    assert [each.kind for each in ledger.entries()] == ["deploy", "returned"]


def test_damage_is_named(ledger: Ledger, workspace: FakeWorkspace) -> None:
    workspace.files[f"{BASE}/ledger/000001.json"] = b"{}"
    with pytest.raises(StepError, match="000001.json cannot be read"):
        ledger.current()
    workspace.files[f"{BASE}/ledger/notes.txt"] = b""
    with pytest.raises(WorkspaceError, match="notes.txt"):
        ledger.entries()


def test_pending_is_remembered_until_it_is_forgotten(
    ledger: Ledger, workspace: FakeWorkspace
) -> None:
    assert ledger.pending() is None
    pending = Pending(
        "id",
        "deploy",
        "/f",
        "1.0",
        tables={"t": 1},
        runs=(DeployRun(1, 2, 0, (3,)),),
        job={"name": "j"},
    )
    ledger.note(pending)
    assert ledger.pending() == pending
    ledger.forget()
    assert ledger.pending() is None
    workspace.files[f"{BASE}/pending.json"] = b"half"
    with pytest.raises(StepError, match="pending.json cannot be read"):
        ledger.pending()


@pytest.mark.parametrize(
    ("kinds", "expected"),
    [
        ([], []),
        ([("deploy", "1")], ["1"]),
        ([("deploy", "1"), ("deploy", "2")], ["1", "2"]),
        ([("deploy", "1"), ("deploy", "1")], ["1"]),
        ([("deploy", "1"), ("deploy", "2"), ("rollback", "1")], ["1"]),
        ([("deploy", "1"), ("rollback", None)], []),
        (
            [("deploy", "1"), ("deploy", "2"), ("rollback", "1"), ("deploy", "3")],
            ["1", "3"],
        ),
        ([("deploy", "1"), ("returned", None), ("deploy", "2")], ["1", "2"]),
    ],
)
def test_release_stack(
    kinds: list[tuple[str, str | None]], expected: list[str]
) -> None:
    entries = [
        entry(number, kind, version) for number, (kind, version) in enumerate(kinds, 1)
    ]
    assert [each.version for each in release_stack(entries)] == expected
