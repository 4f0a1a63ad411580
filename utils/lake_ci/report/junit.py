"""Reads the tests of a junit.xml that pytest wrote."""

from __future__ import annotations

import math
import xml.etree.ElementTree as ET
from collections.abc import Iterator

from lake_ci.report.overview import TestCase
from lake_ci.report.text import shorten

OUTPUT_LIMIT = 8000


def tests(text: str) -> tuple[TestCase, ...]:
    """Return all tests; failed tests have their shortened output.

    Raises:
        ValueError: the text is not XML, or declares entities. JUnit XML never declares
            entities, but an XML bomb consists of entities.
    """
    if "<!DOCTYPE" in text or "<!ENTITY" in text:
        raise ValueError("declares a document type")
    try:
        root = ET.fromstring(text)
    except ET.ParseError as error:
        raise ValueError(str(error)) from None
    return tuple(_test(case) for case in root.iter("testcase"))


def _test(case: ET.Element) -> TestCase:
    line = _number(case.get("line"), -1.0)
    return TestCase(
        name=f"{case.get('classname', '')}::{case.get('name', '')}".removeprefix("::"),
        seconds=max(_number(case.get("time"), 0.0), 0.0),
        outcome=_outcome(case),
        file=case.get("file"),
        # In a junit.xml of pytest, lines count from 0.
        line=int(line) + 1 if line >= 0 else None,
        output=shorten("\n\n".join(_output(case)), OUTPUT_LIMIT),
    )


def _outcome(case: ET.Element) -> str:
    if _failures(case):
        return "failed"
    return "skipped" if case.find("skipped") is not None else "passed"


def _failures(case: ET.Element) -> list[ET.Element]:
    return [*case.findall("failure"), *case.findall("error")]


def _output(case: ET.Element) -> Iterator[str]:
    """Yield the errors, and then the captured output, of a failed test."""
    failures = _failures(case)
    for element in failures:
        yield (element.text or element.get("message") or "").strip()
    if failures:
        for element in (*case.findall("system-out"), *case.findall("system-err")):
            if (element.text or "").strip():
                yield f"{element.tag}:\n{element.text}".strip()


def _number(text: str | None, otherwise: float) -> float:
    try:
        number = float(text) if text else otherwise
    except ValueError:
        return otherwise
    return number if math.isfinite(number) else otherwise
