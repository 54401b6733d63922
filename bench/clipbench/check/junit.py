"""Findings as a JUnit report, the form that CI services read."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from xml.etree import ElementTree as ET

from clipbench.check.verdict import Finding
from clipbench.results.files import write_atomic
from clipbench.text.sinks import xml


def write_junit(path: Path, name: str, findings: Sequence[Finding]) -> Path:
    """Write a test suite with a test case for each finding.

    A band that is left is a failure, a value that could not be had an error.

    Args:
        path: the XML file.
        name: name of the suite.
        findings: in the order of the report.

    Raises:
        ClipbenchError: the file system refuses.
    """
    errors = [finding for finding in findings if finding.found is None]
    failures = [finding for finding in findings if not finding.passed and finding.found is not None]
    totals = {"tests": len(findings), "failures": len(failures), "errors": len(errors)}
    counts = {key: str(value) for key, value in totals.items()}
    root = ET.Element("testsuites", counts)
    suite = ET.SubElement(root, "testsuite", {"name": xml(name), **counts})
    for finding in findings:
        title = f"{finding.metric} {finding.band or 'is done'}"
        names = {"classname": xml(finding.cell), "name": xml(title)}
        case = ET.SubElement(suite, "testcase", names)
        if not finding.passed:
            kind = "error" if finding.found is None else "failure"
            ET.SubElement(case, kind, {"message": xml(finding.message)})
    ET.indent(root)
    text = ET.tostring(root, encoding="unicode")
    return write_atomic(path, f'<?xml version="1.0" encoding="utf-8"?>\n{text}\n'.encode())
