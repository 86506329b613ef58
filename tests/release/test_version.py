"""The version has one source, and a release's tag must be that version."""

import re
import subprocess
from pathlib import Path

import pytest
from packaging.version import Version

from iqsr import __version__
from support.project import PROJECT, ROOT

WORKFLOW = ROOT / ".github/workflows/release.yml"


def test_the_version_stands_in_one_file_and_is_cited() -> None:
    assert PROJECT["dynamic"] == ["version"]
    assert str(Version(__version__)) == __version__
    assert f"version: {__version__}\n" in (ROOT / "CITATION.cff").read_text("utf-8")


@pytest.mark.skipif(not WORKFLOW.exists(), reason="the source archive has no workflows")
@pytest.mark.parametrize(("tag", "code"), [(f"v{__version__}", 0), ("v99.0", 1), (__version__ + "1", 1)])
def test_a_tag_of_another_version_ends_the_release(tag: str, code: int, tmp_path: Path) -> None:
    """The workflow's own line."""
    (line,) = re.findall(r'run: (test "\$\(ls dist.*)', WORKFLOW.read_text("utf-8"))
    (tmp_path / "dist").mkdir()
    (tmp_path / "dist" / f"iqsr-{__version__}-py3-none-any.whl").touch()
    ended = subprocess.run(["bash", "-c", line], cwd=tmp_path, env={"GITHUB_REF_NAME": tag, "PATH": "/usr/bin:/bin"})
    assert ended.returncode == code
