"""Training of predictors: what the data is, what each term asks for, and that stopping a run changes nothing."""

from pathlib import Path

import numpy as np
import pytest
import skimage.data
import torch
from PIL import Image
from scipy.stats import spearmanr
from torch import Tensor, nn
from typer.testing import CliRunner

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.quality.dense import DenseHead, Prediction, quality_of
from iqsr.quality.lpips_st import LpipsSt
from iqsr.quality.srq import Srq, fold_batch_norms, load_srq
from iqsr.training.quality.batches import Versions
from iqsr.training.quality.dataset import Shard, make_data, read_shards
from iqsr.training.quality.defects import DEFECTS
from iqsr.training.quality.gaming import tuned_outputs
from iqsr.training.quality.loop import Run
from iqsr.training.quality.measures import agreement, monotone, rise_under_attack
from iqsr.training.quality.objective import attacked, gaming_loss, preference_loss, rank_loss
from iqsr.training.quality.preferences import train_on_pairs
from iqsr.training.quality.recipe import (
    AttackRecipe,
    DataRecipe,
    GamingRecipe,
    PredictorRecipe,
    PreferenceRecipe,
    TrainingRecipe,
)
from iqsr.training.quality.sources import find_photos, is_held_out, photos_within
from iqsr.training.quality.teachers import Teachers
from iqsr.training.quality.train import new_predictor, train_quality
from iqsr.training.quality.versions import interpolate


