"""Tests the parser of import-linter's output about forbidden imports."""

from __future__ import annotations

from collections.abc import Callable

from lake_ci.checks.lint.imports import Imports
from lake_ci.model.results import Finding, Outcome, Status
from lake_ci.runner.check import CheckContext
from lake_ci.system.processes import Completed

Answering = Callable[..., list[list[str]]]

KEPT = """
---------
Contracts
---------

Analyzed 284 files, 1038 dependencies.
--------------------------------------

The suite's floors KEPT

Contracts: 1 kept, 0 broken.
"""
BROKEN = """
The suite's floors BROKEN

Contracts: 0 kept, 1 broken.


----------------
Broken contracts
----------------

The suite's floors
------------------

pkg.model is not allowed to import pkg.system:

- pkg.model.events -> pkg.system.git (l.11)

-   pkg.model -> pkg.outside (l.14)
    pkg.outside -> pkg.system.files (l.3, l.9)

The following modules are not listed as layers:

- pkg.attic

(Since this contract is marked as 'exhaustive', every child of every container
must be declared as a layer.)
"""


def outcome(ctx: CheckContext, answering: Answering, code: int, text: str) -> Outcome:
    answering(Completed((), code, text, "", 0.4))
    return Imports().run(ctx)


def test_imports_that_keep_to_the_contracts_pass(
    ctx: CheckContext, answering: Answering
) -> None:
    assert outcome(ctx, answering, 0, KEPT).status is Status.SUCCESS


def test_an_import_that_breaks_a_contract_is_named_with_its_line(
    ctx: CheckContext, answering: Answering
) -> None:
    for file in ("utils/pkg/model/__init__.py", "utils/pkg/model/events.py"):
        (ctx.root / file).parent.mkdir(parents=True, exist_ok=True)
        (ctx.root / file).touch()
    found = outcome(ctx, answering, 1, BROKEN)
    broken = "pkg.model may not import pkg.system: this imports"
    assert found.status is Status.FAILURE
    assert found.findings == (
        Finding(
            "imports",
            "layer",
            f"{broken} pkg.system.git",
            "utils/pkg/model/events.py",
            11,
        ),
        Finding(
            "imports",
            "layer",
            f"{broken} pkg.outside",
            "utils/pkg/model/__init__.py",
            14,
        ),
        Finding(
            "imports",
            "unlisted",
            "pkg.attic is not in a layer of [tool.importlinter]",
            "pyproject.toml",
            1,
        ),
    )


def test_a_file_that_cannot_be_parsed_is_named(
    ctx: CheckContext, answering: Answering
) -> None:
    text = f"Syntax error in {ctx.root}/utils/pkg/a b.py, line 4: x = 1 +\n"
    [found] = outcome(ctx, answering, 1, text).findings
    assert (found.rule, found.file, found.line) == ("syntax", "utils/pkg/a b.py", 4)


def test_settings_that_it_refuses_are_shown(
    ctx: CheckContext, answering: Answering
) -> None:
    [found] = outcome(ctx, answering, 1, "Unknown contract type 'layer'").findings
    assert (found.rule, "Unknown contract type" in found.message) == ("crash", True)
