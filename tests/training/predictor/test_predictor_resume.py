"""Going on with a predictor's training: what may differ, damaged pictures, other data, and what is told of them."""

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn

from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.training.engine.settings import OnResume, marks
from iqsr.training.predictor import dataset, preferences, train
from iqsr.training.predictor.dataset import Shard, make_data, read_shards
from iqsr.training.predictor.preferences import train_on_pairs
from iqsr.training.predictor.recipe import DataRecipe, PredictorRecipe, PreferenceRecipe, TrainingRecipe
from iqsr.training.predictor.train import train_quality
from support.quality_samples import picture

SHORT = PreferenceRecipe(steps=5, pairs=2, held_out=0.0, checkpoint_every=100)


class Tiny(nn.Module):
    """Scores by the mean of one convolution."""

    def __init__(self) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.conv = nn.Conv2d(3, 1, 3)

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x).square().mean((1, 2, 3))


def save(path: Path, seed: int, side: int = 64) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = (picture(seed, side)[0].permute(1, 2, 0).numpy() * 255).round().astype(np.uint8)
    Image.fromarray(pixels).save(path)


@pytest.fixture
def pairs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Six pairs, and a predictor of 28 parameters in srq's place."""
    monkeypatch.setattr(preferences, "new_predictor", lambda _: Tiny())
    for number in range(6):
        for name in "ab":
            save(tmp_path / f"{name}{number}.png", number if name == "a" else number + 10)
    lines = ["first,second,share_first", *(f"a{number}.png,b{number}.png,0.8" for number in range(6))]
    path = tmp_path / "pairs.csv"
    path.write_text("\n".join(lines) + "\n")
    return path


def fit(recipe: PreferenceRecipe, pairs: Path, out: Path, *, spoil: Path | None = None, accept: bool = False) -> bytes:
    """The weights' file. spoil: a picture that is cut short after the second step."""

    def on_progress(stage: str, done: int, *_: object) -> None:
        if spoil is not None and stage == "preferences" and done == 2:
            spoil.write_bytes(spoil.read_bytes()[:300])

    resume = (out / "run.json").exists()
    weights = train_on_pairs(
        recipe, pairs, out, scratch=True, resume=resume, accept_data=accept, on_progress=on_progress
    )
    return weights.read_bytes()


def note(run: Path) -> dict[str, object]:
    return json.loads((run / "run.json").read_text())


@pytest.mark.parametrize("recipe", [PredictorRecipe, PreferenceRecipe])
def test_every_setting_says_whether_it_may_differ(recipe: type[PredictorRecipe | PreferenceRecipe]) -> None:
    assert [key for key, mark in marks(recipe).items() if mark is None] == []
    assert OnResume.LENGTH in marks(recipe).values()