def picture(seed: int = 0, size: int = 96) -> Tensor:
    """Soft shapes and some texture, (1, 3, size, size) in [0, 1]."""
    generator = torch.Generator().manual_seed(seed)
    coarse = torch.rand(1, 3, 7, 7, generator=generator)
    base = torch.nn.functional.interpolate(coarse, (size, size), mode="bicubic", align_corners=False)
    return (base + 0.08 * torch.randn(1, 3, size, size, generator=generator)).clamp(0, 1)


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    folder = tmp_path / "photos"
    folder.mkdir()
    for seed in range(4):
        pixels = (picture(seed, 224)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{seed}.png")
    return folder


def made_versions(crops: int = 4, side: int = 64, seed: int = 0) -> Versions:
    """Crops under ever more noise, judged by how much: something to learn in seconds."""
    shards: list[Shard] = []
    for number in range(crops):
        clean = picture(seed + number, side)
        strengths = torch.linspace(0, 0.4, 6)
        generator = torch.Generator().manual_seed(number)
        noisy = torch.cat([(clean + s * torch.randn(clean.shape, generator=generator)).clamp(0, 1) for s in strengths])
        places = strengths.view(1, 6, 1, 1).expand(1, 6, side // 8, side // 8).half()
        stored = (noisy * 255).round().byte()[None]
        kinds = [["original"] + ["noise"] * 5]
        shards.append(Shard(f"{number}.png", kinds, stored, strengths[None], strengths[None], places.clone()))
    return Versions(shards)


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


def test_folding_batch_norms_changes_nothing() -> None:
    import timm

    torch.manual_seed(0)
    network = timm.create_model("tf_efficientnet_lite0", features_only=True, pretrained=False).eval()
    for module in network.modules():
        if isinstance(module, nn.BatchNorm2d):
            module.running_mean.uniform_(-0.5, 0.5)
            module.running_var.uniform_(0.5, 2)
    x = torch.rand(1, 3, 70, 65)
    with torch.no_grad():
        before = network(x)
        after = fold_batch_norms(network)(x)
    assert not [m for m in network.modules() if isinstance(m, nn.BatchNorm2d)]
    for old, new in zip(before, after, strict=True):
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


def test_ranking_the_wrong_way_round_costs_more() -> None:
    target = torch.tensor([[90.0, 50.0, 10.0]])
    right, wrong = rank_loss(target, target), rank_loss(target.flip(1), target)
    assert right < 0.01 < wrong
    assert rank_loss(target, torch.full((1, 3), 50.0)) == 0  # no pair to learn from


def test_preference_loss_is_least_at_the_peoples_share() -> None:
    gaps = torch.linspace(-30, 30, 121)
    losses = torch.stack([preference_loss(g[None], torch.zeros(1), torch.tensor([0.8])) for g in gaps])
    best = float(gaps[losses.argmin()])
    assert torch.sigmoid(torch.tensor(best / 10)) == pytest.approx(0.8, abs=0.02)


class Mean(nn.Module):
    """Likes bright pictures: distance = 1 - value, everywhere alike."""

    def predict(self, x: Tensor) -> Prediction:
        distance = 1 - x.mean(1, keepdim=True)
        return Prediction(distance, torch.full_like(distance, 1 / distance[0].numel()))


def test_an_attack_stays_within_eps_and_finds_the_known_optimum() -> None:
    x = torch.rand(2, 3, 8, 8, generator=torch.Generator().manual_seed(0)) * 0.8
    adversarial = attacked(Mean(), x, eps=0.02, steps=10)
    assert torch.allclose(adversarial, x + 0.02, atol=1e-6)
    rise = rise_under_attack(Mean(), x, eps=0.02, steps=10)
    expected = quality_of(1 - x.mean((1, 2, 3)) - 0.02) - quality_of(1 - x.mean((1, 2, 3)))
    assert torch.allclose(rise, expected, atol=1e-3)


def test_only_scores_above_the_ceiling_are_punished() -> None:
    assert float(gaming_loss(torch.tensor([30.0]), torch.tensor([40.0]))) == 0
    # Smooth L1 of 20 points, a fifth of the scale: 0.2 less half of where it is round (0.05).
    assert float(gaming_loss(torch.tensor([60.0]), torch.tensor([40.0]))) == pytest.approx(0.2 - 0.025)


def test_agreement_by_hand() -> None:
    """Two crops of three versions. Trunks agree on all pairs of the first; on (a, b) of the second they do not."""
    versions = Versions(())
    versions.alex = [torch.tensor([0.0, 0.2, 0.4]), torch.tensor([0.1, 0.2, 0.6])]
    versions.vgg = [torch.tensor([0.0, 0.3, 0.5]), torch.tensor([0.3, 0.1, 0.6])]
    scores = [torch.tensor([90.0, 60.0, 70.0]), torch.tensor([80.0, 75.0, 20.0])]
    found = agreement(scores, versions)
    # Means .0 .25 .45 | .2 .15 .6: right are (0,1) (0,2) of the first, (0,2) (1,2) of the second; of 6, agreed 5.
    assert (found.pairs, found.n_pairs, found.agreed, found.n_agreed) == (
        pytest.approx(4 / 6),
        6,
        pytest.approx(4 / 5),
        5,
    )
    expected = spearmanr([90, 60, 70, 80, 75, 20], [0, -0.5, -0.9, -0.4, -0.3, -1.2]).statistic
    assert found.srcc == pytest.approx(expected)


def test_clear_pairs_are_those_whose_distances_differ_by_a_twentieth() -> None:
    versions = Versions(())
    versions.alex = versions.vgg = [torch.tensor([0.0, 0.04, 0.1, 0.2])]
    found = agreement([torch.tensor([50.0, 60.0, 40.0, 45.0])], versions)
    # Clear are all but (0,1) .04: (0,2) (0,3) (1,2) (1,3) (2,3); wrong is (2,3).
    assert (found.clear, found.n_clear) == (pytest.approx(4 / 5), 5)


def test_a_ladder_is_climbed_by_what_measures_the_defect() -> None:
    clean = [picture(i) for i in range(3)]
    truth = {id(x): x for x in clean}

    def knows(x: Tensor) -> Tensor:
        reference = min(truth.values(), key=lambda t: float((x[:1] - t).abs().sum()))
        return -(x - reference).square().mean((1, 2, 3))

    assert monotone(knows, clean, "noise") == 1
    assert monotone(lambda x: torch.zeros(len(x)), clean, "noise") == 0


def test_a_window_is_cut_and_turned_alike_from_pictures_and_maps() -> None:
    """The map holds the mean of each cell, so a cut in the wrong place, or a turn of one alone, shows."""
    generator = torch.Generator().manual_seed(4)
    coarse = torch.rand(1, 3, 3, 16, 16, generator=generator)
    pictures = (coarse.repeat_interleave(8, 3).repeat_interleave(8, 4) * 255).round().byte()
    places = coarse.mean(2).half()
    whole = places.float().mean((2, 3))
    versions = Versions([Shard("a.png", [["original", "b", "c"]], pictures, whole, whole, places)])
    for _ in range(8):
        batch = versions.draw(1, 3, generator, 64)
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


def small(steps: int, **changes: object) -> TrainingRecipe:
    settings = {"steps": steps, "crops": 2, "versions": 4, "warmup": 1, "bf16": False, "check_every": 100}
    return TrainingRecipe(**(settings | {"checkpoint_every": 2} | changes))


class Tiny(nn.Module):
    """A predictor of 200 parameters."""

    def __init__(self) -> None:
        super().__init__()
        self.trunk = nn.Conv2d(3, 8, 3, stride=4, padding=1)
        self.head = DenseHead((8,), width=4, hidden=8)

    def predict(self, x: Tensor) -> Prediction:
        return self.head([torch.relu(self.trunk(x - 0.5))], (x.shape[2] // 8, x.shape[3] // 8))

    def forward(self, x: Tensor) -> Tensor:
        return self.predict(x).score


def tiny() -> Tiny:
    torch.manual_seed(0)
    return Tiny()


def test_a_resumed_run_equals_an_unbroken_one_bit_for_bit(tmp_path: Path) -> None:
    versions = made_versions()
    recipe = small(6, attack=AttackRecipe(every=1, pictures=2, steps=2))
    whole, stopped = tiny(), tiny()
    Run(whole, recipe, tmp_path / "whole").fit(versions, versions, lambda *_: None)

    def stop(step: int, figures: dict[str, float]) -> None:
        if step == 5:  # one step behind the last checkpoint
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        Run(stopped, recipe, tmp_path / "part").fit(versions, versions, stop)
    resumed = tiny()
    run = Run(resumed, recipe, tmp_path / "part")
    assert run.resume()
    assert run.step == 4
    run.fit(versions, versions, lambda *_: None)
    for name, value in whole.state_dict().items():
        assert torch.equal(value, resumed.state_dict()[name])
    files = [(tmp_path / part / "weights.safetensors").read_bytes() for part in ("whole", "part")]
    assert files[0] == files[1]


def test_all_that_a_step_learns_from_has_one_size(tmp_path: Path) -> None:
    """A size of its own for attacked pictures would tell the predictor which they are."""
    model, steps = tiny(), [set[int]()]
    predict = model.predict
    model.predict = lambda x: (steps[-1].add(x.shape[-1]), predict(x))[1]
    recipe = small(8, windows=(64, 96), ladders=1, attack=AttackRecipe(pictures=2, steps=1), check_every=8)
    versions = made_versions(side=96)
    Run(model, recipe, tmp_path).fit(versions, Versions(()), lambda *_: steps.append(set()))
    assert all(len(sizes) == 1 for sizes in steps[:-1])
    assert {64, 96} == set.union(*steps)


def test_another_recipes_or_a_damaged_checkpoint_is_one_line(tmp_path: Path) -> None:
    Run(tiny(), small(2), tmp_path).fit(made_versions(), made_versions(), lambda *_: None)
    with pytest.raises(IqsrError, match="another recipe"):
        Run(tiny(), small(4), tmp_path).resume()
    (tmp_path / "checkpoint.pt").write_bytes(b"half a checkpo")
    with pytest.raises(IqsrError, match="damaged checkpoint"):
        Run(tiny(), small(2), tmp_path).resume()


def test_a_predictor_learns_the_order_of_noise(tmp_path: Path) -> None:
    learn, check = made_versions(8), made_versions(3, seed=50)
    model = tiny()
    run = Run(model, small(150, crops=4, head_lr=1e-2, trunk_lr=1e-2, ema=0.9), tmp_path)
    before = run.check(check)["pairs"]
    run.fit(learn, check, lambda *_: None)
    after = run.check(check)["pairs"]
    assert before < 0.8 < 0.95 < after


def test_a_tuned_generator_pleases_the_predictor_it_is_tuned_for() -> None:
    generator = torch.Generator().manual_seed(0)
    module = nn.Sequential(nn.Conv2d(3, 48, 3, padding=1), nn.PixelShuffle(4))
    lrs, originals = torch.rand(4, 3, 16, 16, generator=generator), torch.rand(4, 3, 64, 64, generator=generator)
    recipe = GamingRecipe(moments=(1, 40), batch=4, lr=1e-2, l1_weight=0.0)
    early, late = tuned_outputs(module, lrs, originals, Mean(), recipe, generator)
    assert Mean().predict(late).score.mean() > Mean().predict(early).score.mean() + 5


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
    weights = train_quality(recipe, [photos], tmp_path / "run", lambda stage, *_: stages.append(stage))
    assert list(dict.fromkeys(stages)) == ["data", "round 0", "gaming 1", "round 1"]
    score = load_srq(weights)(torch.rand(1, 3, 64, 80))
    assert 0 < float(score) <= 100
    shard = next(iter(read_shards(tmp_path / "run" / "data")))
    assert shard.kinds[0][0] == "original"
    assert float(shard.alex[0, 0]) < 0.01
    written = weights.stat().st_mtime_ns
    train_quality(recipe, [photos], tmp_path / "run", lambda *_: None)
    assert weights.stat().st_mtime_ns == written


def test_data_of_another_recipe_is_not_taken(photos: Path, tmp_path: Path) -> None:
    make_data([], tmp_path, DataRecipe(seed=1), on_photo=lambda *_: None)
    with pytest.raises(IqsrError, match="another recipe"):
        make_data([], tmp_path, DataRecipe(seed=2), on_photo=lambda *_: None)


@pytest.fixture
def preferred_bright(tmp_path: Path) -> Path:
    """People who prefer the noisier of two pictures, in 12 pairs."""
    lines = ["first,second,share_first"]
    for seed in range(12):
        clean = picture(seed, 64)
        noisy = DEFECTS["noise"](clean, 0.8, torch.Generator().manual_seed(seed)).clamp(0, 1)
        for name, x in (("clean", clean), ("noisy", noisy)):
            pixels = (x[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
            Image.fromarray(pixels).save(tmp_path / f"{name}{seed}.png")
        lines.append(f"noisy{seed}.png,clean{seed}.png,0.9" if seed % 2 else f"clean{seed}.png,noisy{seed}.png,0.1")
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def test_people_can_teach_the_opposite(preferred_bright: Path, tmp_path: Path) -> None:
    recipe = PreferenceRecipe(steps=12, pairs=4, lr=1e-3, held_out=0.0, ema=0.5)
    weights = train_on_pairs(recipe, preferred_bright, tmp_path / "run", lambda *_: None, scratch=True)
    model = load_srq(weights)
    gaps = []
    for seed in range(12):
        both = [
            torch.from_numpy(np.asarray(Image.open(tmp_path / f"{name}{seed}.png"))).permute(2, 0, 1)[None] / 255
            for name in ("noisy", "clean")
        ]
        gaps.append(float(model(both[0]) - model(both[1])))
    assert sum(gap > 0 for gap in gaps) >= 10


def test_a_pair_of_two_sizes_is_one_line(preferred_bright: Path, tmp_path: Path) -> None:
    Image.new("RGB", (70, 64)).save(tmp_path / "clean0.png")
    with pytest.raises(PictureError, match="a pair needs one size"):
        train_on_pairs(
            PreferenceRecipe(steps=3, pairs=12, held_out=0.0),
            preferred_bright,
            tmp_path / "r",
            lambda *_: None,
            scratch=True,
        )


def test_the_command_wants_photos_or_pairs(tmp_path: Path) -> None:
    from iqsr.cli import app

    recipe = tmp_path / "r.toml"
    recipe.write_text("")
    result = CliRunner().invoke(app, ["train-quality", str(recipe)])
    assert result.exit_code != 0
    assert "either --photos DIR or --pairs CSV" in str(result.exception)


def test_shipped_recipes_can_be_read() -> None:
    from iqsr.recipes import read_recipe

    folder = Path(__file__).parents[1] / "recipes" / "quality"
    read_recipe(folder / "people.toml", PreferenceRecipe)
    found = {p.stem: read_recipe(p, PredictorRecipe, []) for p in folder.glob("srq*.toml")}
    assert set(found) == {"srq", "srq-unguarded", "srq-holdout"}
    assert found["srq"].data == found["srq-unguarded"].data
    assert found["srq"].data.photos[1] <= found["srq-holdout"].data.photos[0]
