from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path
from typing import List

import pytest
from sqlglot import exp

from lakekit.declarations import sql_cache, transpile
from lakekit.declarations.sql_cache import SqlCache, cache_folder
from lakekit.errors import DeclarationError, UnsupportedSqlError

QUERY = "select a.n from silver.a"
VIEWS = {"silver.a": "v"}
PREDICATE = "n is null or n > 0"


@pytest.fixture
def parsed(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """Return a list that gets every SQL text that sqlglot parses."""
    asked: List[str] = []
    real = transpile._parse

    def parse(table: str, sql: str) -> exp.Expr:
        asked.append(sql)
        return real(table, sql)

    monkeypatch.setattr(transpile, "_parse", parse)
    return asked


def both(kept: SqlCache) -> List[str]:
    return [kept.query("gold.g", QUERY, VIEWS), kept.predicate("gold.g", PREDICATE)]


def test_text_is_rewritten_once(tmp_path: Path, parsed: List[str]) -> None:
    first = both(SqlCache(tmp_path / "kept"))
    assert first == [
        'SELECT "a"."n" FROM "v" AS "a"',
        '"n" IS NULL OR "n" > 0',
    ]
    assert both(SqlCache(tmp_path / "kept")) == first
    assert parsed == [QUERY, PREDICATE]
    assert sorted(file.suffix for file in (tmp_path / "kept").iterdir()) == [
        ".sql",
        ".sql",
    ]


def test_what_is_kept_needs_no_sqlglot(tmp_path: Path) -> None:
    both(SqlCache(tmp_path))
    code = f"""if True:
        import sys
        from pathlib import Path
        from lakekit.declarations.sql_cache import SqlCache
        kept = SqlCache(Path({str(tmp_path)!r})).predicate("t", {PREDICATE!r})
        print(kept, "sqlglot" in sys.modules)"""
    paths = {"PYTHONPATH": str(Path(sql_cache.__file__).parents[2])}
    said = subprocess.run(
        [sys.executable, "-c", code],
        env=paths,
        check=True,
        capture_output=True,
        text=True,
    )
    assert said.stdout.strip() == '"n" IS NULL OR "n" > 0 False'


@pytest.mark.parametrize("what", ["SQL", "views", "kind", "rewriter"])
def test_each_thing_that_a_text_depends_on_is_part_of_its_key(
    tmp_path: Path, parsed: List[str], what: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    both(SqlCache(tmp_path))
    if what == "SQL":
        SqlCache(tmp_path).query("gold.g", f"{QUERY} where true", VIEWS)
    elif what == "views":
        assert 'FROM "w" AS "a"' in SqlCache(tmp_path).query(
            "gold.g", QUERY, {"silver.a": "w"}
        )
    elif what == "kind":
        with pytest.raises(UnsupportedSqlError):
            SqlCache(tmp_path).predicate("gold.g", QUERY)
    else:
        monkeypatch.setattr(sql_cache, "_rewriter", lambda: "sqlglot of tomorrow")
        both(SqlCache(tmp_path))
    assert len(parsed) > 2


@pytest.mark.parametrize(
    "damage", [b"", b"\xff\xfe", b"SELECT 1", b"0" * 64 + b"\nSELECT 1"]
)
def test_damaged_file_is_written_again(
    tmp_path: Path, parsed: List[str], damage: bytes
) -> None:
    first = both(SqlCache(tmp_path))
    for file in tmp_path.iterdir():
        file.write_bytes(damage)
    assert both(SqlCache(tmp_path)) == first and len(parsed) == 4
    assert both(SqlCache(tmp_path)) == first and len(parsed) == 4


def test_file_of_another_user_is_not_believed(
    tmp_path: Path, parsed: List[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    both(SqlCache(tmp_path))
    monkeypatch.setattr(os, "getuid", lambda: 4242)
    both(SqlCache(tmp_path))
    assert len(parsed) == 4


def test_folder_that_cannot_be_made_or_is_none_is_done_without(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert both(SqlCache(tmp_path / "file" / "kept")) == both(SqlCache(None))
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file"]


def test_half_a_text_is_not_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "replace", full)
    both(SqlCache(tmp_path))
    assert list(tmp_path.iterdir()) == []


def test_refusals_are_not_kept(tmp_path: Path) -> None:
    for _ in range(2):
        with pytest.raises(DeclarationError):
            SqlCache(tmp_path).query("gold.g", QUERY, {"silver.b": "v"})
        with pytest.raises(UnsupportedSqlError):
            SqlCache(tmp_path).predicate("gold.g", "dayofweek(n) = 1")
    assert list(tmp_path.iterdir()) == []


def test_folder_is_where_caches_go(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert cache_folder({"XDG_CACHE_HOME": "/var/cache/me"}) == Path(
        "/var/cache/me/lakekit"
    )
    assert (
        cache_folder({"XDG_CACHE_HOME": "relative"}) == tmp_path / ".cache" / "lakekit"
    )

    def homeless() -> Path:
        raise RuntimeError("Could not determine home directory.")

    monkeypatch.setattr(Path, "home", homeless)
    assert cache_folder({}) is None


def test_code_that_cannot_be_read_keeps_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        sql_cache, "__file__", str(tmp_path / "lakekit.zip" / "rewrites.py")
    )
    both(SqlCache(tmp_path / "kept"))
    assert not (tmp_path / "kept").exists()
