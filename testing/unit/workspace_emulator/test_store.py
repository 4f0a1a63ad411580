from __future__ import annotations

from pathlib import Path

import pytest

from workspace_emulator.store import Store


def test_what_is_put_is_there_after_a_new_start(tmp_path: Path) -> None:
    first = Store(tmp_path / "db")
    first.collection("job")["1"] = {"name": "a"}
    assert first.next_number("run") == 1
    again = Store(tmp_path / "db")
    assert dict(again.collection("job")) == {"1": {"name": "a"}}
    assert again.next_number("run") == 2
    first.close()
    again.close()


def test_a_transaction_that_raises_leaves_nothing(store: Store) -> None:
    jobs = store.collection("job")
    with pytest.raises(RuntimeError), store.transaction():
        jobs["1"] = {}
        raise RuntimeError
    assert not jobs


def test_documents_come_in_their_order_and_change_only_when_put_back(
    store: Store,
) -> None:
    jobs = store.collection("job")
    for key in ("b", "a"):
        jobs[key] = {"n": 1}
    jobs["b"]["n"] = 2
    assert jobs.change("b", n=3) == {"n": 3} == jobs["b"]
    assert list(jobs) == ["b", "a"] and len(jobs) == 2
    with pytest.raises(KeyError):
        del jobs["c"]
