"""Damages every part of a table, and checks the output of `lakekit show`.

`lakekit show` must either show the right rows, or exit with code 4 and name the table
and the damaged file. The command must not print a traceback.

`python -m testing.unit.lakekit.damage spark` tests all kinds of damage with Spark.
LAKEKIT_JARS must contain Delta's jars. With the arguments `embedded 10`, the module
tests every tenth kind of damage with the embedded engine.
"""

from __future__ import annotations

import contextlib
import io
import itertools
import json
import shutil
import sys
import tempfile
import traceback
from collections import Counter
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, NamedTuple, Optional, Tuple

from deltalake import DeltaTable

import lakekit
from lakekit.cli.main import call
from lakekit.commands.init import TEMPLATE
from lakekit.template.tables import TABLES

NAME = "silver.orders"
LOG = "silver/orders/_delta_log"
ORDER = "9001,2024-03-05T08:15:00Z,Ada,cup,1,2\n"
FILE_DAMAGE: Dict[str, Callable[[bytes], bytes]] = {
    "cut": lambda content: content[: len(content) // 2],
    "without the last bytes": lambda content: content[:-7],
    "emptied": lambda _: b"",
    "one line end": lambda _: b"\n",
    "garbage": lambda _: bytes(range(255, 55, -1)),
    "zeros": lambda content: bytes(len(content)),
    "list": lambda _: b"[1, 2]\n",
    "number": lambda _: b"5\n",
    "empty object": lambda _: b"{}\n",
    "start": lambda content: b"\xff" * 20 + content[20:],
    "middle": lambda c: c[: len(c) // 2] + b"\xff" * 20 + c[len(c) // 2 + 20 :],
    "end": lambda content: content[:-30] + b"\xff" * 20 + content[-10:],
}
MISSING = object()
VALUES: Tuple[Any, ...] = (MISSING, None, "x", 5, -1, [1], {"a": 1}, True)
FIELDS = (
    "protocol",
    "protocol.minReaderVersion",
    "metaData",
    "metaData.id",
    "metaData.format",
    "metaData.schemaString",
    "metaData.partitionColumns",
    "metaData.configuration",
    "add",
    "add.path",
    "add.partitionValues",
    "add.size",
    "add.stats",
    "add.modificationTime",
    "add.dataChange",
    "remove",
    "commitInfo",
    "commitInfo.timestamp",
    "commitInfo.operation",
    "commitInfo.operationParameters",
    "commitInfo.userMetadata",
)
NEWER_DELTA = "protocol.minReaderVersion = 5"
"""This value is not damage: the table needs a newer version of Delta, and the exit code
is 2.
"""


class Damage(NamedTuple):
    """A damaged file and its new content. `content` is None if the file is missing."""

    what: str
    file: Path
    content: Optional[bytes]


def write_lake(folder: Path) -> Path:
    """Return a lake after two runs. The lake's tables have no checkpoint."""
    shutil.copytree(TEMPLATE / "data", folder / "data")
    lakekit.run(folder / "data", folder / "lake", tables=TABLES)
    with (folder / "data" / "orders.csv").open("a") as orders:
        orders.write(ORDER)
    lakekit.run(folder / "data", folder / "lake", tables=TABLES)
    return folder / "lake"


@contextmanager
def changed(file: Path, content: Optional[bytes]) -> Iterator[None]:
    """Replace the content of a file, or remove the file, during a `with` block."""
    before = file.read_bytes()
    if content is None:
        file.unlink()
    else:
        file.write_bytes(content)
    try:
        yield
    finally:
        file.write_bytes(before)


def of_field(lake: Path, field: str) -> Iterator[Damage]:
    """For every wrong value of a field, yield the damage that writes this value to the
    newest commit that has the field.
    """
    kind, _, name = field.partition(".")
    log = sorted((lake / LOG).glob("*.json"))
    file = [each for each in log if f'"{kind}"' in each.read_text()][-1]
    lines = file.read_text().splitlines()
    index = next(n for n, line in enumerate(lines) if kind in json.loads(line))
    for value in VALUES:
        action = json.loads(lines[index])
        holder = action[kind] if name else action
        holder[name or kind] = value
        if value is MISSING:
            del holder[name or kind]
        text = [*lines[:index], json.dumps(action), *lines[index + 1 :]]
        shown = "missing" if value is MISSING else repr(value)
        yield Damage(f"{field} = {shown}", file, "\n".join(text).encode())


def of_file(file: Path, missing: bool = True) -> Iterator[Damage]:
    """Yield all kinds of damage to a file."""
    for what, damage in FILE_DAMAGE.items():
        yield Damage(f"{file.name}: {what}", file, damage(file.read_bytes()))
    if missing:
        yield Damage(f"{file.name}: missing", file, None)


def of_log(lake: Path) -> Iterator[Damage]:
    """Yield the damage to the log and the data files of a table that has no
    checkpoint.
    """
    for field in FIELDS:
        yield from of_field(lake, field)
    # Do not remove the newest commit: the table would then be a valid older version.
    for version in (1, 3):
        yield from of_file(lake / LOG / f"{version:020}.json", missing=version < 3)
    for uri in DeltaTable(str(lake / "silver/orders")).file_uris():
        yield from of_file(Path(uri))


def of_checkpoint(lake: Path) -> Iterator[Damage]:
    """Create a checkpoint, and yield the damage to its files."""
    DeltaTable(str(lake / "silver/orders")).create_checkpoint()
    for name in ("*checkpoint.parquet", "_last_checkpoint"):
        for file in (lake / LOG).glob(name):
            yield from of_file(file)


def show(lake: Path, engine: str = "embedded") -> Tuple[int, str, str]:
    """Run `lakekit show`, and return the command's exit code, stdout and stderr."""
    flags = ["--tables", str(TEMPLATE / "tables.py"), "--engine", engine]
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        code = call(["show", NAME, "--lake", str(lake), *flags])
    return code, out.getvalue(), err.getvalue()


def fault(damage: Damage, lake: Path, right: str, engine: str) -> Tuple[int, str]:
    """Run `lakekit show` on a damaged table. Returns the exit code, and why the result
    is wrong; the reason is empty if the result is right.
    """
    try:
        with changed(damage.file, damage.content):
            code, out, err = show(lake, engine)
    except Exception:
        return -1, f"{damage.what}: {traceback.format_exc()}"
    lines = err.splitlines()
    named = f"Error: {NAME} is damaged: {lake}/silver/"
    right_error = (
        len(lines) == 2 and lines[0].startswith(named) and lines[1].startswith("Next: ")
    )
    if (code, out) == (0, right) or (code == 4 and right_error):
        return code, ""
    if code == 2 and damage.what == NEWER_DELTA:
        return code, ""
    return code, f"{damage.what}: exit code {code}: {err or out}"


def check(folder: Path, engine: str, every: int = 1) -> Tuple[Counter[int], List[str]]:
    """Test each kind of damage, or only every n-th kind (`every`). Returns how often
    each exit code occurred, and the wrong results.
    """
    lake = write_lake(folder)
    right, codes, wrong = show(lake, engine)[1], Counter[int](), []
    assert right, "the lake cannot be shown"
    damages = itertools.chain(of_log(lake), of_checkpoint(lake))
    for damage in itertools.islice(damages, 0, None, every):
        code, why = fault(damage, lake, right, engine)
        codes[code] += 1
        wrong += [why] if why else []
    return codes, wrong


def main(engine: str = "embedded", every: str = "1") -> int:
    """Run an engine on each damaged lake, and print the results that are wrong.

    Returns the exit code.
    """
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        if engine == "spark":
            from lakekit.engines.spark.session import spark_session

            stack.enter_context(spark_session(folder / "spark"))
        codes, wrong = check(folder, engine, int(every))
    print(*wrong, f"Exit codes: {dict(codes)}; {len(wrong)} wrong", sep="\n")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main(*sys.argv[1:]))
