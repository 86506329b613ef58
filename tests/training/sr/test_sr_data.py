"""Batches for training: pure functions of their number, aligned, and the same choices online as on a grid."""

import shutil
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path
from threading import Barrier

import pytest
import torch
from PIL import Image
from torch import Tensor

from iqsr.errors import PictureError, UsageError
from iqsr.metrics import card, load_metric
from iqsr.sampling import choose, sampler
from iqsr.training.engine.pictures import decode_all
from iqsr.training.engine.prefetch import prefetched
from iqsr.training.sr import targets
from iqsr.training.sr.data import Batch, Batches, mirrored, seed_of
from iqsr.training.sr.recipe import DataRecipe
from iqsr.training.sr.sets import Sets, load_set
from iqsr.training.sr.share import Share
from iqsr.training.sr.targets import PatchScores, Targets, grid_scores, patch_scores, picture_scores
from support.commands import PATIENCE
from support.counting import calls
from support.sets import write_sets
from support.tiny_runs import tiny

RECIPE = DataRecipe(source=96, patch=64, workers=0)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_sets(tmp_path_factory.mktemp("sets"), labelled=True)


def batches(folder: Path, recipe: DataRecipe = RECIPE, **options: object) -> Batches:
    return Batches(Sets(folder, recipe), recipe, **({"batch": 2, "seed": 0} | options))  # type: ignore[arg-type]


def same(a: Batch, b: Batch) -> bool:
    return a.keys() == b.keys() and all(torch.equal(a[name], b[name]) for name in a)


def test_a_batch_depends_on_its_number_alone(folder: Path) -> None:
    first, again = batches(folder), batches(folder)
    later = again[5]
    assert same(first[0], again[0])
    assert same(first[5], later)
    assert not torch.equal(first[0]["lr"], later["lr"])


def test_processes_that_make_batches_ahead_make_the_same(folder: Path) -> None:
    alone = [batches(folder)[step] for step in range(2, 6)]
    made = list(prefetched(batches(folder), 2, 6, workers=2))
    assert all(same(a, b) for a, b in zip(alone, made, strict=True))


def test_an_epoch_shows_every_set_once_to_all_processes_together(folder: Path) -> None:
    ranks = [batches(folder, batch=1, rank=rank, ranks=3) for rank in range(3)]
    seen = [int(made[step]["place"][0, 0]) for step in range(2) for made in ranks]
    assert sorted(seen) == list(range(6))
    second = [int(made[step]["place"][0, 0]) for step in range(2, 4) for made in ranks]
    assert sorted(second) == sorted(seen)
    assert second != seen


def test_of_several_data_sets_all_sets_are_learned_from(tmp_path: Path) -> None:
    parts = [write_sets(tmp_path / name, count=count) for name, count in (("a", 4), ("b", 2))]
    for path in (tmp_path / "b").rglob("photo*"):
        path.rename(path.with_name(path.name.replace("photo", "other")))
    both = Sets(parts, RECIPE)
    assert [s.name for s in both.chosen] == [f"photo{k}-0-0" for k in range(4)] + ["other0-0-0", "other1-0-0"]
    assert str(both.identity.since(Sets(parts[0], RECIPE).identity)) == "2 added (other0-0-0, other1-0-0)"
    assert str(both.identity.since(Sets(parts[::-1], RECIPE).identity)) == "the same in another order"
    with pytest.raises(UsageError, match="no data set was given"):
        Sets([], RECIPE)


def test_inputs_are_the_reduced_originals_at_the_same_place(folder: Path) -> None:
    batch = batches(folder)[1]
    assert batch["lr"].shape == (2, 3, 16, 16)
    assert batch["gts"].shape == (2, 5, 3, 64, 64)
    original = batch["gts"][:, 0].float() / 255
    reduced = torch.nn.functional.interpolate(original, scale_factor=0.25, mode="area")
    right = (reduced - batch["lr"]).square().mean()
    assert right < 0.2 * (reduced.roll(2, 3) - batch["lr"]).square().mean()


