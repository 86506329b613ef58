"""`--shard` and `iqsr merge-shards`: what three shards make together is what the command makes alone."""

import shutil
import subprocess
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from iqsr.io.shards import read_manifest
from support.cli_pictures import FAST, IQSR, everything, picture
from support.commands import PATIENCE, Ended, Run
from support.damaged_lines import DAMAGED_LINES
from support.evaluation_samples import outputs, pairs
from support.prepare_samples import SETTINGS, tree

NAMES = ("a", "b", "c", "d", "e")


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path / "cache"))


def noise(path: str, seed: int, size: tuple[int, int] = (24, 16)) -> Path:
    place = Path(path)
    place.parent.mkdir(parents=True, exist_ok=True)
    values = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    Image.fromarray(values).save(place)
    return place


def in_shards(iqsr: Run, *arguments: str, count: int = 3, codes: tuple[int, ...] = (0,)) -> list[Ended]:
    """The command once for each shard, the last shard first."""
    ended = [iqsr(*arguments, "--shard", f"{number}/{count}") for number in range(count, 0, -1)]
    assert all(one.code in codes for one in ended), [one.err for one in ended]
    return ended


def results(folder: str | Path) -> dict[str, bytes]:
    """Every file below but the lock."""
    return {name: data for name, data in tree(Path(folder)).items() if not name.endswith("lock")}


def units(folder: str) -> Iterator[str]:
    """The names of the units of all shards."""
    for manifest in map(read_manifest, sorted(Path(folder).iterdir())):
        yield from (unit.name for unit in manifest.done)
        yield from (unit.name for unit, _ in manifest.failed)


# score


@pytest.fixture
def scored_pictures() -> Path:
    """Pictures of several sizes in two folders, and one that cannot be read."""
    for seed in range(6):
        noise(f"in/{'deep/' if seed % 2 else ''}{seed}.png", seed, (24, 16 + 8 * (seed % 3)))
    Path("in/bad.png").write_bytes(b"not a picture")
    return Path("in")


@pytest.mark.parametrize("suffix", [".csv", ".parquet", ".json"])
def test_scores_of_three_shards_are_those_of_one_run(iqsr: Run, scored_pictures: Path, suffix: str) -> None:
    arguments = ("score", "in", "-m", "laplacian", "--device", "cpu", "--no-cache")
    alone = iqsr(*arguments, "-o", f"alone{suffix}")
    assert alone.code == 1  # the picture that cannot be read
    in_shards(iqsr, *arguments, "-o", f"all{suffix}", codes=(0, 1))
    joined = iqsr("merge-shards", f"all{suffix}.shards", "-o", f"all{suffix}")
    assert (joined.code, joined.out) == (1, alone.out)
    assert "bad.png" in joined.err
    assert Path(f"all{suffix}").read_bytes() == Path(f"alone{suffix}").read_bytes()
    assert sorted(units(f"all{suffix}.shards")) == sorted(
        path.relative_to("in").as_posix() for path in Path("in").rglob("*.png")
    )


def test_scores_with_references_are_those_of_one_run(iqsr: Run) -> None:
    pairs(Path("set"), NAMES)
    outputs(Path("ours"), {name: 3 + k for k, name in enumerate(NAMES)})
    arguments = ("score", "ours", "-r", "set/HR", "-m", "psnr,laplacian", "--crop-border", "2", "--device", "cpu")
    assert iqsr(*arguments, "-o", "alone.csv").code == 0
    in_shards(iqsr, *arguments, "-o", "all.csv")
    assert iqsr("merge-shards", "all.csv.shards", "-o", "all.csv").code == 0
    assert Path("all.csv").read_bytes() == Path("alone.csv").read_bytes()


def test_an_empty_shard_says_so_and_is_joined(iqsr: Run) -> None:
    noise("in/only.png", 1)
    arguments = ("score", "in", "-m", "laplacian", "--device", "cpu", "-o", "all.csv")
    said = [ended.err for ended in in_shards(iqsr, *arguments)]
    assert sum("none of 1 is in it" in text for text in said) == 2
    assert iqsr("merge-shards", "all.csv.shards", "-o", "all.csv").code == 0
    assert len(pd.read_csv("all.csv")) == 1


