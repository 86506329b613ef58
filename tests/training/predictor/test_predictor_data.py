"""What predictors learn from: defects, teachers' judgements, photos, and windows cut out of them."""

from pathlib import Path

import pytest
import skimage.data
import torch

from iqsr.errors import IqsrError, UsageError
from iqsr.metrics.lpips_st import LpipsSt
from iqsr.training.predictor import dataset
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.dataset import Shard, make_data, read_shards, shard_names
from iqsr.training.predictor.defects import DEFECTS
from iqsr.training.predictor.recipe import DataRecipe
from iqsr.training.predictor.sources import find_photos, is_held_out, photos_within
from iqsr.training.predictor.teachers import Teachers
from iqsr.training.predictor.versions import interpolate
from support.quality_samples import made_versions, picture


@pytest.mark.parametrize("photo", ["astronaut", "coffee", "chelsea"])
@pytest.mark.parametrize("name", list(DEFECTS))
def test_a_stronger_defect_is_further_from_the_original(name: str, photo: str) -> None:
    """On photographs: from white noise the first median takes more than the next ones change."""
    pixels = torch.from_numpy(getattr(skimage.data, photo)()[64:192, 128:256])
    x = pixels.permute(2, 0, 1)[None].float() / 255
    errors = [
        float((DEFECTS[name](x, s, torch.Generator().manual_seed(5)).clamp(0, 1) - x).square().mean())
        for s in (0.0, 0.5, 1.0)
    ]
    assert errors[0] < errors[1] < errors[2]


@pytest.mark.parametrize("name", list(DEFECTS))
def test_a_defect_depends_on_its_generator_alone(name: str) -> None:
    x = picture(1)
    first, second = (DEFECTS[name](x, 0.6, torch.Generator().manual_seed(9)) for _ in range(2))
    assert torch.equal(first, second)
    assert first.shape == x.shape


def test_lanczos_enlarging_keeps_a_constant_and_follows_a_ramp() -> None:
    ramp = torch.linspace(0.1, 0.9, 20).expand(1, 3, 20, 20)
    large = interpolate(ramp, "lanczos")
    expected = 0.1 + 0.8 * ((torch.arange(80) + 0.5) / 4 - 0.5) / 19
    assert (large[0, 0, 40, 16:-16] - expected[16:-16]).abs().max() < 2e-3
    assert torch.allclose(interpolate(torch.full((1, 3, 9, 9), 0.3), "lanczos"), torch.tensor(0.3), atol=1e-6)


def test_teachers_judge_as_lpips_st_does_and_their_map_has_nearly_their_mean() -> None:
    x = picture(2)
    noisy = DEFECTS["noise"](x, 0.7, torch.Generator().manual_seed(0)).clamp(0, 1)
    judged = Teachers().judge(torch.cat([x, noisy]), x, 12)
    assert float(judged.alex[0]) == float(judged.vgg[0]) == 0
    assert float(judged.alex[1]) == pytest.approx(float(LpipsSt("alex")(noisy, x)), rel=1e-4)
    assert float(judged.vgg[1]) == pytest.approx(float(LpipsSt("vgg")(noisy, x)), rel=1e-4)
    assert torch.allclose(judged.places.mean((1, 2, 3)), (judged.alex + judged.vgg) / 2, rtol=0.03, atol=1e-3)


def test_disjoint_ranges_of_photos_share_none_and_together_are_all() -> None:
    photos = [Path(f"{i}.jpg") for i in range(500)]
    first, second = photos_within(photos, (0.0, 0.75)), photos_within(photos, (0.75, 1.0))
    assert sorted(first + second) == sorted(photos)
    assert not set(first) & set(second)
    assert 330 < len(first) < 420
    held = sum(is_held_out(p.name, 0.2) for p in first) / len(first)
    assert 0.1 < held < 0.3


def test_no_photos_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no pictures found"):
        find_photos([tmp_path])


@pytest.fixture
def shards_of_one_pixel(monkeypatch: pytest.MonkeyPatch) -> None:
    """Data without networks: a shard says which photo it is of, and holds the photo's first byte."""

    def judged(photo: str, crops: list[int], *_: object) -> Shard:
        one = torch.tensor(crops[:1])
        return Shard(photo, [["original"]], one, *(one.clone() for _ in range(3)))

    monkeypatch.setattr(dataset, "crops_by_area", lambda photo, *_: list(photo.read_bytes()))
    for name in ("Upscalers", "Teachers"):
        monkeypatch.setattr(dataset, name, lambda *_: None)
    monkeypatch.setattr(dataset, "_judged", judged)


