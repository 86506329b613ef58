"""The audit of the pinned dependencies in continuous integration."""

import re

import pytest

from support.project import ROOT

WORKFLOW = ROOT / ".github/workflows/tests.yml"


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the source archive has no workflows")
def test_an_audit_that_could_not_look_up_a_package_fails() -> None:
    """pip-audit by itself passes over such packages, all of them where its service does not answer, and succeeds."""
    (line,) = re.findall(r"run: (pip-audit .*)", WORKFLOW.read_text("utf-8"))
    assert {"--strict", "--disable-pip", "constraints.txt"} <= {*line.split()}
