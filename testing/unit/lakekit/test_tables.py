"""Tests that projects of earlier versions of lakekit can still import all names that
they use.
"""

from __future__ import annotations

import lakekit.tables
from lakekit import declarations


def test_the_old_name_of_the_declarations_holds_the_same() -> None:
    for name in declarations.__all__:
        assert getattr(lakekit.tables, name) is getattr(declarations, name)
    assert lakekit.tables.__all__ == declarations.__all__
