"""`iqsr prepare`: patch rules, enhancers, the data set it writes, stops and restarts, what it says of bad input."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import skimage.data
import torch
from PIL import Image
from spandrel import ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN

from commands import Run
from iqsr.degrade import unsharp_mask
from iqsr.errors import IqsrError, ModelError, UsageError
from iqsr.generators import load_generator
from iqsr.images import read_rgb
from iqsr.multigt import SetName, check, open_sets
from iqsr.prepare import (
    Enhancers,
    GeneratorEnhancer,
    PatchRecipe,
    PrepareRecipe,
    Redrawer,
    Summary,
    UnsharpEnhancer,
    is_textured,
    load_enhancer,
    places,
    prepare,
)
from iqsr.prepare.enhance import resized, sharpened
from iqsr.prepare.patches import gray, laplacian
from iqsr.quality import load_metric
from iqsr.recipes import read_recipe, recipe_hash

CHEAP = "realesr-animevideov3"
RECIPE = PrepareRecipe(
    patches=PatchRecipe(crop=128, step=96),
    enhancers=(
        GeneratorEnhancer(model=CHEAP, strength=0.5),
        GeneratorEnhancer(model=CHEAP),
        UnsharpEnhancer(),
    ),
)
SETTINGS = (
    "--set=patches.crop=128",
    "--set=patches.step=96",
    f'--set=enhancers=[{{kind="generator",model="{CHEAP}",strength=0.5}},{{kind="generator",model="{CHEAP}"}},'
    '{kind="unsharp"}]',
)
"""The same for the command."""


@pytest.fixture(autouse=True)
def _here(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def save_photos(folder: Path) -> Path:
    """Five small ones, one of them under the crop and one without any detail."""
    folder.mkdir(parents=True)
    (folder / "more").mkdir()
    Image.fromarray(skimage.data.astronaut()[:300, 100:360]).save(folder / "astronaut.png")
    Image.fromarray(skimage.data.chelsea()[20:250, 60:330]).save(folder / "cat-1.jpg", quality=95)
    Image.fromarray(skimage.data.coffee()[100:350, 100:400]).save(folder / "more/coffee.png")
    Image.fromarray(skimage.data.astronaut()[:100, :300]).save(folder / "narrow.png")
    Image.fromarray(np.full((250, 250, 3), 90, np.uint8)).save(folder / "wall.png")
    return folder


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_photos(tmp_path_factory.mktemp("from") / "photos")


@pytest.fixture(scope="module")
def made(photos: Path, tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Summary]:
    """A data set made in one go by one process."""
    out = tmp_path_factory.mktemp("made") / "sets"
    return out, prepare([photos], out, RECIPE)


def tree(folder: Path) -> dict[str, bytes]:
    return {p.relative_to(folder).as_posix(): p.read_bytes() for p in sorted(folder.rglob("*")) if p.is_file()}


# Patches


def stripes(low: int, high: int, side: int = 64) -> np.ndarray:
    """Columns of two gray values in turn, (side, side, 3)."""
    row = np.where(np.arange(side) % 2 == 0, low, high).astype(np.uint8)
    return np.broadcast_to(row[None, :, None], (side, side, 3)).copy()


def test_gray_is_that_of_pillow() -> None:
    pixels = np.random.default_rng(0).integers(0, 256, (200, 201, 3), np.uint8)
    assert np.array_equal(gray(pixels), np.asarray(Image.fromarray(pixels).convert("L")))


def test_the_laplacian_is_that_of_the_definition() -> None:
    values = np.zeros((4, 5), np.uint8)
    values[1, 2] = 10
    assert laplacian(values).tolist() == [
        [0, 0, 20, 0, 0],  # the row above the border is row 1 again
        [0, 10, 0, 10, 0],  # the peak itself is -40, cut to 0
        [0, 0, 10, 0, 0],
        [0, 0, 0, 0, 0],
    ]
    hole = np.full((3, 3), 200, np.uint8)
    hole[1, 1] = 0
    assert laplacian(hole)[1, 1] == 255  # 800, cut


def test_the_laplacian_is_that_of_opencv() -> None:
    cv2 = pytest.importorskip("cv2")
    values = np.random.default_rng(1).integers(0, 256, (61, 47), np.uint8)
    assert np.array_equal(laplacian(values), cv2.Laplacian(values, cv2.CV_8U))


def test_a_patch_needs_contrast_and_detail() -> None:
    recipe = PatchRecipe()
    assert gray(stripes(100, 160)).std() == 30.0  # half of the values 30 below the mean, half 30 above
    assert laplacian(gray(stripes(100, 160))).var() == 3600.0  # half 120, half (-120, cut to) 0
    assert is_textured(stripes(100, 160), recipe)
    assert not is_textured(stripes(100, 159), recipe)
    ramp = np.broadcast_to(np.arange(64, dtype=np.uint8)[None, :, None] * 4, (64, 64, 3)).copy()
    assert gray(ramp).std() > 70
    assert not is_textured(ramp, recipe)
    lightened = PatchRecipe(detail=0)
    assert is_textured(ramp, lightened)


@pytest.mark.parametrize(("side", "latest"), [(1199, 32), (1200, 64), (2399, 64), (2400, 128)])
def test_a_grid_starts_at_random_within_what_the_side_allows(side: int, latest: int) -> None:
    recipe = PatchRecipe(jitter=0)
    generator = torch.Generator().manual_seed(0)
    grids = [places(side, 600, recipe, generator) for _ in range(600)]
    starts = {grid[0][0] for grid in grids}
    assert (min(starts), max(starts)) == (0, latest)
    rows = sorted({row for row, _ in grids[0]})
    assert all(b - a == 288 for a, b in zip(rows, rows[1:], strict=False))
    assert side - 512 - 288 < rows[-1] <= side - 512


def test_every_place_is_jittered_on_both_axes_and_fits() -> None:
    recipe, generator = PatchRecipe(), torch.Generator().manual_seed(1)
    plain = PatchRecipe(jitter=0)
    shifts: set[int] = set()
    for seed in range(60):
        found = places(2000, 1400, recipe, torch.Generator().manual_seed(seed))
        assert all(0 <= row <= 2000 - 512 and 0 <= column <= 1400 - 512 for row, column in found)
        start = places(2000, 1400, plain, torch.Generator().manual_seed(seed))[0]
        shifts |= {found[0][0] - start[0], found[0][1] - start[1]}
    assert min(shifts) >= -16
    assert max(shifts) <= 16
    assert len(shifts) > 20
    assert places(511, 4000, recipe, generator) == []
    assert places(2000, 1400, recipe, torch.Generator().manual_seed(7)) == places(
        2000, 1400, recipe, torch.Generator().manual_seed(7)
    )


# Enhancers


def photo_tensor(height: int = 91, width: int = 118) -> torch.Tensor:
    return torch.from_numpy(skimage.data.astronaut()[:height, 150 : 150 + width].copy()).permute(2, 0, 1)[None] / 255


@torch.inference_mode()
def test_versions_have_the_size_of_the_photo_and_strength_is_a_blend() -> None:
    photo = photo_tensor()
    half, full, sharp = Enhancers(RECIPE.enhancers).versions(photo)
    assert half.shape == full.shape == sharp.shape == photo.shape
    assert all(0 <= x.min() and x.max() <= 1 for x in (half, full, sharp))
    assert torch.allclose(half, (photo + full) / 2, atol=1e-6)
    assert (full - photo).abs().mean() > 0.005
    assert torch.equal(sharp, sharpened(photo, UnsharpEnhancer()))


@torch.inference_mode()
def test_a_photo_is_drawn_again_from_its_reduced_copy() -> None:
    """Against the network on the whole copy and one reduction of the whole output: band by band is the same."""
    photo, generator = photo_tensor(240, 330), load_generator(CHEAP)
    small = resized(photo, (180, 248))
    plain = resized(generator.module(small).clamp(0, 1), (240, 330))
    assert torch.allclose(Redrawer(generator, precision="fp32", device="cpu").redraw(photo, 0.75), plain, atol=2e-5)


def test_what_networks_make_is_computed_once_for_all_strengths(monkeypatch: pytest.MonkeyPatch) -> None:
    calls: list[float | None] = []
    original = Redrawer.redraw

    def counted(self: Redrawer, photo: torch.Tensor, reduce: float | None = None) -> torch.Tensor:
        calls.append(reduce)
        return original(self, photo, reduce)

    monkeypatch.setattr(Redrawer, "redraw", counted)
    recipes = [GeneratorEnhancer(model=CHEAP, reduce=r, strength=s) for r, s in ((0.5, 1), (0.25, 1), (0.5, 0.2))]
    assert len(list(Enhancers(recipes).versions(photo_tensor()))) == 3
    assert calls == [0.5, 0.25]


@torch.inference_mode()
def test_restorers_of_scale_one_work_on_the_photo_itself(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(Compact(num_feat=8, num_conv=1, upscale=1).state_dict(), tmp_path / "compact.pth")
    torch.save(DnCNN(in_nc=3, out_nc=3, nc=8, nb=4, mode="DnCNN").state_dict(), tmp_path / "dncnn.pth")
    photo = photo_tensor()
    for name in ("compact.pth", "dncnn.pth"):
        generator = load_enhancer(str(tmp_path / name))
        assert generator.scale == 1
        (version,) = Enhancers([GeneratorEnhancer(model=str(tmp_path / name))]).versions(photo)
        expected = ModelLoader("cpu").load_from_file(tmp_path / name)(photo)
        assert torch.allclose(version, expected, atol=1e-4)
        assert not torch.equal(version, photo)


def test_networks_that_cannot_be_used_are_told(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"set reduce to 0.25 or more"):
        Enhancers([GeneratorEnhancer(model=CHEAP, reduce=0.2)])
    with pytest.raises(UsageError, match="unknown model 'realesrgan-x4pluss'"):
        Enhancers([GeneratorEnhancer(model="realesrgan-x4pluss")])
    torch.save({"a": torch.zeros(3)}, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="not a network that spandrel knows"):
        load_enhancer(str(tmp_path / "other.pth"))
    torch.save(DnCNN(in_nc=1, out_nc=1, nc=8, nb=4, mode="DnCNN").state_dict(), tmp_path / "gray.pth")
    with pytest.raises(ModelError, match="only those from RGB to RGB"):
        load_enhancer(str(tmp_path / "gray.pth"))


def test_sharpening_in_strips_changes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    photo, recipe = photo_tensor(200, 90), UnsharpEnhancer(radius=30, threshold=4)
    monkeypatch.setattr("iqsr.prepare.enhance._STRIP", 48)
    whole = unsharp_mask(photo, weight=recipe.weight, radius=30, threshold=4)
    assert torch.allclose(sharpened(photo, recipe), whole, atol=1e-6)
    assert not torch.allclose(whole, photo, atol=1e-2)


# The data set


def test_the_data_set_is_read_as_hggts_and_nothing_is_wrong_with_it(made: tuple[Path, Summary], photos: Path) -> None:
    out, summary = made
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
        (source,) = photos.rglob(f"{where.image.removeprefix('more_')}.*")
        crop = read_rgb(source)[:, :, where.row : where.row + 128, where.column : where.column + 128]
        assert torch.equal(read_rgb(gts.paths[0]), crop)


@torch.inference_mode()
def test_the_patches_are_those_of_the_enhanced_photo(made: tuple[Path, Summary], photos: Path) -> None:
    photo = read_rgb(photos / "astronaut.png")
    versions = list(Enhancers(RECIPE.enhancers).versions(photo))
    names = [name for name in open_sets(made[0]).names if name.startswith("astronaut")]
    assert names
    for name in names:
        where = SetName.parse(name)
        for path, version in zip(open_sets(made[0]).load(name).paths[1:], versions, strict=True):
            crop = version[:, :, where.row : where.row + 128, where.column : where.column + 128]
            assert (read_rgb(path) - crop).abs().max() <= 0.5 / 255 + 1e-5


def test_the_index_has_every_picture_and_its_score(made: tuple[Path, Summary]) -> None:
    out, sets = made[0], open_sets(made[0])
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
    assert [f"{r.image}-{r.row}-{r.column}" for r in index.itertuples()] == index["set"].tolist()
    srq = load_metric("srq")
    for row in index.iloc[::5].itertuples():
        assert row.srq == pytest.approx(srq(read_rgb(out / row.path)).item(), abs=2e-3)
    assert index["srq"].std() > 1


def test_the_folder_says_how_it_was_made(made: tuple[Path, Summary]) -> None:
    facts = json.loads((made[0] / "prepare.json").read_text())
    assert facts["recipe_hash"] == recipe_hash(RECIPE)
    assert PrepareRecipe.model_validate(facts["recipe"]) == RECIPE
    assert facts["sets"] == made[1].sets
    assert {"iqsr", "torch"} <= facts["versions"].keys()


def test_a_set_is_kept_if_any_of_its_versions_has_contrast(tmp_path: Path) -> None:
    """Stripes a little too flat: only sharpening lifts them above the threshold."""
    Image.fromarray(stripes(100, 156, 256)).save(tmp_path / "stripes.png")
    faint = PrepareRecipe(patches=PatchRecipe(crop=128), enhancers=(UnsharpEnhancer(weight=0.01),))
    with pytest.raises(IqsrError, match="1 too flat"):
        prepare(["stripes.png"], Path("a"), faint)
    strong = PrepareRecipe(patches=PatchRecipe(crop=128), enhancers=(UnsharpEnhancer(),))
    assert prepare(["stripes.png"], Path("b"), strong).sets > 0


def test_large_photos_are_reduced_where_the_recipe_says_so(photos: Path) -> None:
    recipe = RECIPE.model_copy(update={"longest": 200, "enhancers": (UnsharpEnhancer(),)})
    prepare([photos / "astronaut.png"], Path("sets"), recipe)
    for gts in open_sets(Path("sets")):
        where = SetName.parse(gts.name)
        assert where.row + 128 <= 200
        assert where.column + 128 <= 173


# Stops, restarts, processes


def test_two_processes_make_what_one_makes(made: tuple[Path, Summary], photos: Path) -> None:
    told: list[tuple[int, int]] = []
    prepare([photos], Path("two"), RECIPE, workers=2, on_photo=lambda _, done, total: told.append((done, total)))
    assert tree(Path("two")) == tree(made[0])
    assert told == [(n, 5) for n in range(1, 6)]


def children(pid: int) -> list[int]:
    return [int(text) for text in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def is_alive(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def wait_for(condition: Callable[[], bool], seconds: float = 120) -> None:
    end = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < end
        time.sleep(0.02)


@pytest.mark.skipif(sys.platform != "linux", reason="looks into /proc")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_killed_run_goes_on_and_equals_an_uninterrupted_one(
    made: tuple[Path, Summary], photos: Path, workers: int
) -> None:
    command = [sys.executable, "-m", "iqsr", "prepare", str(photos), "-o", "sets", "--workers", str(workers), *SETTINGS]
    quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
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
    prepare([photos], Path("sets"), RECIPE, on_photo=lambda _, done, __: told.append(done))
    assert told == list(range(done + 1, 6))
    assert tree(Path("sets")) == tree(made[0])


def test_an_interrupt_ends_all_processes_and_says_how_to_go_on(photos: Path) -> None:
    command = [sys.executable, "-m", "iqsr", "prepare", str(photos), "-o", "sets", "--workers", "2", *SETTINGS]
    run = subprocess.Popen(command, stderr=subprocess.PIPE, text=True, env={**os.environ, "OMP_NUM_THREADS": "1"})
    wait_for(lambda: Path("sets/.prepare/sets/03").exists() or run.poll() is not None)
    run.send_signal(signal.SIGTERM)
    said = run.communicate(timeout=60)[1]
    assert (run.returncode, said.splitlines()[-1]) == (130, "iqsr: stopped; the same command goes on from here")
    assert "Traceback" not in said


def test_more_photos_can_be_added_and_what_is_there_stays(photos: Path, made: tuple[Path, Summary]) -> None:
    first = prepare([photos / "cat-1.jpg"], Path("sets"), RECIPE)
    assert [p.name for p in Path("sets/images").iterdir()] == [f"0-{first.sets - 1}"]
    patch = next(Path("sets/images").rglob("cat-1-*.png"))
    before = patch.stat().st_mtime_ns
    told: list[str] = []
    summary = prepare([photos], Path("sets"), RECIPE, on_photo=lambda outcome, *_: told.append(outcome.photo.image))
    assert "cat-1" not in told
    assert summary == made[1]
    (again,) = Path("sets/images").rglob(f"{patch.parent.name}/{patch.name}")
    assert again.stat().st_mtime_ns == before
    assert tree(Path("sets")) == tree(made[0])
    assert prepare([photos], Path("sets"), RECIPE) == summary  # nothing left to do


def test_the_places_depend_on_the_seed_and_on_the_photos_name_alone(photos: Path, made: tuple[Path, Summary]) -> None:
    other = RECIPE.model_copy(update={"seed": 1})
    prepare([photos / "cat-1.jpg"], Path("other"), other)
    names = [name for name in open_sets(made[0]).names if name.startswith("cat")]
    assert set(open_sets(Path("other")).names).isdisjoint(names)


# What is said


def test_the_command_tells_what_it_made_and_checks_it(iqsr: Run, photos: Path, made: tuple[Path, Summary]) -> None:
    ended = iqsr("prepare", str(photos), "-o", "sets", *SETTINGS, "--device", "cpu")
    assert ended.code == 0
    assert ended.out.splitlines() == [
        f"sets: {made[1].sets} sets of 5 photos",
        "smaller than the crop of 128 pixels: 1 (--set patches.crop=... cuts smaller)",
        "hardly larger than the crop, or flat, or blurred: 1",
    ]
    assert tree(Path("sets")) == tree(made[0])
    ended = iqsr("prepare", "--check", "sets", "--deep")
    assert ended.code == 0
    assert ended.out == f"sets: all well: {made[1].sets} sets of 4, every picture decoded\n"


def test_a_check_has_a_line_for_everything_wrong(iqsr: Run, photos: Path) -> None:
    prepare([photos / "cat-1.jpg"], Path("sets"), RECIPE)
    first, second, *_ = open_sets(Path("sets"))
    first.paths[2].unlink()
    second.paths[1].write_bytes(second.paths[1].read_bytes()[:-50])
    ended = iqsr("prepare", "--check", "sets")
    assert (ended.code, ended.out) == (1, f"{first.paths[2]}: the picture is missing\n")
    ended = iqsr("prepare", "--check", "sets", "--deep")
    assert ended.code == 1
    assert len(ended.out.splitlines()) == 2
    assert f"{second.paths[1]}: the file is damaged or cut short" in ended.out


def test_a_photo_that_cannot_be_read_is_told_and_tried_again(iqsr: Run, photos: Path) -> None:
    bad = Path("some/bad.jpg")
    bad.parent.mkdir()
    bad.write_text("no photo")
    Image.open(photos / "cat-1.jpg").save("some/cat.png")
    for _ in range(2):
        ended = iqsr("prepare", "some", "-o", "sets", *SETTINGS)
        assert ended.code == 1
        assert [line for line in ended.err.splitlines() if line.startswith("iqsr:")] == [
            "iqsr: cannot read 'some/bad.jpg': it is a text file, not a picture; "
            "PNG, JPEG, WebP, TIFF, HEIC and AVIF are read"
        ]
        assert "failed: 1; the same command tries them again" in ended.out
        assert check(Path("sets")) == []
    bad.unlink()
    assert iqsr("prepare", "some", "-o", "sets", *SETTINGS).code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((), "give photos and -o DIR, or --check DIR"),
        (("PHOTOS",), "give photos and -o DIR, or --check DIR"),
        (("PHOTOS", "-o", "x", "--deep"), "--deep belongs to --check DIR"),
        (("PHOTOS", "--check", "x"), "--check DIR takes no photos"),
        (("--check", "nowhere"), "no such folder: 'nowhere'"),
        (("nowhere.jpg", "-o", "x"), "no such picture, folder or pattern: 'nowhere.jpg'"),
        (("PHOTOS", "-o", "x", "--workers", "0"), "--workers is at least 1, got 0"),
        (("PHOTOS", "-o", "x", "--set", "patches.corp=3"), "unknown key 'patches.corp'; did you mean 'patches.crop'?"),
        (("PHOTOS", "-o", "x", "--set", 'metrics=["psnr"]'), "psnr compares with a reference"),
        (("PHOTOS", "-o", "x", "--set", 'metrics=["srqq"]'), "unknown metric 'srqq'; known: srq"),
        (("PHOTOS", "-o", "x", "--set", 'enhancers=[{kind="unsharp",reduce=1}]'), "unknown key 'enhancers[0].reduce'"),
        (("PHOTOS", "-o", "x", "--set", 'enhancers=[{kind="generator",model="x4"}]'), "unknown model 'x4'"),
        (("PHOTOS", "-o", "PHOTOS/wall.png"), "wall.png' is a file; name a folder"),
        (("PHOTOS", "-o", "PHOTOS"), "has files that `iqsr prepare` did not make"),
        (("PHOTOS", "-o", "MADE"), "was prepared with another recipe; choose another folder, or remove it"),
    ],
)
def test_wrong_arguments_are_one_line_and_exit_code_2(
    iqsr: Run, photos: Path, made: tuple[Path, Summary], arguments: tuple[str, ...], line: str
) -> None:
    places_of = {"PHOTOS": str(photos), "MADE": str(made[0])}
    before = tree(made[0])
    ended = iqsr("prepare", *(a.replace("PHOTOS", str(photos)) if a != "MADE" else places_of[a] for a in arguments))
    assert ended.code == 2
    assert line in ended.err
    assert ended.err.count("\n") == 1
    assert tree(made[0]) == before


def test_photos_that_give_nothing_are_told_with_what_to_do(iqsr: Run, photos: Path) -> None:
    ended = iqsr("prepare", str(photos), "-o", "sets")
    assert ended.code == 1
    assert ended.err.splitlines()[-1] == (
        "iqsr: no patch was kept: of 5 photos 5 are smaller than the crop of 512 pixels, "
        "0 too flat, too blurred or hardly larger; set patches.crop lower, or give other photos"
    )


def test_photos_of_one_name_or_with_new_content_are_refused(photos: Path) -> None:
    Image.open(photos / "cat-1.jpg").save("cat-1.png")
    with pytest.raises(UsageError, match="would both be called 'cat-1'; rename one"):
        prepare([photos, "cat-1.png"], Path("sets"), RECIPE)
    prepare(["cat-1.png"], Path("sets"), RECIPE)
    Image.open(photos / "astronaut.png").save("cat-1.png")
    with pytest.raises(UsageError, match=r"'cat-1.png' has changed since 'sets' was prepared"):
        prepare(["cat-1.png"], Path("sets"), RECIPE)


def test_one_run_at_a_time_works_in_a_folder(photos: Path) -> None:
    def again(*_: object) -> None:
        with pytest.raises(IqsrError, match="another `iqsr prepare` is at work in 'sets'"):
            prepare([photos], Path("sets"), RECIPE)

    prepare([photos / "cat-1.jpg"], Path("sets"), RECIPE, on_photo=again)


def test_a_checkpoint_that_changed_makes_another_recipe(tmp_path: Path, photos: Path) -> None:
    recipe = PrepareRecipe(patches=RECIPE.patches, enhancers=(GeneratorEnhancer(model="own.pth"),))
    for seed in (0, 1):
        torch.manual_seed(seed)
        torch.save(Compact(num_feat=8, num_conv=1, upscale=1).state_dict(), "own.pth")
        if seed == 0:
            prepare([photos / "cat-1.jpg"], Path("sets"), recipe)
    with pytest.raises(UsageError, match="another recipe"):
        prepare([photos], Path("sets"), recipe)


def test_the_recipes_of_the_repository_are_what_they_say() -> None:
    folder = Path(__file__).parents[1] / "recipes/prepare"
    assert read_recipe(folder / "default.toml", PrepareRecipe) == PrepareRecipe()
    small = read_recipe(folder / "cpu-small.toml", PrepareRecipe)
    assert (small.patches.crop, small.patches.step) == (256, 144)
    assert len(places(321, 481, small.patches, torch.Generator().manual_seed(0))) >= 1
