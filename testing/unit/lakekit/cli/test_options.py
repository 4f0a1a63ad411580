from __future__ import annotations

import datetime
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Optional

import pytest

from lakekit.cli.options import plain, print_json, table_of


@dataclass(frozen=True)
class Result:
    at: datetime.datetime
    folder: Path
    share: Optional[float]


AT = datetime.datetime(2013, 1, 1, 10, tzinfo=datetime.timezone.utc)


def test_result_is_printed_as_json_and_more_beside_it(
    capsys: pytest.CaptureFixture[str],
) -> None:
    print_json(Result(AT, Path("a"), 0.1234), changed=True)
    found = json.loads(capsys.readouterr().out)
    assert found == {
        "at": "2013-01-01T10:00:00Z",
        "folder": "a",
        "share": 0.1234,
        "changed": True,
    }


@pytest.mark.parametrize(
    ("value", "text"),
    [(AT, "2013-01-01T10:00:00Z"), (1.005, "1.00"), (None, ""), (7, "7")],
)
def test_value_as_text(value: object, text: str) -> None:
    assert plain(value) == text


def test_columns_are_as_wide_as_their_widest_cell() -> None:
    assert table_of(
        ("name", "n"), [("a", "1,000"), ("longer", "2")], right=(1,)
    ).splitlines() == [
        "name        n",
        "------  -----",
        "a       1,000",
        "longer      2",
    ]
