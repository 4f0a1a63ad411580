from __future__ import annotations

from pathlib import Path

from testing.unit.lakekit.sources.generated import check

FILES = 50
"""The number of generated files. To test more files, run the module `generated` with
`python -m`.
"""


def test_generated_files_are_read_as_python_reads_them(tmp_path: Path) -> None:
    outcome = check(seed=21, count=FILES, folder=tmp_path / "generated")
    assert outcome["files"] + outcome["refused files"] == FILES
    assert min(outcome["files"], outcome["silver"], outcome["quarantine"]) >= FILES / 4
