"""Tests how the tests in a junit.xml are read."""

from __future__ import annotations

import pytest

from lake_ci.report import junit
from lake_ci.report.overview import TestCase
from testing.unit.lake_ci.report import samples


def test_reads_name_time_place_and_outcome() -> None:
    text = samples.junit_xml(
        ("test_a", 0.5, ""), ("test_b[<script>]", 1.5, "E  assert 1 == 2")
    )
    assert junit.tests(text) == (
        TestCase(
            "testing.unit.test_x::test_a", 0.5, "passed", "testing/unit/test_x.py", 1
        ),
        TestCase(
            "testing.unit.test_x::test_b[<script>]",
            1.5,
            "failed",
            "testing/unit/test_x.py",
            2,
            "E  assert 1 == 2",
        ),
    )


def test_a_failed_test_brings_what_it_printed_and_a_passed_one_does_not() -> None:
    printed = "<system-out>said</system-out><system-err> </system-err>"
    failed = f"<testcase name='a'><error message='boom'/>{printed}</testcase>"
    text = f"<s>{failed}<testcase name='b'>{printed}</testcase></s>"
    first, second = junit.tests(text)
    assert (first.outcome, first.output) == ("failed", "boom\n\nsystem-out:\nsaid")
    assert (second.outcome, second.output) == ("passed", "")


def test_a_skipped_test_is_neither_passed_nor_failed() -> None:
    [test] = junit.tests("<s><testcase name='a'><skipped/></testcase></s>")
    assert (test.name, test.outcome, test.file, test.line) == (
        "a",
        "skipped",
        None,
        None,
    )


def test_a_long_output_is_shortened_and_says_so() -> None:
    [test] = junit.tests(samples.junit_xml(("a", 1, "x" * 100_000)))
    assert "92,000 characters left out" in test.output
    assert len(test.output) < 8_100


@pytest.mark.parametrize("time", ["", "fast", "nan", "-1", "1e999"])
def test_a_time_that_is_none_counts_as_nothing(time: str) -> None:
    assert junit.tests(f"<s><testcase name='a' time='{time}'/></s>")[0].seconds == 0.0


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("<testsuites><testcase", "unclosed token|no element"),
        ("", "no element found"),
        ('<!DOCTYPE x [<!ENTITY a "aaaa">]><s>&a;</s>', "declares a document type"),
    ],
)
def test_what_is_no_junit_xml_is_refused(text: str, words: str) -> None:
    with pytest.raises(ValueError, match=words):
        junit.tests(text)
