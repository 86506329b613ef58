"""Files that exist: every command refuses to replace one, before any work, unless --overwrite says so."""

import hashlib
import shutil
from pathlib import Path

import pytest

from iqsr.images.find import find_pictures
from iqsr.io.shards import Shard
from iqsr.io.weights import locate
from iqsr.scoring import MetricSet
from iqsr.scoring.shards import score_shard
from support.agreement_samples import save_noise
from support.cli_pictures import FAST
from support.command_lines import app_group
from support.commands import Run
from support.hggt_samples import N, P, S, add_set
from support.report_samples import run_folder

MODEL = "realesr-animevideov3"
GO_ON = {"demo", "evaluate", "prepare", "train", "train-quality"}
"""Commands of which a folder goes on: `prepare` and `evaluate` with the same command, trainings as their help says; the
demo makes its page anew."""

WRITERS = {
    "upscale": (("upscale", "0.png", "-o", "new/o.png", *FAST), ["new/o.png"]),
    "upscale-folder": (("upscale", "in", "-o", "new", *FAST), ["new/0.png", "new/1.png"]),
    "score": (("score", "0.png", "-m", "laplacian", "-o", "new/t.csv"), ["new/t.csv"]),
    "score-map": (("score", "0.png", "-m", "laplacian", "--map", "new"), ["new/0_map.png"]),
    "agree": (
        ("agree", "pairs.csv", "-m", "laplacian,piqe", "-o", "new"),
        [f"new/{name}" for name in ("accuracy.csv", "agreement.json", "agreement.md")]
        + ["new/complementarity.csv", "new/complementarity.png"],
    ),
    "agree-labels": (
        ("agree-labels", "Train", "-m", "laplacian", "-o", "new"),
        ["new/misalignment.csv", "new/misalignment.json", "new/misalignment.md"],
    ),
    "export": (("export", MODEL, "-o", "new/a.safetensors"), ["new/a.safetensors"]),
    "export-openvino": (("export", MODEL, "-o", "new/a.xml"), ["new/a.bin", "new/a.xml"]),
    "interpolate": (
        ("interpolate", "a.safetensors", "a.safetensors", "-o", "new/b.safetensors"),
        ["new/b.safetensors"],
    ),
    "panel": (("panel", "a=0.png", "b=1.png", "-o", "new/p.png"), ["new/p.png"]),
    "compare": (("compare", "runs/a", "runs/b", "-o", "new/c.html"), ["new/c.html"]),
    "merge-shards": (("merge-shards", "t.csv.shards", "-o", "new/t.csv"), ["new/t.csv"]),
    "merge": (("merge", "run", "-o", "new/m.safetensors"), ["new/m.safetensors"]),
}


def test_every_command_that_writes_is_held_to_the_rule() -> None:
    options = {
        name: {text for option in command.params for text in option.opts}
        for name, command in app_group().commands.items()
    }
    writers = {name for name, given in options.items() if "--output" in given}
    assert {name for name in writers if "--overwrite" not in options[name]} == GO_ON
    assert {arguments[0] for arguments, _ in WRITERS.values()} == writers - GO_ON


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


@pytest.fixture(scope="module")
def plain_model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model as a plain checkpoint."""
    from iqsr.export import export
    from iqsr.models import load_model

    out = tmp_path_factory.mktemp("model") / "a.safetensors"
    export(load_model(MODEL), out)
    return out


@pytest.fixture
def inputs(plain_model: Path) -> None:
    """What the commands read."""
    Path("in").mkdir()
    Path("run").mkdir()
    for i in range(2):
        save_noise(f"{i}.png", 5 + 10 * i)
        save_noise(f"in/{i}.png", 5 + 10 * i)
    for run in ("a", "b"):
        run_folder(Path("runs") / run, "steps = 4\n", {0: 20.0, 4: 21.0})
    Path("pairs.csv").write_text("first,second,share_first\n0.png,1.png,0.1\n")
    add_set(Path("Train"), "1-0-0", ((P, S, S, N),) * 3)
    for file in Path("Train/images/0-20193").rglob("*.png"):
        save_noise(str(file), 9)
    score_shard(find_pictures(["in"]), MetricSet(["laplacian"]), Path("t.csv"), Shard(1, 1))
    shutil.copy(plain_model, "a.safetensors")
    shutil.copy(plain_model, "run/weights.safetensors")


def contents(folder: str) -> dict[str, str]:
    """Digest by path."""
    return {
        str(path): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(Path(folder).rglob("*"))
        if path.is_file()
    }


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("name", WRITERS)
def test_a_file_that_exists_is_replaced_with_overwrite_only(iqsr: Run, name: str) -> None:
    if name == "export-openvino":
        pytest.importorskip("openvino")
    arguments, files = WRITERS[name]
    first = iqsr(*arguments)
    assert first.code == 0, first.err
    assert sorted(contents("new")) == files  # and the folder was made

    for file in files:
        Path(file).write_text("mine")
    before, scores = contents("new"), contents("cache")
    refused = iqsr(*arguments)
    assert (refused.code, refused.out) == (2, "")
    assert refused.err.startswith("iqsr: 'new/")
    assert "--overwrite" in refused.err
    assert refused.err.count("\n") == 1
    assert (contents("new"), contents("cache")) == (before, scores)

    replaced = iqsr(*arguments, "--overwrite")
    assert replaced.code == 0, replaced.err
    assert sorted(contents("new")) == files
    assert not set(contents("new").items()) & set(before.items())


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("name", ["agree", "export-openvino"])
def test_one_file_of_several_that_exists_is_enough(iqsr: Run, name: str) -> None:
    if name == "export-openvino":
        pytest.importorskip("openvino")
    arguments, files = WRITERS[name]
    Path("new").mkdir()
    Path(files[0]).write_text("mine")
    cached = contents("cache")
    refused = iqsr(*arguments)
    assert (refused.code, refused.err) == (2, f"iqsr: '{files[0]}' exists: use --overwrite, or name another\n")
    assert contents("new").keys() == {files[0]}
    assert contents("cache") == cached


@pytest.mark.usefixtures("inputs")
@pytest.mark.parametrize("name", ["score", "export", "merge", "interpolate"])
def test_a_place_that_is_a_folder_is_one_line_before_any_work(iqsr: Run, name: str) -> None:
    arguments, (file,) = WRITERS[name]
    Path(file).mkdir(parents=True)
    ended = iqsr(*arguments, "--overwrite")
    assert (ended.code, ended.out, ended.err) == (1, "", f"iqsr: cannot write '{file}': it is a folder\n")


def test_weights_that_are_there_are_left_alone(iqsr: Run, weights_folder: Path) -> None:
    """The weights folder is iqsr's own: files are known by hash, and only what is none of them is replaced."""
    usb = Path("usb")
    usb.mkdir()
    shutil.copy(locate(MODEL), usb / "x")
    assert iqsr("weights", "import", "usb").code == 0
    (file,) = weights_folder.iterdir()
    before = file.stat().st_mtime_ns
    assert iqsr("weights", "import", "usb").code == 0
    assert file.stat().st_mtime_ns == before