def test_a_shard_again_changes_nothing_and_other_settings_are_refused(iqsr: Run, scored_pictures: Path) -> None:
    arguments = ("score", "in", "--device", "cpu", "-o", "all.csv", "--shard", "1/2")
    first = iqsr(*arguments, "-m", "laplacian")
    before = everything("all.csv.shards")
    again = iqsr(*arguments, "-m", "laplacian")
    assert (again.code, again.out, everything("all.csv.shards")) == (first.code, first.out, before)
    other = iqsr(*arguments, "-m", "laplacian,piqe")
    assert (other.code, everything("all.csv.shards")) == (2, before)
    assert "is of another settings (metrics): remove it, or name another -o" in other.err
    assert iqsr(*arguments, "-m", "laplacian,piqe", "--overwrite").code == first.code


def test_a_table_that_exists_is_replaced_with_overwrite_only(iqsr: Run) -> None:
    noise("in/only.png", 1)
    Path("all.csv").write_text("mine")
    in_shards(iqsr, "score", "in", "-m", "laplacian", "--device", "cpu", "-o", "all.csv")  # shards leave it alone
    refused = iqsr("merge-shards", "all.csv.shards", "-o", "all.csv")
    assert (refused.code, refused.err) == (2, "iqsr: 'all.csv' exists: use --overwrite, or name another\n")
    assert Path("all.csv").read_text() == "mine"
    assert iqsr("merge-shards", "all.csv.shards", "-o", "all.csv", "--overwrite").code == 0
    assert len(pd.read_csv("all.csv")) == 1


# agree


@pytest.fixture
def compared_pairs() -> None:
    for seed in range(8):
        noise(f"in/{seed}.png", seed)
    lines = [f"in/{k}.png,in/{(3 * k + 1) % 8}.png,{k / 8}" for k in range(8)]
    Path("pairs.csv").write_text("first,second,share_first\n" + "\n".join(lines) + "\n")


@pytest.mark.usefixtures("compared_pairs")
def test_agreement_of_three_shards_is_that_of_one_run(iqsr: Run) -> None:
    arguments = ("agree", "pairs.csv", "-m", "laplacian,piqe", "--device", "cpu", "--no-cache")
    alone = iqsr(*arguments, "-o", "alone")
    in_shards(iqsr, *arguments, "-o", "all")
    joined = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (alone.code, joined.code, joined.out) == (0, 0, alone.out)
    assert tree(Path("all")) == tree(Path("alone"))


@pytest.mark.usefixtures("compared_pairs")
def test_a_pair_without_a_score_is_in_the_manifest_and_stops_the_join(iqsr: Run) -> None:
    Path("in/5.png").write_bytes(b"not a picture")
    arguments = ("agree", "pairs.csv", "-m", "laplacian", "--device", "cpu", "--no-cache", "-o", "all")
    assert 1 in {ended.code for ended in in_shards(iqsr, *arguments, codes=(0, 1))}
    failed = [unit.name for folder in Path("all.shards").iterdir() for unit, _ in read_manifest(folder).failed]
    assert failed
    assert all("5.png" in name for name in failed)
    joined = iqsr("merge-shards", "all.shards", "-o", "all")
    assert joined.code == 1
    assert "a picture has no score" in joined.err
    assert not Path("all").exists()


# evaluate


