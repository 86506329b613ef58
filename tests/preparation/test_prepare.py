"""`iqsr prepare`: the data set it writes, stops and restarts, several processes."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import torch
from PIL import Image
from spandrel.architectures.Compact import Compact

from iqsr.datasets import SetName, check, open_sets
from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.images import read_rgb
from iqsr.metrics import load_metric
from iqsr.preparation import (
    Enhancers,
    ModelEnhancer,
    PatchRecipe,
    PrepareRecipe,
    Summary,
    UnsharpEnhancer,
    photo,
    prepare,
)
from iqsr.preparation.photo import write_png
from iqsr.recipes import recipe_hash
from support.commands import PATIENCE
from support.prepare_samples import CHEAP, RECIPE, SETTINGS, stripes, tree
from support.process_trees import children, is_alive, wait_for

SHARPENED = PrepareRecipe(patches=RECIPE.patches, enhancers=(UnsharpEnhancer(),))


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


# The data set


def test_the_data_set_is_read_as_hggts_and_nothing_is_wrong_with_it(
    prepared: tuple[Path, Summary], five_photos: Path
) -> None:
    out, summary = prepared
    sets = open_sets(out)
    assert check(out, deep=True) == []
    assert (sets.variants, sets.labelled) == (("original", "01", "02", "03"), False)
    assert len(sets) == summary.sets > 8
    assert (summary.photos, summary.too_small, summary.nothing_kept, summary.failed) == (5, 1, 1, 0)
    assert [p.name for p in (out / "images").iterdir()] == [f"0-{len(sets) - 1}"]
    assert {SetName.parse(name).image for name in sets.names} == {"astronaut", "cat-1", "more_coffee"}
    for gts in sets:
        where = SetName.parse(gts.name)
        assert [p.name for p in gts.paths[:2]] == [f"{gts.name}.png", f"{gts.name}_01.png"]
        (source,) = five_photos.rglob(f"{where.image.removeprefix('more_')}.*")
        crop = read_rgb(source)[:, :, where.row : where.row + 128, where.column : where.column + 128]
        assert torch.equal(read_rgb(gts.paths[0]), crop)


@torch.inference_mode()
def test_the_patches_are_those_of_the_enhanced_photo(prepared: tuple[Path, Summary], five_photos: Path) -> None:
    photo = read_rgb(five_photos / "astronaut.png")
    versions = list(Enhancers(RECIPE.enhancers).versions(photo))
    names = [name for name in open_sets(prepared[0]).names if name.startswith("astronaut")]
    assert names
    for name in names:
        where = SetName.parse(name)
        for path, version in zip(open_sets(prepared[0]).load(name).paths[1:], versions, strict=True):
            crop = version[:, :, where.row : where.row + 128, where.column : where.column + 128]
            assert (read_rgb(path) - crop).abs().max() <= 0.5 / 255 + 1e-5


def test_the_index_has_every_picture_and_its_score(prepared: tuple[Path, Summary]) -> None:
    out, sets = prepared[0], open_sets(prepared[0])
    index = pd.read_parquet(out / "index.parquet")
    assert list(index.columns) == ["set", "variant", "path", "image", "row", "column", "enhancer", "srq"]
    assert index["path"].tolist() == [p.relative_to(out).as_posix() for gts in sets for p in gts.paths]
    assert index["set"].tolist() == [name for name in sets.names for _ in sets.variants]
    assert index["variant"].tolist() == [*sets.variants] * len(sets)
    assert index["enhancer"].tolist()[:4] == [
        "",
        f"{CHEAP} strength 0.5",
        f"{CHEAP} strength 1",
        "unsharp weight 0.7 radius 7 threshold 5",
    ]
    rows: Any = index.itertuples()
    assert [f"{r.image}-{r.row}-{r.column}" for r in rows] == index["set"].tolist()
    srq = load_metric("srq")
    for row in index.iloc[::5].itertuples():
        assert row.srq == pytest.approx(srq(read_rgb(out / row.path)).item(), abs=2e-3)
    assert index["srq"].to_numpy().std(ddof=1) > 1


def test_the_folder_says_how_it_was_made(prepared: tuple[Path, Summary]) -> None:
    facts = json.loads((prepared[0] / "prepare.json").read_text())
    assert facts["recipe_hash"] == recipe_hash(RECIPE)
    assert PrepareRecipe.model_validate(facts["recipe"]) == RECIPE
    assert facts["sets"] == prepared[1].sets
    assert {"iqsr", "torch"} <= facts["versions"].keys()


def test_a_set_is_kept_if_any_of_its_versions_has_contrast(tmp_path: Path) -> None:
    """Stripes a little too flat: only sharpening lifts them above the threshold."""
    Image.fromarray(stripes(100, 156, 256)).save(tmp_path / "stripes.png")
    faint = PrepareRecipe(patches=PatchRecipe(crop=128), enhancers=(UnsharpEnhancer(weight=0.01),))
    with pytest.raises(IqsrError, match="1 too flat"):
        prepare(["stripes.png"], Path("a"), faint)
    strong = PrepareRecipe(patches=PatchRecipe(crop=128), enhancers=(UnsharpEnhancer(),))
    assert prepare(["stripes.png"], Path("b"), strong).sets > 0


def test_large_photos_are_reduced_where_the_recipe_says_so(five_photos: Path) -> None:
    recipe = RECIPE.model_copy(update={"longest": 200, "enhancers": (UnsharpEnhancer(),)})
    prepare([five_photos / "astronaut.png"], Path("sets"), recipe)
    for gts in open_sets(Path("sets")):
        where = SetName.parse(gts.name)
        assert where.row + 128 <= 200
        assert where.column + 128 <= 173


# Stops, restarts, processes


def test_two_processes_make_what_one_makes(prepared: tuple[Path, Summary], five_photos: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare([five_photos], Path("two"), RECIPE, workers=2, on_photo=lambda _, done, total: told.append((done, total)))
    assert tree(Path("two")) == tree(prepared[0])
    assert told == [(n, 5) for n in range(1, 6)]


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
def test_a_killed_run_goes_on_and_equals_an_uninterrupted_one(
    prepared: tuple[Path, Summary], five_photos: Path
) -> None:
    """Two processes are killed in the middle, without a word; one goes on."""
    command = [sys.executable, "-m", "iqsr", "prepare", str(five_photos), "-o", "sets", "--workers", "2", *SETTINGS]
    quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    run = subprocess.Popen([*command, "--device", "cpu"], env={**os.environ, "OMP_NUM_THREADS": "1"}, **quiet)
    wait_for(lambda: any(Path("sets/.prepare/sets/original").glob("*.png")) or run.poll() is not None)
    below = children(run.pid)
    run.send_signal(signal.SIGKILL)
    assert run.wait() == -signal.SIGKILL
    wait_for(lambda: not any(map(is_alive, below)), 20)
    assert not Path("sets/index.parquet").exists()
    assert not Path("sets/images").exists()
    work = Path("sets/.prepare/sets/01")
    (work / "gone-1-1_01.png").write_bytes(b"of a photo without a record")
    (work / ".astronaut-1-1_01.png.1-1.iqsr-part").write_bytes(b"half a pict")
    done = len(list(Path("sets/.prepare/photos").glob("*.json")))
    told: list[int] = []
    prepare([five_photos], Path("sets"), RECIPE, on_photo=lambda _, done, __: told.append(done))
    assert told == list(range(done + 1, 6))
    assert tree(Path("sets")) == tree(prepared[0])


def test_an_interrupt_ends_all_processes_and_says_how_to_go_on(five_photos: Path) -> None:
    command = [sys.executable, "-m", "iqsr", "prepare", str(five_photos), "-o", "sets", "--workers", "2", *SETTINGS]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for(lambda: Path("sets/.prepare/sets/03").exists() or run.poll() is not None)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=PATIENCE)[1]
    assert (run.returncode, said.splitlines()[-1]) == (130, "iqsr: stopped; the same command goes on from here")
    assert "Traceback" not in said


def test_more_photos_can_be_added_and_what_is_there_stays(five_photos: Path, prepared: tuple[Path, Summary]) -> None:
    first = prepare([five_photos / "cat-1.jpg"], Path("sets"), RECIPE)
    assert [p.name for p in Path("sets/images").iterdir()] == [f"0-{first.sets - 1}"]
    patch = next(Path("sets/images").rglob("cat-1-*.png"))
    before = patch.stat().st_mtime_ns
    told: list[str] = []
    summary = prepare(
        [five_photos], Path("sets"), RECIPE, on_photo=lambda outcome, *_: told.append(outcome.photo.image)
    )
    assert "cat-1" not in told
    assert summary == prepared[1]
    (again,) = Path("sets/images").rglob(f"{patch.parent.name}/{patch.name}")
    assert again.stat().st_mtime_ns == before
    assert tree(Path("sets")) == tree(prepared[0])
    assert prepare([five_photos], Path("sets"), RECIPE) == summary  # nothing left to do


def test_the_places_depend_on_the_seed_and_on_the_photos_name_alone(
    five_photos: Path, prepared: tuple[Path, Summary]
) -> None:
    other = RECIPE.model_copy(update={"seed": 1})
    prepare([five_photos / "cat-1.jpg"], Path("other"), other)
    names = [name for name in open_sets(prepared[0]).names if name.startswith("cat")]
    assert set(open_sets(Path("other")).names).isdisjoint(names)


def test_photos_of_one_name_or_with_new_content_are_refused(five_photos: Path) -> None:
    Image.open(five_photos / "cat-1.jpg").save("cat-1.png")
    with pytest.raises(UsageError, match="would both be called 'cat-1'; rename one"):
        prepare([five_photos, "cat-1.png"], Path("sets"), RECIPE)
    prepare(["cat-1.png"], Path("sets"), RECIPE)
    Image.open(five_photos / "astronaut.png").save("cat-1.png")
    with pytest.raises(UsageError, match=r"'cat-1.png' has changed since 'sets' was prepared"):
        prepare(["cat-1.png"], Path("sets"), RECIPE)


def test_one_run_at_a_time_works_in_a_folder(five_photos: Path) -> None:
    def again(*_: object) -> None:
        with pytest.raises(IqsrError, match=r"this process itself .* is at work in .sets.: wait"):
            prepare([five_photos], Path("sets"), RECIPE)

    prepare([five_photos / "cat-1.jpg"], Path("sets"), RECIPE, on_photo=again)


def test_a_checkpoint_that_changed_makes_another_recipe(tmp_path: Path, five_photos: Path) -> None:
    recipe = PrepareRecipe(patches=RECIPE.patches, enhancers=(ModelEnhancer(model="own.pth"),))
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(Compact(num_feat=8, num_conv=1, upscale=1).state_dict(), "own.pth")
        if seed == 0:
            prepare([five_photos / "cat-1.jpg"], Path("sets"), recipe)
    with pytest.raises(UsageError, match="another recipe"):
        prepare([five_photos], Path("sets"), recipe)


# What is there already


def test_a_photo_that_fails_half_way_leaves_no_pictures(five_photos: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    written: list[Path] = []

    def full(pixels: Any, out: Path) -> None:
        if out.name.startswith("cat-1") and len(written) % 2:
            raise PictureError(f"cannot write '{out}': No space left on device")
        write_png(pixels, out)
        written.append(out)

    with monkeypatch.context() as patch:
        patch.setattr(photo, "write_png", full)
        summary = prepare([five_photos / "astronaut.png", five_photos / "cat-1.jpg"], Path("sets"), SHARPENED)
    assert any(path.name.startswith("cat-1") for path in written)
    assert (summary.photos, summary.failed) == (1, 1)
    assert list(Path("sets").rglob("cat-1*")) == []
    assert check(Path("sets")) == []


def test_labelled_sets_take_no_photos_and_keep_their_index(five_photos: Path) -> None:
    prepare([five_photos / "cat-1.jpg"], Path("sets"), SHARPENED)
    Path("sets/labels").mkdir()
    before = tree(Path("sets"))
    with pytest.raises(UsageError, match="'sets' has labels of people"):
        prepare([five_photos], Path("sets"), SHARPENED)
    assert tree(Path("sets")) == before


@pytest.mark.parametrize("text", ["[1]", "null", "[" * 200_000, "{"])
def test_a_damaged_recipe_is_told_and_nothing_is_removed(five_photos: Path, text: str) -> None:
    prepare([five_photos / "wall.png", five_photos / "cat-1.jpg"], Path("sets"), SHARPENED)
    Path("sets/prepare.json").write_text(text)
    before = tree(Path("sets"))
    advice = r"^cannot read '.*prepare.json' \(.*\); put it back as it was, or name another folder$"
    with pytest.raises(IqsrError, match=advice):
        prepare([five_photos], Path("sets"), SHARPENED)
    assert tree(Path("sets")) == before


def test_sets_of_shards_in_the_folder_of_the_photos_are_no_photos(five_photos: Path) -> None:
    for name in ("in", "in/sets.shards/1-of-1/sets/images/0-0/original"):
        Path(name).mkdir(parents=True)
        shutil.copy(five_photos / "cat-1.jpg", name)
    assert prepare(["in"], Path("in/sets"), SHARPENED).photos == 1
