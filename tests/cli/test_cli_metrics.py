"""`iqsr metrics`, as people and programs run it."""

import json
import subprocess
import sys

import pytest

from iqsr.metrics import availability, card, metric_names
from iqsr.metrics.taxonomy import identifier


@pytest.fixture(autouse=True)
def empty(tmp_path, monkeypatch) -> None:
    """A machine without downloads."""
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))


def run(*arguments: str, code: int = 0) -> str:
    """Standard output; standard error where it fails."""
    done = subprocess.run([sys.executable, "-m", "iqsr", "metrics", *arguments], capture_output=True, text=True)
    assert done.returncode == code, done.stderr
    assert (done.stderr == "") == (code == 0)
    return done.stderr if code else done.stdout


def test_table_has_every_metric_once_in_order_and_fits_100_columns():
    lines = run().splitlines()
    assert [line.split()[1] for line in lines if line[:3] in ("yes", "no ")] == metric_names()
    assert max(map(len, lines)) <= 100
    papers = [line.split()[-1] for line in lines if line.startswith(("yes ", "no "))]
    assert papers == [identifier(card(name)) for name in metric_names()]  # no column runs into the next


def test_table_says_how_to_get_what_is_missing():
    lines = run().splitlines()
    place = next(i for i, line in enumerate(lines) if line.startswith("no   lpips "))
    assert lines[place].split()[2:] == [
        "lower",
        "0",
        "to",
        "1.5",
        "yes",
        "Apache-2.0,",
        "BSD-2,",
        "BSD-3",
        "arXiv:1801.03924",
    ]
    assert lines[place + 1] == "     run: iqsr weights fetch alexnet-imagenet"
    assert not any(line.startswith("     ") for line in run("--available").splitlines())


def test_available_lists_what_is_here():
    lines = run("--available").splitlines()
    assert [line.split()[1] for line in lines if line.startswith("yes")] == [
        n for n in metric_names() if availability(n).available
    ]
    assert not any(line.startswith("no ") for line in lines)


def test_json_holds_every_field_and_is_strict():
    def refuse(constant: str) -> None:
        raise AssertionError(constant)

    found = {entry["name"]: entry for entry in json.loads(run("--json"), parse_constant=refuse)}
    assert list(found) == metric_names()
    assert found["laplacian"]["range"] == [0, None]
    lpips = found["lpips"]
    assert lpips["here"] is False
    assert lpips["how"] == "run: iqsr weights fetch alexnet-imagenet"
    for name, entry in found.items():
        c = card(name)
        assert (entry["higher_is_better"], entry["licence"], entry["source"]) == (
            c.higher_is_better,
            c.licence,
            c.source,
        )


def test_one_card():
    text = run("lpips_st")
    assert text.splitlines()[0] == "stlpips  Shift-tolerant LPIPS (LPIPS-ST), AlexNet"
    assert "Ghildyal & Liu, ECCV 2022, arXiv:2207.13686" in text
    assert "21 px a side" in text
    assert json.loads(run("stlpips", "--json"))["name"] == "stlpips"


def test_unknown_metric_is_one_line_and_exit_code_2():
    line = run("musik", code=2)
    assert line.startswith("iqsr: unknown metric 'musik'; known: musiq, ")
    assert line.count("\n") == 1


def test_imports_no_torch():
    code = (
        "import sys\n"
        "sys.argv = ['iqsr', 'metrics']\n"
        "from iqsr.cli import main\n"
        "try: main()\n"
        "except SystemExit: pass\n"
        "print(sorted({'torch', 'pyiqa', 'pandas'} & set(sys.modules)), file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr == "[]\n"
