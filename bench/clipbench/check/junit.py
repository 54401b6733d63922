"""Findings as a JUnit report, the form that CI services read."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal
from xml.etree import ElementTree as ET

from clipbench.check.verdict import Finding
from clipbench.results.files import write_atomic
from clipbench.text.sinks import xml


@dataclass(frozen=True)
class Case:
    """A test case of a report.

    Args:
        group: what it belongs to.
        title: what was looked at.
        outcome: how it went.
        message: why, where it did not pass.
    """

    group: str
    title: str
    outcome: Literal["passed", "failure", "error"]
    message: str = ""


def case_of(finding: Finding) -> Case:
    """Return a finding as a case: a band that is left failed, a value that is missing is an error.

    Args:
        finding: a band held against a run.
    """
    title = f"{finding.metric} {finding.band or 'is done'}"
    missed: Literal["failure", "error"] = "error" if finding.found is None else "failure"
    return Case(finding.cell, title, "passed" if finding.passed else missed, finding.message)


def write_junit(path: Path, name: str, cases: Iterable[Case]) -> Path:
    """Write a test suite.

    Args:
        path: the XML file.
        name: name of the suite.
        cases: in the order of the report.

    Raises:
        ClipbenchError: the file system refuses.
    """
    cases = list(cases)
    totals = {
        "tests": len(cases),
        "failures": sum(case.outcome == "failure" for case in cases),
        "errors": sum(case.outcome == "error" for case in cases),
    }
    counts = {key: str(value) for key, value in totals.items()}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": xml(name), **counts})
    for case in cases:
        names = {"classname": xml(case.group), "name": xml(case.title)}
        element = ET.SubElement(suite, "testcase", names)
        if case.outcome != "passed":
            ET.SubElement(element, case.outcome, {"message": xml(case.message)})
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return write_atomic(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode())