def some_photos(folder: Path, **contents: bytes) -> list[Path]:
    """Files below `folder`, x_a for x/a."""
    files = {folder / name.replace("__", ".").replace("_", "/"): content for name, content in contents.items()}
    for file, content in files.items():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_bytes(content)
    return list(files)


def seen(folder: Path) -> list[tuple[str, int]]:
    return sorted((shard.photo, int(shard.pictures[0])) for shard in read_shards(folder))


@pytest.mark.usefixtures("shards_of_one_pixel")
def test_photos_that_are_called_alike_are_all_learned_from(tmp_path: Path) -> None:
    given = some_photos(tmp_path, x_1__png=b"1", y_1__png=b"2", x_a__jpg=b"3", x_a__png=b"4", x_b__png=b"5")
    for _ in range(2):  # again: nothing new
        make_data(given, tmp_path / "data", DataRecipe(), on_photo=lambda *_: None)
        assert seen(tmp_path / "data") == [("1.png", 49), ("1.png", 50), ("a.jpg", 51), ("a.png", 52), ("b.png", 53)]
    assert (tmp_path / "data" / "b.safetensors").exists()  # as ever


def test_names_of_shards_depend_on_neither_place_nor_order(tmp_path: Path) -> None:
    here = some_photos(tmp_path / "here", x_1__png=b"1", y_1__png=b"2", x_b__png=b"3")
    there = some_photos(tmp_path / "there", z_b__png=b"3", q_1__png=b"2", r_1__png=b"1")
    assert sorted(shard_names(here).values()) == sorted(shard_names(there).values())
    assert shard_names([here[2], here[2]]) == {here[2]: "b.safetensors"}


@pytest.mark.usefixtures("shards_of_one_pixel")
@pytest.mark.parametrize("noted", [True, False])
def test_data_of_other_photos_is_not_taken(tmp_path: Path, noted: bool) -> None:
    old, new = some_photos(tmp_path, x_1__png=b"1", x_2__png=b"2"), some_photos(tmp_path, y_3__png=b"3")
    make_data(old, tmp_path / "data", DataRecipe(), on_photo=lambda *_: None)
    if not noted:  # as versions that noted no photos left it
        (tmp_path / "data" / "photos.json").unlink()
    for others in (new, old[:1]):
        with pytest.raises(IqsrError, match="holds a run on other data"):
            make_data(others, tmp_path / "data", DataRecipe(), on_photo=lambda *_: None)
    assert seen(tmp_path / "data") == [("1.png", 49), ("2.png", 50)]


@pytest.mark.usefixtures("shards_of_one_pixel")
def test_another_photo_of_the_same_name_is_another(tmp_path: Path) -> None:
    old, new = some_photos(tmp_path, x_1__png=b"1"), some_photos(tmp_path, y_1__png=b"2")
    make_data(old, tmp_path / "data", DataRecipe(), on_photo=lambda *_: None)
    with pytest.raises(IqsrError, match="holds a run on other data"):
        make_data(new, tmp_path / "data", DataRecipe(), on_photo=lambda *_: None)


def test_a_window_is_cut_and_turned_alike_from_pictures_and_maps() -> None:
    """The map holds the mean of each cell, so a cut in the wrong place, or a turn of one alone, shows."""
    rng = torch.Generator().manual_seed(4)
    coarse = torch.rand(1, 3, 3, 16, 16, generator=rng)
    pictures = (coarse.repeat_interleave(8, 3).repeat_interleave(8, 4) * 255).round().byte()
    places = coarse.mean(2).half()
    whole = places.float().mean((2, 3))
    versions = Versions([Shard("a.png", [["original", "b", "c"]], pictures, whole, whole, places)])
    for _ in range(8):
        batch = versions.draw(1, 3, rng, 64)
        assert batch.pictures.shape == (3, 3, 64, 64)
        cells = torch.nn.functional.avg_pool2d(batch.pictures.mean(1, keepdim=True), 8)
        assert torch.allclose(cells, batch.places, atol=4e-3)
        assert torch.allclose(batch.distance, cells.mean((1, 2, 3)), atol=4e-3)


def test_a_whole_crops_distance_is_the_teachers() -> None:
    """The mean of overlapping cells is near it, and scaled to it."""
    versions = made_versions(1)
    versions.alex, versions.vgg = [versions.alex[0] * 1.1], [versions.vgg[0] * 1.1]
    batch = versions.draw(1, 6, torch.Generator().manual_seed(0))
    assert torch.allclose(batch.distance.sort().values, versions.alex[0].sort().values, atol=2e-3)
