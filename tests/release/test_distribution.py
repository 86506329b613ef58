"""What is released: the wheel and the source archive, built, checked, and run away from the checkout."""

import os
import shutil
import subprocess
import sys
import sysconfig
import tarfile
import venv
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BUILT_FROM = ("src", "docs", "tests", "benchmarks", "evaluation")
pytestmark = pytest.mark.slow


def run(*command: str | Path, cwd: Path, **environment: str) -> str:
    variables = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"} | environment
    ended = subprocess.run(command, capture_output=True, text=True, cwd=cwd, env=variables, check=False)
    assert ended.returncode == 0, f"{ended.stdout}\n{ended.stderr}"
    return ended.stdout


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the wheel and the source archive, built from a copy of the checkout."""
    source, out = tmp_path_factory.mktemp("source") / "iqsr", tmp_path_factory.mktemp("dist")
    source.mkdir()
    for folder in BUILT_FROM:
        shutil.copytree(ROOT / folder, source / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for file in (file for file in ROOT.iterdir() if file.is_file()):
        shutil.copy(file, source)
    run(sys.executable, "-m", "build", "--no-isolation", "--outdir", out, ".", cwd=source)
    return out


@pytest.fixture(scope="module")
def wheel(built: Path) -> Path:
    (found,) = built.glob("*.whl")
    return found


def test_both_are_well_formed(built: Path, wheel: Path) -> None:
    run(sys.executable, "-m", "twine", "check", "--strict", *sorted(built.iterdir()), cwd=built)
    run(sys.executable, "-m", "check_wheel_contents", wheel, cwd=built)


def test_the_wheel_has_what_the_package_reads_and_nothing_else(wheel: Path) -> None:
    names = set(zipfile.ZipFile(wheel).namelist())
    package = {str(p.relative_to(ROOT / "src")) for p in (ROOT / "src" / "iqsr").rglob("*") if p.is_file()}
    licences = {name for name in package if "/LICENSE-" in name}
    read = {name for name in package - licences if "__pycache__" not in name}
    assert {name for name in names if ".dist-info/" not in name} == read
    kept = {name.partition(".dist-info/licenses/")[2] for name in names}
    assert {"LICENSE", *(f"src/{name}" for name in licences)} <= kept


def test_the_source_archive_can_run_its_tests(built: Path) -> None:
    (archive,) = built.glob("*.tar.gz")
    with tarfile.open(archive) as file:
        inside = {name.partition("/")[2] for name in file.getnames()}
    assert {"Makefile", "constraints.txt", "README.md", "src/iqsr/__init__.py", "tests/conftest.py"} <= inside
    assert not any(name.startswith((".git/", ".venv/", "build/", "demo-output/")) for name in inside)


def test_the_installed_wheel_runs_the_demo_outside_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """An environment with the wheel and this one's dependencies, without the checkout."""
    environment = tmp_path / "venv"
    venv.create(environment, symlinks=True)
    python = environment / "bin" / "python"
    run(sys.executable, "-m", "pip", "--python", python, "install", "--no-deps", "--no-index", wheel, cwd=tmp_path)
    site = run(python, "-c", "import sysconfig; print(sysconfig.get_path('purelib'))", cwd=tmp_path).strip()
    (Path(site) / "dependencies.pth").write_text(sysconfig.get_path("purelib") + "\n")
    home = run(python, "-c", "import iqsr; print(iqsr.__file__)", cwd=tmp_path).strip()
    assert Path(home).is_relative_to(environment)
    printed = run(environment / "bin" / "iqsr", "demo", "-o", "page", cwd=tmp_path)
    assert "Mean" in printed
    assert (tmp_path / "page" / "index.html").stat().st_size > 1_000_000
    assert "Wrong" not in run(environment / "bin" / "iqsr", "doctor", cwd=tmp_path)