def test_a_checkpoint_of_another_predictor_is_refused(
    pairs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fit(SHORT, pairs, tmp_path / "run")
    monkeypatch.setattr(preferences, "new_predictor", lambda _: nn.Sequential(Tiny()))
    with pytest.raises(IqsrError, match=r"of another network: weights '0\.conv\.weight' are not there"):
        fit(SHORT.model_copy(update={"steps": 8}), pairs, tmp_path / "run")


def test_a_run_on_pairs_made_longer_is_one_of_that_length(pairs: Path, tmp_path: Path) -> None:
    longer = SHORT.model_copy(update={"steps": 8})
    whole = fit(longer, pairs, tmp_path / "whole")
    fit(SHORT, pairs, tmp_path / "parts")
    free = longer.model_copy(update={"checkpoint_every": 1, "check_every": 2})
    assert fit(free, pairs, tmp_path / "parts") == whole
    assert note(tmp_path / "parts")["changes"] == [
        {"step": 5, "settings": {"steps": [5, 8], "check_every": [100, 2], "checkpoint_every": [100, 1]}}
    ]


def test_a_finished_run_has_its_result_and_a_log_of_its_steps(
    pairs: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    run = tmp_path / "run"
    whole = fit(SHORT, pairs, run)
    log = (run / "log.jsonl").read_bytes()
    (run / "weights.safetensors").unlink()
    with (run / "log.jsonl").open("a") as file:  # as a longer run that was killed leaves it
        file.write('{"step": 6, "loss": 1.0}\n')
    assert fit(SHORT, pairs, run) == whole
    assert (run / "log.jsonl").read_bytes() == log
    assert fit(SHORT.model_copy(update={"steps": 2}), pairs, run) == whole
    assert "the run has taken 5 steps already, not 2" in caplog.text


def test_a_picture_damaged_on_the_way_costs_no_step(pairs: Path, tmp_path: Path) -> None:
    recipe = SHORT.model_copy(update={"steps": 30})
    whole = fit(recipe, pairs, tmp_path / "whole")
    bad = tmp_path / "a3.png"
    content = bad.read_bytes()
    with pytest.raises(PictureError, match=r"a3\.png.*; stopped after \d+ steps: .*--resume goes on from there"):
        fit(recipe, pairs, tmp_path / "parts", spoil=bad)
    with pytest.raises(PictureError, match=r"1 of 12 pictures cannot be used.*a3\.png.*--set damaged=skip"):
        fit(recipe, pairs, tmp_path / "parts")
    bad.write_bytes(content)
    assert fit(recipe, pairs, tmp_path / "parts") == whole


def test_pairs_with_damaged_pictures_can_be_left_out(pairs: Path, tmp_path: Path) -> None:
    bad, recipe = tmp_path / "b2.png", SHORT.model_copy(update={"damaged": "skip"})
    content = bad.read_bytes()
    bad.write_bytes(content[:300])
    save(tmp_path / "a4.png", 4, side=80)  # another size than its partner
    fit(recipe, pairs, tmp_path / "run")
    assert set(note(tmp_path / "run")["left out"]) == {str(bad), str(tmp_path / "a4.png")}  # type: ignore[call-overload]
    bad.write_bytes(content)
    longer = recipe.model_copy(update={"steps": 6})
    fit(longer, pairs, tmp_path / "run")  # stays left out
    fit(longer, pairs, tmp_path / "run", accept=True)
    assert note(tmp_path / "run")["changes"][-1] == {"step": 6, "data": {"added": ["a2.png, b2.png"]}}  # type: ignore[index]


def test_other_pairs_are_told_and_can_be_accepted(pairs: Path, tmp_path: Path) -> None:
    fit(SHORT, pairs, tmp_path / "run")
    pairs.write_text(pairs.read_text().replace("a0.png,b0.png,0.8", "a0.png,b0.png,0.7").replace("a5.png", "a4.png"))
    told = (
        r"other data: 1 added \(a4\.png, b5\.png\), 1 removed \(a5\.png, b5\.png\), "
        r"1 changed \(a0\.png, b0\.png\) of 6 pairs"
    )
    with pytest.raises(IqsrError, match=told):
        fit(SHORT, pairs, tmp_path / "run")
    fit(SHORT, pairs, tmp_path / "run", accept=True)
    fit(SHORT, pairs, tmp_path / "run")


@pytest.fixture
def photos(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Four photos; their shards are of one pixel, their trainings write a file."""
    for number in range(4):
        save(tmp_path / "photos" / f"photo{number}.png", number)

    def judged(photo: str, *_: object) -> Shard:
        pictures = torch.zeros(1, 1, 3, 1, 1, dtype=torch.uint8)
        return Shard(photo, [["original"]], pictures, torch.zeros(1, 1), torch.zeros(1, 1), torch.zeros(1, 1, 1, 1))

    def trained(stage: str, model: object, recipe: object, training: TrainingRecipe, *rest: object) -> Path:
        out = rest[2]
        assert isinstance(out, Path)
        out.mkdir(exist_ok=True)
        (out / "weights.safetensors").touch()
        return out / "weights.safetensors"

    monkeypatch.setattr(dataset, "_judged", judged)
    monkeypatch.setattr(dataset, "Upscalers", lambda *_: None)
    monkeypatch.setattr(dataset, "Teachers", lambda *_: None)
    monkeypatch.setattr(dataset, "crops_by_area", lambda *_: [])
    monkeypatch.setattr(train, "_train", trained)
    monkeypatch.setattr(train, "load_predictor", lambda *_: None)
    return tmp_path / "photos"


RECIPE = PredictorRecipe(held_out=0.0, data=DataRecipe(crop=96))


def made(photos: Path, out: Path, recipe: PredictorRecipe = RECIPE, *, accept: bool = False) -> list[str]:
    """The photos that there is data of."""
    train_quality(recipe, [photos], out, resume=(out / "run.json").exists(), accept_data=accept)
    return sorted(shard.photo for shard in read_shards(out / "data"))


def test_damaged_photos_are_told_before_anything_is_made(photos: Path, tmp_path: Path) -> None:
    bad = photos / "photo1.png"
    content = bad.read_bytes()
    bad.write_bytes(content[:500])
    with pytest.raises(PictureError, match=r"1 of 4 pictures cannot be used.*photo1\.png.*--set data\.damaged=skip"):
        made(photos, tmp_path / "run")
    assert not (tmp_path / "run").exists()
    skip = RECIPE.model_copy(update={"data": DataRecipe(crop=96, damaged="skip")})
    assert made(photos, tmp_path / "run", skip) == ["photo0.png", "photo2.png", "photo3.png"]
    bad.write_bytes(content)
    assert len(made(photos, tmp_path / "run", skip)) == 3
    assert len(made(photos, tmp_path / "run", accept=True)) == 4
    assert note(tmp_path / "run")["changes"][-1]["data"] == {"added": ["photo1.safetensors"]}  # type: ignore[index]


def test_a_photo_repaired_before_its_shard_was_made_is_the_runs(photos: Path, tmp_path: Path) -> None:
    paths = sorted(photos.iterdir())
    make_data(paths, tmp_path / "data", RECIPE.data, on_photo=lambda *_: None)
    (tmp_path / "data" / "photo2.safetensors").unlink()  # as where its photo could not be read
    save(photos / "photo2.png", 12)
    assert not make_data(paths, tmp_path / "data", RECIPE.data, on_photo=lambda *_: None)
    save(photos / "photo2.png", 13)
    with pytest.raises(IqsrError, match=r"other data: 1 changed \(photo2\) of 4 photos; .*--accept-data"):
        make_data(paths, tmp_path / "data", RECIPE.data, on_photo=lambda *_: None)


def test_settings_of_a_predictor_are_compared_key_by_key(photos: Path, tmp_path: Path) -> None:
    made(photos, tmp_path / "run")
    for changed, told in (
        ({"held_out": 0.5}, r"\(held_out: 0\.5 here, 0 in the run\)"),
        ({"model": "srq-holdout"}, r'model: "srq-holdout" here, "srq" in the run'),
        ({"data": DataRecipe(crop=128)}, r"data\.crop: 128 here, 96 in the run"),
        ({"training": TrainingRecipe(head_lr=0.5)}, r"training\.head_lr: 0\.5 here, 0\.001 in the run"),
    ):
        with pytest.raises(UsageError, match=told):
            made(photos, tmp_path / "run", RECIPE.model_copy(update=changed))
    longer = TrainingRecipe(steps=3000, check_every=7)
    made(photos, tmp_path / "run", RECIPE.model_copy(update={"training": longer}))
    twice = RECIPE.model_copy(update={"training": longer, "refining": (TrainingRecipe(steps=3),)})
    made(photos, tmp_path / "run", twice)  # another round
    with pytest.raises(UsageError, match=r"round 1 began with what round 0 came to \(training\.steps: 4 here, 3000"):
        made(photos, tmp_path / "run", twice.model_copy(update={"training": TrainingRecipe(steps=4)}))
    made(photos, tmp_path / "run", twice.model_copy(update={"refining": (TrainingRecipe(steps=9),)}))