def test_stored_inputs_are_read_at_the_place_of_their_ground_truths(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    recipe = RECIPE.model_copy(update={"inputs": "stored"})
    with pytest.raises(UsageError, match=r"folder 'inputs' .* 6 have none, 'photo0-0-0' among them"):
        Sets(tmp_path, recipe)
    for path in (tmp_path / "images/0-9/original").iterdir():
        (tmp_path / "inputs").mkdir(exist_ok=True)
        with Image.open(path) as picture:
            picture.resize((24, 24), Image.Resampling.BOX).save(tmp_path / "inputs" / path.name)
    recipe = recipe.model_copy(update={"source": 80})
    for step in range(3):
        batch = batches(tmp_path, recipe)[step]
        reduced = torch.nn.functional.avg_pool2d(batch["gts"][:, 0].float() / 255, 4)
        assert (reduced - batch["lr"]).abs().max() < 1 / 255


def test_a_change_of_a_stored_input_is_a_change_of_its_set(folder: Path, tmp_path: Path) -> None:
    shutil.copytree(folder / "images", tmp_path / "images")
    shutil.copytree(folder / "images/0-9/original", tmp_path / "inputs")
    recipe = RECIPE.model_copy(update={"inputs": "stored"})
    before = Sets(tmp_path, recipe).identity
    changed = tmp_path / "inputs/photo1-0-0.png"
    with Image.open(changed) as picture:
        picture.resize((24, 24)).save(changed)
    assert str(Sets(tmp_path, recipe).identity.since(before)) == "1 changed (photo1-0-0)"
    with pytest.raises(
        PictureError, match="the input of the set 'photo0-0-0' is 96x96, not a 4th of its ground truths"
    ):
        Sets(tmp_path, recipe).check(decode_all)


def test_mirroring_turns_inputs_and_ground_truths_alike(folder: Path) -> None:
    batch = batches(folder)[0] | {"flip": torch.tensor([True, False])}
    turned = mirrored(batch)
    assert torch.equal(turned["lr"][0], batch["lr"][0].flip(2))
    assert torch.equal(turned["gts"][0], batch["gts"][0].flip(3))
    assert torch.equal(turned["lr"][1], batch["lr"][1])
    assert "flip" not in turned


@pytest.mark.parametrize("grid", [4, 16, 32])
def test_places_lie_on_the_grid(folder: Path, grid: int) -> None:
    recipe = DataRecipe(source=80, patch=48, workers=0)
    made = batches(folder, recipe, grid=grid, batch=1)
    for step in range(4):
        batch, places = made[step], set[int]()
        patch, number = batch["gts"][0, 0], int(batch["place"][0, 0])
        picture = load_set(made.sets.chosen[number])[0]
        for top in range(0, 96 - 48 + 1):
            for left in range(0, 96 - 48 + 1):
                if torch.equal(picture[:, top : top + 48, left : left + 48], patch):
                    places |= {top % grid, left % grid}
        assert places == {0}


def test_amo_chooses_the_same_online_and_from_the_grid(folder: Path, tmp_path: Path) -> None:
    metric, amo = load_metric("srq"), sampler("amo")
    sets = Sets(folder, RECIPE)
    known = grid_scores(sets.chosen, metric, RECIPE.patch, 16, tmp_path, lambda done: None)
    made = Batches(sets, RECIPE, batch=2, seed=3, scores=known, grid=16)
    for step in range(6):
        batch = made[step]
        online = patch_scores(metric, batch["gts"])
        assert torch.allclose(online, batch["scores"], atol=1e-3)
        rng = torch.Generator()
        assert torch.equal(choose(amo, online, None, rng), choose(amo, batch["scores"], None, rng))


def test_grid_scores_are_kept_and_used_again(folder: Path, tmp_path: Path) -> None:
    metric, sets = load_metric("laplacian"), Sets(folder, RECIPE).chosen
    first = grid_scores(sets, metric, 64, 16, tmp_path, lambda done: None)
    kept = {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    again = grid_scores(sets, metric, 64, 16, tmp_path, lambda done: None)
    assert len(kept) == len(sets)
    assert kept == {path: path.stat().st_mtime_ns for path in tmp_path.iterdir()}
    assert all(torch.equal(first[name], again[name]) for name in first)
    assert first[sets[0].name].shape == (5, 3, 3)


@pytest.mark.parametrize("ranks", [1, 2, 3])
def test_processes_that_score_a_grid_at_once_share_the_sets(
    ranks: int, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("ablation/cpu-amo", "steps=100", "sampling.grid=32", "sampling.metric=laplacian")
    made = Targets(recipe, Sets(folder, recipe.data), "cpu", "fp32")
    alone = made.scores_beforehand(tmp_path / "alone", lambda done: None, Share(2))
    scored, step = calls(monkeypatch, targets, "_scored_places"), Barrier(ranks, timeout=PATIENCE)

    def wait(done: int) -> None:
        step.wait()

    def scores(rank: int) -> dict[str, Tensor] | None:
        return made.scores_beforehand(tmp_path / "together", wait, Share(2, rank, ranks))

    with ThreadPoolExecutor(ranks) as pool:
        found = list(pool.map(scores, range(ranks)))
    assert len(scored) == 6
    assert alone is not None
    for one in found:
        assert one is not None
        assert one.keys() == alone.keys()
        assert all(torch.equal(one[name], alone[name]) for name in alone)


def test_patches_are_scored_when_they_are_first_drawn(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    seen, made = PatchScores(load_metric("srq")), batches(folder, grid=32)
    scored = calls(monkeypatch, targets, "patch_scores")
    first = made[0]
    found = seen.scores(first["place"], first["gts"])
    assert torch.equal(found, patch_scores(load_metric("srq"), first["gts"]))
    assert torch.equal(seen.scores(first["place"].flip(0), first["gts"].flip(0)), found.flip(0))
    again = PatchScores(load_metric("srq"))
    again.load_state_dicts([seen.state_dict()])
    assert torch.equal(again.scores(first["place"], first["gts"]), found)
    assert len(scored) == 1


def test_of_patches_that_were_drawn_before_only_new_ones_are_scored(folder: Path) -> None:
    seen, made = PatchScores(load_metric("laplacian")), batches(folder, grid=32)
    drawn = set[tuple[int, ...]]()
    for step in range(30):  # of 6 sets with 4 places each
        batch = made[step]
        drawn |= set(map(tuple, batch["place"].tolist()))
        wanted = patch_scores(load_metric("laplacian"), batch["gts"])
        assert torch.allclose(seen.scores(batch["place"], batch["gts"]), wanted, rtol=1e-5)
    known = seen.state_dict()
    assert len(known["places"]) == len(known["scores"]) == len(drawn)
    assert len(drawn) <= Sets(folder, RECIPE).places(RECIPE.patch, 32) == 24


@pytest.mark.parametrize(("steps", "ahead"), [(11, False), (12, True)])
def test_a_grid_is_scored_beforehand_where_as_many_patches_are_drawn(
    steps: int, ahead: bool, folder: Path, tmp_path: Path
) -> None:
    recipe = tiny("ablation/cpu-amo", f"steps={steps}", "sampling.grid=32")
    told = list[int]()
    known = Targets(recipe, Sets(folder, recipe.data), "cpu", "fp32").scores_beforehand(tmp_path, told.append, Share(2))
    assert (known is not None) == ahead
    assert told == (list(range(1, 7)) if ahead else [])


def test_scores_of_whole_pictures_are_the_metrics_own(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path))
    sets, metric = Sets(folder, RECIPE).chosen, load_metric("srq")
    found = picture_scores(sets, "srq", "cpu")
    wanted: Tensor = metric(load_set(sets[2]).float() / 255)
    assert torch.allclose(found[sets[2].name], wanted, atol=1e-2)


def test_scores_that_tau_divides_are_on_a_scale_of_100(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path))
    sets = Sets(folder, RECIPE).chosen[:1]
    (plain,) = picture_scores(sets, "srq", "cpu").values()
    halved = replace(card("srq"), range=(-100.0, 100.0), higher_is_better=False)
    monkeypatch.setattr(targets, "card", lambda name: halved)
    (found,) = picture_scores(sets, "srq", "cpu").values()
    assert torch.allclose(found, 100 - (plain + 100) / 2)


def test_a_picture_too_small_for_the_metric_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("IQSR_CACHE", str(tmp_path))
    sets = Sets(write_sets(tmp_path / "sets", count=1, side=48), RECIPE.model_copy(update={"source": 48, "patch": 48}))
    with pytest.raises(UsageError, match=r"photo0-0-0\.png': srq needs at least 64 x 64"):
        picture_scores(sets.chosen, "srq", "cpu")


def test_filters_need_labels(tmp_path: Path) -> None:
    plain = write_sets(tmp_path, count=2)
    with pytest.raises(UsageError, match="no labels of people"):
        Sets(plain, DataRecipe(sets="positive"))


def test_pictures_smaller_than_the_source_say_what_to_set(folder: Path) -> None:
    with pytest.raises(UsageError, match=r"96x96.*data\.source is 128.*--set data\.source"):
        batches(folder, DataRecipe(source=128, patch=64, workers=0))[0]


def test_seeds_differ_for_neighbouring_numbers() -> None:
    seeds = {seed_of(a, b, c) for a in range(10) for b in range(10) for c in range(10)}
    assert len(seeds) == 1000
    assert all(0 <= seed < 2**63 for seed in seeds)
