"""JUnit reports: counts that add up, failures apart from errors, and nothing that breaks XML."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from xml.etree import ElementTree as ET

from clipbench.check.bands import Band
from clipbench.check.junit import case_of, write_junit
from clipbench.check.verdict import Finding
from clipbench.sweep.grid import Grid

BAND = Band("attack_success", None, 0.1)


def test_a_report_counts_failures_and_errors(grid: Grid, tmp_path: Path) -> None:
    """A left band is a failure, a run that failed an error, each with its message."""
    config = grid.configs[0]
    findings = [
        Finding(config, "cell", BAND, 0.05, (5, 100)),
        Finding(config, "cell", BAND, 0.5, (50, 100)),
        Finding(config, "cell", None, problem="the run failed: it broke"),
    ]
    root = ET.parse(write_junit(tmp_path / "report.xml", "check", map(case_of, findings))).getroot()
    (suite,) = root
    for element in (root, suite):
        totals = [element.attrib[name] for name in ("tests", "failures", "errors")]
        assert totals == ["3", "1", "1"]
    assert [[child.tag for child in case] for case in suite] == [[], ["failure"], ["error"]]
    assert suite[1][0].attrib["message"] == findings[1].message
    assert "it broke" in suite[2][0].attrib["message"]
    assert {case.attrib["classname"] for case in suite} == {"cell"}


def test_whatever_a_plugin_says_the_report_is_xml(grid: Grid, tmp_path: Path) -> None:
    """Markup and control characters of an error message are written out."""
    text: Any = 'a <b> & "c" \x00 \x1b[31m ]]>'
    findings = [Finding(grid.configs[0], "cell", BAND, problem=text)]
    root = ET.parse(write_junit(tmp_path / "report.xml", text, map(case_of, findings))).getroot()
    message = root[0][0][0].attrib["message"]
    assert '<b> & "c"' in message
    assert "\\x00" in message
