"""The workflow uses only those parts of YAML that mean the same in versions 1.1 and
1.2.
"""

from __future__ import annotations

import pytest

from lake_ci.workflow.yaml import Commented, Value, dump

DOCUMENT = """\
name: ci
"on": [push, pull_request]
env:
  EMPTY: {}
  NOTHING:
jobs:
  lint:
    runs-on: ubuntu-24.04
    timeout-minutes: 25
    fail-fast: false
    needs: []
    steps:
      - uses: actions/checkout@0123 # v7.0.1
        with:
          fetch-depth: 0
      - plain text
      - run: |
          echo one

          echo two
        if: always()
"""


def test_values_of_each_kind_stand_as_workflow_files_have_them() -> None:
    assert dump(
        {
            "name": "ci",
            "on": ["push", "pull_request"],
            "env": {"EMPTY": {}, "NOTHING": None},
            "jobs": {
                "lint": {
                    "runs-on": "ubuntu-24.04",
                    "timeout-minutes": 25,
                    "fail-fast": False,
                    "needs": [],
                    "steps": [
                        {
                            "uses": Commented("actions/checkout@0123", "v7.0.1"),
                            "with": {"fetch-depth": 0},
                        },
                        "plain text",
                        {"run": "echo one\n\necho two\n", "if": "always()"},
                    ],
                }
            },
        }
    ) == DOCUMENT.replace('"on"', "on")


@pytest.mark.parametrize(
    ("value", "written"),
    [
        ("ubuntu-24.04", "ubuntu-24.04"),
        ("${{ matrix.session }}", "${{ matrix.session }}"),
        ("always()", "always()"),
        ("0 2 * * *", '"0 2 * * *"'),
        ("3.11", '"3.11"'),
        ("yes", '"yes"'),
        ("On", '"On"'),
        ("null", '"null"'),
        ("", '""'),
        ("a: b", '"a: b"'),
        ("a #b", '"a #b"'),
        ("ends ", '"ends "'),
        ("größe", "größe"),
        ("*", '"*"'),
        ("- a", '"- a"'),
        (True, "true"),
        (11, "11"),
    ],
)
def test_a_text_that_would_be_read_as_something_else_is_quoted(
    value: Value, written: str
) -> None:
    assert dump({"key": value}) == f"key: {written}\n"


def test_inside_a_list_on_one_line_brackets_and_commas_are_quoted_too() -> None:
    assert dump({"key": ["a", "b, c", "[d]", 3]}) == 'key: [a, "b, c", "[d]", 3]\n'


def test_a_key_that_is_no_plain_word_is_quoted() -> None:
    assert dump({"a b:": 1}) == '"a b:": 1\n'
