"""What a training's settings come to: what cannot work is told before anything is written, and who judges."""

from pathlib import Path

import pytest

from iqsr.errors import UsageError
from iqsr.metrics import Precision, load_metric
from iqsr.metrics.metric import Metric
from iqsr.recipes import resolved_toml
from iqsr.training.engine import precision
from iqsr.training.sr import targets
from iqsr.training.sr.loop import Training
from iqsr.training.sr.run import train
from support.commands import Run
from support.tiny_runs import lines, tiny


@pytest.mark.parametrize(
    ("arguments", "told", "code"),
    [
        (("recipes/none.toml", "--data", "{sets}"), "none.toml", 2),
        (("{recipe}", "--data", "nowhere"), "no such folder: 'nowhere'", 2),
        (("{recipe}", "--data", "{sets}", "--set", "objective.lambda=1"), "lambda_q", 2),
        (("{recipe}", "--data", "{sets}", "--set", "model.start=new:swinr"), "new:swinir", 2),
        (("{recipe}", "--data", "{sets}", "--set", "lora.targets=mlps"), "no layer of this network matches", 2),
        (("{recipe}", "--data", "{sets}", "--set", "data.source=128"), "is 96x96, data.source is 128", 2),
        (("{recipe}", "--data", "{sets}", "--set", "data.degradations=['reel-esrgan']"), "real-esrgan", 2),
        (("{recipe}", "--data", "{sets}", "--set", "sampling.metric=nime"), "nima", 2),
        (("{recipe}", "--data", "{sets}", "--resume"), "holds no run to go on with", 2),
        (
            ("{recipe}", "--data", "{sets}", "--set", "model.start=realesr-animevideov3-x2"),
            "enlarges x2, 'hggt-one-stage' reduces by 4: choose a network of x4",
            2,
        ),
        (("{recipe}", "--data", "{sets}", "--set", "objective.quality.psnr=1"), "'psnr' cannot be optimised for", 2),
        (("{recipe}", "--data", "{sets}", "--set", "objective.quality.musiq=1"), "'musiq' is not here", 1),
        (
            ("{recipe}", "--data", "{sets}", "--set", "data.source=64", "--set", "data.degradations=['real-esrgan']"),
            "data.source = 64 is too small for the degradation 'real-esrgan', which needs at least 76",
            2,
        ),
    ],
)
def test_wrong_arguments_are_one_line_and_leave_no_folder(
    iqsr: Run,
    sets: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    told: str,
    code: int,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(resolved_toml(tiny()))
    if "not here" in told:
        monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "no weights"))
    given = [a.format(sets=sets, recipe=recipe) for a in arguments]
    ended = iqsr("train", *given, "-o", str(tmp_path / "run"))
    assert ended.code == code
    assert told in ended.err
    assert ended.err.count("\n") == 1
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        (("sampling.metric=psnr",), r"sampling\.metric = 'psnr' compares with a reference.*choose one without"),
        (("sampling.metric=psnr", "sampling.sampler=sma"), r"sampling\.metric = 'psnr' compares with a reference"),
        (("sampling.metric=laplacian", "sampling.sampler=sma"), r"'laplacian' has no bounded range, which tau needs"),
        (("sampling.metric=nime",), "sampling.metric: unknown metric 'nime'; known: niqe"),
        (("data.patch=32",), r"data\.patch = 32 is too small for sampling\.metric = 'srq'.*set data\.patch to 64"),
        (
            ("data.patch=32", "sampling.metric=musiq", "objective.lambda_q=0.05"),
            r"data\.patch = 32 is too small for objective\.quality = 'srq'",
        ),
    ],
)
def test_a_metric_that_cannot_score_patches_is_told_with_its_setting(changes: tuple[str, ...], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        tiny("ablation/cpu-amo", *changes)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("optimiser.betas=[1.5, 0.9]", r"optimiser\.betas\[0\]' should be less than 1"),
        ("seed=99999999999999999999", "'seed' should be less than"),
        ("seed=-1", "'seed' should be greater than or equal to 0"),
        ("objective.quality.srq=-1", r"objective\.quality\.srq' should be greater than or equal to 0"),
        ("validation.metrics=['nope']", r"validation\.metrics: unknown metric 'nope'"),
        ("validation.metrics=['ms-ssim']", r"validation\.side = 64 is too small for 'ms_ssim' of validation\.metrics"),
    ],
)
def test_numbers_that_cannot_be_are_told_by_the_recipe(change: str, told: str) -> None:
    with pytest.raises(UsageError, match=told) as error:
        tiny("ablation/cpu-amo-ft", change)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("name", "changes", "judges"),
    [
        ("paper/realesrgan-upos", ("objective.lambda_q=0.05", "objective.quality={musiq=0.0, srq=1.0}"), {"srq"}),
        ("paper/realesrgan-upos", (), set()),
        ("ablation/cpu-amo", ("sampling.metric=musiq-koniq",), {"musiq"}),
        ("ablation/cpu-amo-ft", ("objective.quality={srq=0.5, lpips=0.0}",), {"srq"}),
    ],
)
def test_metrics_that_are_optimised_for_or_choose_targets_are_trained_on(
    name: str, changes: tuple[str, ...], judges: set[str]
) -> None:
    assert tiny(name, *changes).trained_on == judges


def test_a_metric_that_chooses_targets_is_no_judge(sets: Path, photos: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-amo", "steps=1", "validation.every=1", "validation.metrics=['srq', 'psnr']")
    train(recipe, sets, tmp_path / "run", validation=photos)
    (figures, *_) = [line for line in lines(tmp_path / "run") if line["group"] == "validation"]
    assert {"srq (trained on)", "psnr"} <= figures.keys()


@pytest.mark.parametrize(("bf16", "asked"), [(True, "bf16"), (False, "fp32")])
@pytest.mark.parametrize("grid", [0, 32])
def test_amo_scores_patches_in_the_precision_of_the_run(
    bf16: bool, asked: str, grid: int, sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded: list[str] = []

    def load(name: str, *, device: str, precision: Precision) -> Metric:
        loaded.append(precision)
        return load_metric(name, device=device)

    monkeypatch.setattr(targets, "load_metric", load)
    monkeypatch.setattr(precision, "bf16_pays", lambda device: True)
    Training(tiny("ablation/cpu-amo", f"bf16={str(bf16).lower()}", f"sampling.grid={grid}"), sets, tmp_path / "run")
    assert loaded == [asked]


def test_a_metric_that_nothing_asks_for_may_be_any() -> None:
    recipe = tiny("ablation/cpu-origins", "sampling.metric=psnr", "data.patch=32", "objective.lambda_q=0.0")
    assert recipe.sampling.metric == "psnr"


def test_labels_that_a_sampler_needs_are_asked_for() -> None:
    with pytest.raises(UsageError, match="need people's labels"):
        tiny("ablation/cpu-amo", "sampling.sampler=upos")
