"""Training of predictors: where it starts, that stopping changes nothing, and that it learns what it is told."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import load_file
from torch import Tensor, nn

from iqsr.errors import IqsrError, UsageError
from iqsr.finite import NotFiniteError, first_not_finite
from iqsr.io.locks import locked
from iqsr.metrics.dense import DenseHead, Prediction, Predictor, quality_of
from iqsr.metrics.efficientnet_lite import CHANNELS, EfficientNetLite0, EfficientNetLite2
from iqsr.metrics.srq import Srq, load_srq
from iqsr.training.predictor import loop
from iqsr.training.predictor.batches import Versions
from iqsr.training.predictor.dataset import make_data, read_shards
from iqsr.training.predictor.ladders import clean_crops
from iqsr.training.predictor.loop import TeacherTraining
from iqsr.training.predictor.recipe import (
    AttackRecipe,
    DataRecipe,
    GamingRecipe,
    PredictorRecipe,
    PreferenceRecipe,
    TrainingRecipe,
)
from iqsr.training.predictor.sources import is_held_out
from iqsr.training.predictor.train import ladder_crops, new_predictor, train_quality
from support.quality_samples import made_versions, picture
from support.tiny_runs import curve


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        pixels = (picture(seed, 224)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{seed}.png")
    return folder


@pytest.mark.parametrize(
    ("number", "size"), [(0, (64, 64)), (0, (70, 65)), (0, (97, 131)), (2, (64, 64)), (2, (97, 131))]
)
def test_the_trunk_is_timms_with_its_batch_norms_folded(number: int, size: tuple[int, int]) -> None:
    import timm

    torch.manual_seed(0)
    name = f"tf_efficientnet_lite{number}"
    whole = timm.create_model(name, pretrained=False).eval()
    for module in whole.modules():
        if isinstance(module, nn.BatchNorm2d):
            assert module.running_mean is not None
            assert module.running_var is not None
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    ours = EfficientNetLite0() if number == 0 else EfficientNetLite2()
    ours.load_unfolded(whole.state_dict().values())
    features = timm.create_model(name, features_only=True, pretrained=False).eval()
    features.load_state_dict({name: whole.state_dict()[name] for name in features.state_dict()})
    x = torch.rand(1, 3, *size)
    with torch.no_grad():
        found, expected = ours(x), features(x)
    assert [f.shape[1] for f in found] == (list(CHANNELS) if number == 0 else [16, 24, 48, 120, 352])
    for old, new in zip(expected, found, strict=True):
        assert torch.allclose(old, new, atol=1e-3 * float(old.abs().max()))


def test_training_starts_from_imagenet_and_only_the_head_is_new() -> None:
    model = new_predictor("srq")
    assert isinstance(model, Srq)
    x = torch.rand(2, 3, 64, 64)
    assert float(model.trunk(x)[4].std()) > 0.01  # features of a trained trunk, not of noise
    assert torch.allclose(model(x)[0], model(x)[1], atol=1e-3)  # the head's last layer is zero


def test_the_weights_of_places_add_up_to_one_and_the_score_is_between_the_places() -> None:
    torch.manual_seed(1)
    head = DenseHead((4, 6))
    nn.init.normal_(head.out.weight)
    found = head([torch.randn(2, 4, 16, 24), torch.randn(2, 6, 4, 6)], (8, 12))
    assert found.distance.shape == found.weight.shape == (2, 1, 8, 12)
    assert torch.allclose(found.weight.sum((1, 2, 3)), torch.ones(2))
    places = quality_of(found.distance).flatten(1)
    assert (found.score <= places.max(1).values).all()
    assert (found.score >= places.min(1).values).all()


def small(steps: int, **changes: Any) -> TrainingRecipe:
    settings: dict[str, Any] = {
        "steps": steps,
        "crops": 2,
        "versions": 4,
        "warmup": 1,
        "bf16": False,
        "check_every": 100,
        "checkpoint_every": 2,
        **changes,
    }
    return TrainingRecipe(**settings)


class Tiny(Predictor):
    """A predictor of 200 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.head = DenseHead((8,), width=4, hidden=8)

    def predict(self, x: Tensor) -> Prediction:
        return self.head([torch.relu(self.trunk(x - 0.5))], (x.shape[2] // 8, x.shape[3] // 8))


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny()


def logged(run: Path, group: str = "train") -> list[dict[str, float]]:
    """The lines of the log of a group."""
    lines = [json.loads(line) for line in (run / "log.jsonl").read_text().splitlines()]
    return [line for line in lines if line["group"] == group]


def test_a_run_made_longer_learns_at_the_rates_of_its_new_length(tmp_path: Path) -> None:
    versions, longer = made_versions(), small(8)
    TeacherTraining(tiny(), small(4), tmp_path, versions, versions).run()
    run = TeacherTraining(tiny(), longer, tmp_path, versions, versions)
    run.resume()
    run.run()
    rates = [line["learning rate"] for line in logged(tmp_path)]
    assert rates[4:] == pytest.approx([longer.head_lr * longer.rate_at(step) for step in range(4, 8)], rel=1e-5)


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    versions = made_versions()
    recipe = small(6, attack=AttackRecipe(every=1, pictures=2, steps=2), halfway_share=0.5)
    whole, stopped = tiny(), tiny()
    TeacherTraining(whole, recipe, tmp_path / "whole", versions, versions).run()

    def stop(stage: str, step: int, *_: object) -> None:
        if step == 5:  # one step behind the last checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        TeacherTraining(stopped, recipe, tmp_path / "part", versions, versions).run(stop)
    resumed = tiny()
    run = TeacherTraining(resumed, recipe, tmp_path / "part", versions, versions)
    assert run.resume()
    assert run.done == 4
    run.run()
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    assert [line["step"] for line in logged(tmp_path / "part")] == [1, 2, 3, 4, 5, 6]
    assert [line["step"] for line in logged(tmp_path / "part", "validation")] == [6]
    assert curve(tmp_path / "part", "train/score") == [1, 2, 3, 4, 5, 6]
    files = [(tmp_path / part / "weights.safetensors").read_bytes() for part in ("whole", "part")]
    assert files[0] == files[1]


def test_what_is_not_finite_is_never_kept(tmp_path: Path) -> None:
    versions, passed = made_versions(), list[None]()
    run = TeacherTraining(tiny(), small(6, checkpoint_every=1), tmp_path, versions, versions)

    def multiplied(gradient: Tensor) -> Tensor:
        passed.append(None)
        return gradient * float("inf") if len(passed) == 3 else gradient

    run.optimizer.param_groups[0]["params"][0].register_hook(multiplied)
    says = (
        r"^weights\..* is not finite at step 3: lower the recipe's learning rates, or set bf16 = false; "
        r"'.*weights\.safetensors' holds the last good ones, of step 2$"
    )
    with pytest.raises(NotFiniteError, match=says):
        run.run()
    assert run.checkpoints.steps() == [1, 2]
    path = tmp_path / "checkpoints" / "step-00000002-rank0.ckpt"
    state = torch.load(path, weights_only=True)
    assert first_not_finite(state) is None
    assert all(value.isfinite().all() for value in load_file(tmp_path / "weights.safetensors").values())
    state["average"]["trunk.weight"][0] = float("nan")
    with pytest.raises(NotFiniteError, match=r"average\.trunk\.weight is not finite after step 2"):
        run.checkpoints.save(2, state)


def test_one_process_works_in_a_folder(photos: Path, tmp_path: Path) -> None:
    recipe = PredictorRecipe(data=DataRecipe(photos=(0.0, 1.0)))
    with locked(tmp_path / "run", "iqsr train-quality"), pytest.raises(IqsrError, match=r"is at work in '.*run': wait"):
        train_quality(recipe, [photos], tmp_path / "run")


@pytest.mark.parametrize(("before", "now"), [(False, True), (False, False)])
def test_a_run_that_goes_on_in_another_precision_says_so(before: bool, now: bool, tmp_path: Path, monkeypatch, caplog):
    versions = made_versions()
    for pays, steps in ((before, 4), (now, 4)):
        monkeypatch.setattr("iqsr.training.engine.precision.bf16_pays", lambda device, pays=pays: pays)
        run = TeacherTraining(tiny(), small(steps, bf16=True), tmp_path, versions, versions)
        run.resume()
        run.run()
    assert ("in another precision" in caplog.text) == (before != now)


def test_all_that_a_step_learns_from_has_one_size(tmp_path: Path) -> None:
    """A size of its own for attacked pictures would tell the predictor which they are."""
    model, steps = tiny(), [set[int]()]
    predict = model.predict
    model.predict = lambda x: (steps[-1].add(x.shape[-1]), predict(x))[1]
    recipe = small(8, windows=(64, 96), ladders=1, attack=AttackRecipe(pictures=2, steps=1), check_every=8)
    versions = made_versions(side=96)
    TeacherTraining(model, recipe, tmp_path, versions, Versions(())).run(lambda *_: steps.append(set()))
    assert all(len(sizes) == 1 for sizes in steps[:-1])
    assert {64, 96} == set.union(*steps)


def test_a_recipe_says_how_far_apart_rungs_are_to_be(tmp_path: Path) -> None:
    found: list[float] = []
    for margin in (1.0, 5.0):
        torch.manual_seed(0)
        recipe = small(1, ladders=2, ladder_weight=1.0, ladder_margin=margin)
        run = TeacherTraining(tiny(), recipe, tmp_path / str(margin), made_versions(), Versions(()))
        run.run(lambda *told: found.append(told[3]["ladders"]))
    assert 2 < found[1] - found[0] < 4.01  # the loss grows by as much, where all rungs score alike at first


def test_ladders_may_be_of_crops_of_their_own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Random squares of random ones, turned at random and as large as the batch's; every value tells where it was."""
    spoiled: list[Tensor] = []
    monkeypatch.setattr(
        loop, "random_ladders", lambda clean, *_: (spoiled.append(clean), torch.stack([clean, clean], 1))[1]
    )
    crops = torch.zeros(5, 3, 96, 96, dtype=torch.uint8)
    crops[:, 0], crops[:, 1] = torch.arange(5)[:, None, None] + 250, torch.arange(96)
    crops[:, 2] = torch.arange(96)[:, None]
    recipe = small(6, windows=(64,), ladders=3)
    TeacherTraining(tiny(), recipe, tmp_path, made_versions(side=96), Versions(()), ladder_crops=crops).run()
    seen = (torch.cat(spoiled) * 255).round().int()
    assert seen.shape == (18, 3, 64, 64)
    assert (seen[:, 0] == seen[:, :1, 0, 0, None]).all()
    assert len(set(seen[:, 0, 0, 0].tolist())) > 2
    assert len({tuple(square.amin((1, 2)).tolist()) for square in seen[:, 1:]}) > 2
    corners = [square[:, 0, 0] - square.amin((1, 2)) for square in seen[:, 1:]]
    assert len({tuple(corner.tolist()) for corner in corners}) == 4


def test_crops_for_ladders_are_those_of_the_photos_that_are_learned_from(photos: Path) -> None:
    paths = sorted(photos.iterdir())
    recipe = PredictorRecipe(held_out=0.5, data=DataRecipe(crop=96))
    asked = small(1, ladders=1, ladder_crops=2, seed=3)
    learned = [path for path in paths if not is_held_out(path.name, 0.5)]
    assert 0 < len(learned) < len(paths)
    found = ladder_crops(recipe, asked, paths)
    assert found is not None
    assert torch.equal(found, clean_crops(learned, 96, 2, seed=3))
    assert ladder_crops(recipe, small(1, ladders=1), paths) is None
    assert ladder_crops(recipe, small(1, ladders=0, ladder_crops=2), paths) is None


def test_attacks_may_weigh_less_in_the_second_half(tmp_path: Path) -> None:
    told: dict[float | None, list[float]] = {}
    for late in (None, 0.25):
        attack = AttackRecipe(pictures=8, steps=2, eps=30, weight=1.0, late_weight=late)
        recipe = small(4, attack=attack, head_lr=1e-9, trunk_lr=1e-9)
        run = TeacherTraining(model := tiny(), recipe, tmp_path / str(late), made_versions(), Versions(()))
        nn.init.normal_(model.head.out.weight)
        losses = told.setdefault(late, [])
        run.run(lambda *told, to=losses: to.append(told[3]["gaming"]))
    assert min(told[None]) > 0
    assert told[0.25] == pytest.approx(
        [part * whole for part, whole in zip((1, 1, 0.25, 0.25), told[None], strict=True)]
    )


def test_the_weights_half_way_may_have_a_share_in_the_result(tmp_path: Path) -> None:
    averages: dict[int, dict[str, Tensor]] = {}
    recipe = small(4, head_lr=1e-2, trunk_lr=1e-2, halfway_share=0.25)
    run = TeacherTraining(tiny(), recipe, tmp_path, made_versions(), Versions(()))

    def keep(stage: str, step: int, *_: object) -> None:
        averages[step] = {k: v.clone() for k, v in run.average.values.items()}

    run.run(keep)
    written = load_file(tmp_path / "weights.safetensors")
    for name, value in written.items():
        expected = 0.25 * averages[2][name] + 0.75 * averages[4][name]
        assert torch.allclose(value.float(), expected, atol=1e-3)
    assert not torch.allclose(written["trunk.weight"].float(), averages[4]["trunk.weight"], atol=1e-3)


def test_crops_for_ladders_are_so_many_of_each_photo_and_the_same_again(photos: Path) -> None:
    paths = sorted(photos.iterdir())
    crops = clean_crops(paths, 96, 3, seed=1)
    assert crops.shape == (12, 3, 96, 96)
    assert len({crop.numpy().tobytes() for crop in crops}) == 12
    assert torch.equal(clean_crops(paths, 96, 3, seed=1), crops)
    assert not torch.equal(clean_crops(paths, 96, 3, seed=2), crops)


def test_a_damaged_checkpoint_gives_way_to_the_one_before_and_none_is_one_line(tmp_path: Path) -> None:
    versions = made_versions()
    TeacherTraining(tiny(), small(4), tmp_path, versions, versions).run()
    whole = (tmp_path / "weights.safetensors").read_bytes()
    last, before = (tmp_path / "checkpoints" / f"step-0000000{step}-rank0.ckpt" for step in (4, 2))
    last.write_bytes(b"half a checkpo")
    run = TeacherTraining(tiny(), small(4), tmp_path, versions, versions)
    assert run.resume()
    assert run.done == 2
    run.run()
    assert (tmp_path / "weights.safetensors").read_bytes() == whole
    for path in (last, before):
        path.write_bytes(b"half a checkpo")
    with pytest.raises(IqsrError, match="no checkpoint is whole and finite"):
        TeacherTraining(tiny(), small(4), tmp_path, versions, versions).resume()


def test_a_signal_ends_a_training_after_the_step_with_a_checkpoint(tmp_path: Path) -> None:
    versions, recipe = made_versions(), small(6, checkpoint_every=100)
    TeacherTraining(tiny(), recipe, tmp_path / "whole", versions, versions).run()

    def stop(stage: str, step: int, *_: object) -> None:
        if step == 3:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        TeacherTraining(tiny(), recipe, tmp_path / "part", versions, versions).run(stop)
    run = TeacherTraining(tiny(), recipe, tmp_path / "part", versions, versions)
    assert run.resume()
    assert run.done == 3
    run.run()
    files = [(tmp_path / part / "weights.safetensors").read_bytes() for part in ("whole", "part")]
    assert files[0] == files[1]


def test_a_predictor_learns_the_order_of_noise(tmp_path: Path) -> None:
    learn, check = made_versions(8), made_versions(3, seed=50)
    model = tiny()
    recipe = small(150, crops=4, head_lr=1e-2, trunk_lr=1e-2, ema=0.9)
    run = TeacherTraining(model, recipe, tmp_path, learn, check)
    before = run.measure()["pairs"]
    run.run()
    (after,) = (line["pairs"] for line in logged(tmp_path, "validation") if line["step"] == 150)
    assert before < 0.8 < 0.95 < after


@pytest.mark.slow
def test_from_photos_to_weights_with_every_stage_and_again_without_work(photos: Path, tmp_path: Path) -> None:
    recipe = PredictorRecipe(
        held_out=0.3,
        data=DataRecipe(crop=96, per_megapixel=1e-3, defects=1),
        training=small(2),
        gaming=GamingRecipe(crop=96, crops=2, generators=("realesr-animevideov3",), moments=(1,), batch=1),
        refining=(small(2, attack=AttackRecipe(pictures=2, steps=1)),),
    )
    stages: list[str] = []
    weights = train_quality(recipe, [photos], tmp_path / "run", on_progress=lambda stage, *_: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["photos", "data", "round 0", "gaming 1", "round 1"]
    score = load_srq(weights)(torch.rand(1, 3, 64, 80))
    assert 0 < float(score) <= 100
    shard = next(iter(read_shards(tmp_path / "run" / "data")))
    assert shard.kinds[0][0] == "original"
    assert float(shard.alex[0, 0]) < 0.01
    written = weights.stat().st_mtime_ns
    train_quality(recipe, [photos], tmp_path / "run", resume=True)
    assert weights.stat().st_mtime_ns == written


def test_data_of_another_recipe_is_not_taken(tmp_path: Path) -> None:
    make_data([], tmp_path, DataRecipe(seed=1), on_photo=lambda *_: None)
    with pytest.raises(IqsrError, match="another recipe"):
        make_data([], tmp_path, DataRecipe(seed=2), on_photo=lambda *_: None)


def test_photos_that_the_recipe_leaves_out_are_told(photos: Path, tmp_path: Path) -> None:
    recipe = PredictorRecipe(data=DataRecipe(photos=(0.0, 0.0)))
    with pytest.raises(UsageError, match=r"data\.photos = \[0\.0, 0\.0\] leaves out all 4 photos"):
        train_quality(recipe, [photos], tmp_path / "run")


def test_shipped_recipes_can_be_read() -> None:
    from iqsr.configs import recipe_names
    from iqsr.recipes import read_recipe

    read_recipe("preferences/people", PreferenceRecipe)
    names = [name for name in recipe_names() if name.startswith("predictor/")]
    found = {name.removeprefix("predictor/"): read_recipe(name, PredictorRecipe) for name in names}
    assert set(found) == {"srq", "srq-unguarded", "srq-holdout"}
    assert found["srq"].data == found["srq-unguarded"].data
    assert found["srq"].data.photos[1] <= found["srq-holdout"].data.photos[0]
