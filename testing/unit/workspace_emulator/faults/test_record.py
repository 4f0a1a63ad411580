from __future__ import annotations

from pathlib import Path

from workspace_emulator.faults.record import Record, redacted


def test_contents_and_secrets_are_not_kept() -> None:
    body = {
        "path": "/a",
        "contents": "abc",
        "new_cluster": {"spark_env_vars": {"K": "secret"}},
        "l": [{"data": "x"}],
    }
    kept = redacted(body)
    assert kept["path"] == "/a" and kept["contents"] == "(3 characters)"
    assert kept["new_cluster"] == {"spark_env_vars": {"K": "(not recorded)"}}
    assert kept["l"] == [{"data": "(1 characters)"}]


def test_numbers_go_on_after_a_new_start(tmp_path: Path) -> None:
    record = Record(tmp_path / "requests.jsonl")
    record.add({"number": record.next_number()})
    again = Record(tmp_path / "requests.jsonl")
    assert again.next_number() == 2 and again.requests == [{"number": 1}]
    again.clear()
    assert not Record(tmp_path / "requests.jsonl").requests