@pytest.mark.parametrize("data", ["pairs", "originals"])
def test_an_evaluation_of_three_shards_is_that_of_one_run(iqsr: Run, data: str) -> None:
    pairs(Path("set"), NAMES)
    outputs(Path("ours"), {name: 3 + k for k, name in enumerate(NAMES[:-1])})  # one picture is missing
    of = ("--data", "set") if data == "pairs" else ("--data", "set/HR", "--degradation", "bicubic")
    arguments = ("evaluate", *of, "--models", "bicubic,ours", "-m", "psnr,laplacian", "--device", "cpu", "--no-cache")
    alone = iqsr(*arguments, "-o", "alone")
    in_shards(iqsr, *arguments, "-o", "all", codes=(0, 1))
    assert not Path("all").exists()
    joined = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (joined.code, joined.out.replace("all/", "alone/")) == (alone.code, alone.out)
    assert results("all") == results("alone")
    once = results("all")
    assert iqsr("merge-shards", "all.shards", "-o", "all").code == alone.code
    assert results("all") == once
    for journal in (Path("all.shards/1-of-3/evaluation/pictures/bicubic/made.jsonl"), *Path("all").rglob("made.jsonl")):
        journal.parent.mkdir(parents=True, exist_ok=True)
        journal.write_bytes(b"\n".join([*DAMAGED_LINES, b'{"file": "a.png", "of": "\xe2\x82']))
    again = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (again.code, results("all")) == (alone.code, once), again.err


# prepare


def test_sets_of_three_shards_are_those_of_one_run(iqsr: Run, five_photos: Path, prepared: tuple[Path, object]) -> None:
    arguments = ("prepare", str(five_photos), "-o", "sets", *SETTINGS, "--device", "cpu")
    in_shards(iqsr, *arguments)
    joined = iqsr("merge-shards", "sets.shards", "-o", "sets")
    assert joined.code == 0, joined.err
    assert results("sets") == results(prepared[0])
    assert iqsr("check-sets", "sets", "--headers").code == 0
    picture_of = next(Path("sets/images").rglob("*.png"))
    assert picture_of.stat().st_nlink == 2  # not copied
    once = results("sets")
    assert iqsr("merge-shards", "sets.shards", "-o", "sets").code == 0
    assert results("sets") == once


# upscale


@pytest.fixture
def enlarged_pictures() -> None:
    for seed in range(4):
        noise(f"in/{'deep/' if seed % 2 else ''}{seed}.png", seed)
    Path("in/bad.png").write_bytes(b"not a picture")


@pytest.mark.usefixtures("enlarged_pictures")
def test_pictures_of_three_shards_are_those_of_one_run(iqsr: Run) -> None:
    arguments = ("upscale", "in", *FAST, "--precision", "fp32", "--device", "cpu")
    assert iqsr(*arguments, "-o", "alone").code == 1
    in_shards(iqsr, *arguments, "-o", "all", codes=(0, 1))
    joined = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (joined.code, joined.out) == (1, "all: 4 pictures\n")
    assert joined.err.count("bad.png") == 1
    assert tree(Path("all")) == tree(Path("alone"))
    assert Path("all/0.png").stat().st_nlink == 2  # not copied
    assert iqsr("merge-shards", "all.shards", "-o", "all").code == 1  # goes on where all is there


@pytest.mark.usefixtures("enlarged_pictures")
def test_a_shard_of_upscale_goes_on_and_makes_changed_pictures_anew(iqsr: Run) -> None:
    Path("in/bad.png").unlink()
    arguments = ("upscale", "in", *FAST, "--precision", "fp32", "--device", "cpu", "-o", "all", "--shard", "1/1")
    assert iqsr(*arguments).code == 0
    made = Path("all.shards/1-of-1/pictures")
    before = {path: path.stat().st_mtime_ns for path in made.rglob("*.png")}
    (made / "0.png").unlink()
    noise("in/2.png", 99)
    again = iqsr(*arguments)
    assert (again.code, "2 upscaled, 2 skipped" in again.err) == (0, True)
    after = {path: path.stat().st_mtime_ns for path in made.rglob("*.png")}
    assert {path.name for path in after if after[path] != before[path]} == {"0.png", "2.png"}


def test_a_shard_that_is_killed_goes_on(iqsr: Run) -> None:
    for seed in range(4):
        noise(f"in/{seed}.png", seed, (96, 96))
    arguments = ("upscale", "in", *FAST, "--precision", "fp32", "--device", "cpu")
    assert iqsr(*arguments, "-o", "alone").code == 0
    journal, until = Path("all.shards/1-of-1/done.jsonl"), time.monotonic() + PATIENCE
    killed = subprocess.Popen([*IQSR, *arguments, "-o", "all", "--shard", "1/1"], stderr=subprocess.PIPE)
    while not journal.exists():
        assert killed.poll() is None
        assert time.monotonic() < until
        time.sleep(0.005)
    killed.kill()
    killed.communicate()
    refused = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (refused.code, "shard 1/1 has not ended" in refused.err) == (2, True)
    again = iqsr(*arguments, "-o", "all", "--shard", "1/1")
    assert (again.code, " skipped" in again.err) == (0, True)
    assert iqsr("merge-shards", "all.shards", "-o", "all").code == 0
    assert tree(Path("all")) == tree(Path("alone"))


