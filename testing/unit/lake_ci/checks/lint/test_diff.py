"""Tests the parser of the unified diffs that black and isort print."""

from __future__ import annotations

import pytest

from lake_ci.checks.lint.diff import first_changes

TWO_FILES = """\
--- pkg/typed.py\t2026-11-23 06:08:14.947809+00:00
+++ pkg/typed.py\t2026-11-23 06:08:15.860221+00:00
@@ -3,6 +3,9 @@
\x20
\x20
 add("1", 2)
 add(1)
 import nothere
-def un(x): return x
+
+
+def un(x):
+    return x
@@ -40,2 +43,2 @@
 a = 1
-b=2
+b = 2
--- a b/odd name.py\t2026-11-23 06:08:14.947809+00:00
+++ a b/odd name.py\t2026-11-23 06:08:15.845854+00:00
@@ -1,2 +1,3 @@
 import sys
-x  =  1
+
+x = 1
"""
REMOVED_LINE_THAT_LOOKS_LIKE_A_HEADER = """\
--- pkg/sql.py\t2026-11-23 06:08:14.947809+00:00
+++ pkg/sql.py\t2026-11-23 06:08:15.852502+00:00
@@ -1,2 +1,2 @@
 x = 1
--- y
+--y
"""
NEW_FILE = "--- a.py\n+++ a.py\n@@ -0,0 +1 @@\n+x = 1\n"


@pytest.mark.parametrize(
    ("text", "places"),
    [
        (TWO_FILES, [("pkg/typed.py", 8), ("a b/odd name.py", 2)]),
        (REMOVED_LINE_THAT_LOOKS_LIKE_A_HEADER, [("pkg/sql.py", 2)]),
        (NEW_FILE, [("a.py", 1)]),
        ("", []),
        ("would reformat a.py\n@@ -1 +1 @@\n", []),
    ],
)
def test_each_file_is_named_once_with_the_first_line_that_would_change(
    text: str, places: list[tuple[str, int]]
) -> None:
    assert list(first_changes(text)) == places
