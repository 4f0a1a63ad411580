from __future__ import annotations

import asyncio
import os
import sys
from pathlib import Path

import pytest

from workspace_emulator.runtime.environment import (
    Environment,
    InstallError,
    Template,
    _clone,
    normalized,
)


def test_a_clone_names_itself_in_its_scripts_and_shares_the_rest(
    tmp_path: Path,
) -> None:
    source, target = tmp_path / "one", tmp_path / "two"
    (source / "bin").mkdir(parents=True)
    (source / "bin" / "python").symlink_to(sys.executable)
    (source / "bin" / "tool").write_text(f"#!{source}/bin/python\n")
    (source / "bin" / "tool").chmod(0o755)
    (source / "module.py").write_text("x = 1\n")
    _clone(source, target)
    assert (target / "bin" / "tool").read_text() == f"#!{target}/bin/python\n"
    assert os.access(target / "bin" / "tool", os.X_OK)
    assert (source / "bin" / "tool").read_text() == f"#!{source}/bin/python\n"
    assert (target / "module.py").samefile(source / "module.py")


def test_a_lock_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(InstallError, match="none.txt: No such file"):
        asyncio.run(
            Environment(tmp_path / "env").make(
                Template(tmp_path / "none.txt", tmp_path)
            )
        )


def test_names_are_compared_as_pip_does() -> None:
    assert normalized("Delta_Spark.x") == "delta-spark-x"