@pytest.mark.usefixtures("enlarged_pictures")
def test_results_inside_the_inputs_are_no_inputs(iqsr: Run) -> None:
    Path("in/bad.png").unlink()
    arguments = ("upscale", "in", *FAST, "--precision", "fp32", "--device", "cpu", "-o", "in/large")
    in_shards(iqsr, *arguments, count=2)
    assert iqsr("merge-shards", "in/large.shards", "-o", "in/large").out == "in/large: 4 pictures\n"
    in_shards(iqsr, *arguments, count=2)
    assert len(list(units("in/large.shards"))) == 4


def test_another_picture_of_the_name_is_not_replaced(iqsr: Run) -> None:
    noise("in/0.png", 0)
    in_shards(iqsr, "upscale", "in", *FAST, "--precision", "fp32", "--device", "cpu", "-o", "all", count=1)
    before = picture("all/0.png").read_bytes()
    refused = iqsr("merge-shards", "all.shards", "-o", "all")
    assert (refused.code, refused.err) == (2, "iqsr: 'all/0.png' exists: use --overwrite, or name another\n")
    assert Path("all/0.png").read_bytes() == before
    assert iqsr("merge-shards", "all.shards", "-o", "all", "--overwrite").code == 0
    assert Path("all/0.png").read_bytes() != before


# Wrong arguments


@pytest.mark.parametrize(
    "arguments",
    [
        ("score", "in", "-o", "t.csv"),
        ("agree", "pairs.csv", "-o", "t"),
        ("evaluate", "--data", "in", "--models", "bicubic", "-o", "t"),
        ("prepare", "in", "-o", "t"),
        ("upscale", "in", "-o", "t"),
    ],
    ids=lambda arguments: arguments[0],
)
@pytest.mark.parametrize("shard", ["0/3", "4/3", "1/0", "one", "slurm"])
def test_a_wrong_shard_is_one_line_before_any_work(
    iqsr: Run, arguments: tuple[str, ...], shard: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delenv("SLURM_ARRAY_TASK_ID", raising=False)
    ended = iqsr(*arguments, "--shard", shard)
    assert (ended.code, ended.out, ended.err.count("\n")) == (2, "", 1)
    assert "--shard" in ended.err
    assert not list(Path().iterdir())


@pytest.mark.parametrize(
    "arguments",
    [("score", "in", "-m", "laplacian"), ("agree", "pairs.csv", "-m", "laplacian"), ("upscale", "in/0.png")],
    ids=lambda arguments: arguments[0],
)
def test_a_shard_needs_to_know_the_result(iqsr: Run, arguments: tuple[str, ...]) -> None:
    noise("in/0.png", 0)
    Path("pairs.csv").write_text("first,second,share_first\nin/0.png,in/0.png,1\n")
    ended = iqsr(*arguments, "--shard", "1/2")
    assert (ended.code, ended.err) == (2, "iqsr: --shard writes to OUT.shards: say with -o where the results go\n")


def test_shards_that_cannot_be_joined_are_one_line(iqsr: Run) -> None:
    noise("in/0.png", 0)
    in_shards(iqsr, "score", "in", "-m", "laplacian", "--device", "cpu", "-o", "all.csv")
    shutil.rmtree("all.csv.shards/2-of-3")
    refused = iqsr("merge-shards", "all.csv.shards", "-o", "all.csv")
    assert (refused.code, refused.out) == (2, "")
    assert refused.err == "iqsr: shard 2/3 is missing: run it, or name its folder too\n"
    assert not Path("all.csv").exists()
    assert iqsr("merge-shards", "nowhere", "-o", "all.csv").code == 2
