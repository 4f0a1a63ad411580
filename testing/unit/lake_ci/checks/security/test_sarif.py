"""Tests that the findings of all scanners are merged and written as SARIF."""

from __future__ import annotations

import hashlib
from pathlib import Path

import pytest

from lake_ci.checks.security.sarif import SecurityFinding, document, merged

SECURITY = Path(__file__).resolve().parents[5] / "security"


def make_finding(
    tool: str = "bandit", rule: str = "B602", line: int = 3, **more: str
) -> SecurityFinding:
    values = {
        "message": "a shell",
        "file": "a b.py",
        "severity": "high",
        "cwe": "CWE-78",
    } | more
    return SecurityFinding(tool, rule, line=line, **values)


def test_what_two_scanners_see_in_a_line_stands_once_and_names_both() -> None:
    found = merged(
        [
            make_finding("semgrep", "shell", severity="medium"),
            make_finding("bandit", "B602"),
        ]
    )
    assert [(each.id, each.severity) for each in found] == [("bandit/B602", "high")]
    assert found[0].message == "a shell (also semgrep/shell)"


def test_what_one_scanner_says_twice_stands_once() -> None:
    assert merged([make_finding(), make_finding()]) == [make_finding()]


def test_a_password_is_the_same_class_as_a_secret() -> None:
    found = merged(
        [make_finding(cwe="CWE-259"), make_finding("secrets", "key", cwe="CWE-798")]
    )
    assert len(found) == 1


@pytest.mark.parametrize(
    "other",
    [{"file": "b.py"}, {"cwe": "CWE-89"}, {"line": 4}],
    ids=["file", "class", "line"],
)
def test_other_places_and_other_classes_are_kept(other: dict[str, str]) -> None:
    changed = make_finding(**other)  # type: ignore[arg-type]  # line is the one int
    assert len(merged([make_finding(), changed])) == 2


def test_two_advisories_of_one_pin_are_kept() -> None:
    rows = [
        SecurityFinding("safety", rule, "", "requirements/a.txt", 2, "high")
        for rule in ("PYSEC-1", "PYSEC-2")
    ]
    assert len(merged(rows)) == 2


def test_the_list_is_in_the_order_of_files_and_lines() -> None:
    found = merged(
        [make_finding(line=9), make_finding(file="a.py", line=10), make_finding(line=2)]
    )
    assert [(each.file, each.line) for each in found] == [
        ("a b.py", 2),
        ("a b.py", 9),
        ("a.py", 10),
    ]


@pytest.mark.parametrize(
    ("severity", "level", "fails"),
    [("low", "low", True), ("low", "medium", False), ("high", "medium", True)],
)
def test_severities_rise(severity: str, level: str, fails: bool) -> None:
    assert make_finding(severity=severity).at_least(level) is fails


def test_a_finding_says_its_severity() -> None:
    found = make_finding().finding(fails=True)
    assert (found.place, found.severity, found.message) == (
        "a b.py:3",
        "error",
        "a shell (high)",
    )
    assert make_finding().finding(fails=False).severity == "warning"


def test_sarif_has_a_rule_for_each_id_and_a_result_for_each_weakness() -> None:
    [run] = document(
        [
            make_finding(),
            make_finding(line=5),
            make_finding("safety", "PYSEC-1", severity="low"),
        ]
    )["runs"]
    rules = run["tool"]["driver"]["rules"]
    assert [rule["id"] for rule in rules] == ["bandit/B602", "safety/PYSEC-1"]
    assert rules[0]["properties"] == {
        "tags": ["security", "external/cwe/cwe-78"],
        "security-severity": "8.0",
    }
    assert [(row["ruleIndex"], row["level"]) for row in run["results"]] == [
        (0, "error"),
        (0, "error"),
        (1, "note"),
    ]
    place = run["results"][1]["locations"][0]["physicalLocation"]
    assert (place["artifactLocation"]["uri"], place["region"]) == (
        "a%20b.py",
        {"startLine": 5},
    )


def test_the_committed_schema_is_the_one_whose_sha256_stands_beside_it() -> None:
    expected, name = (
        (SECURITY / "sarif-schema-2.1.0.json.sha256")
        .read_text(encoding="utf-8")
        .split()
    )
    assert hashlib.sha256((SECURITY / name).read_bytes()).hexdigest() == expected
