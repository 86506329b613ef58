"""Whether what is drawn has the frequencies, ranges and shapes that the definitions promise."""

import math
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest
import torch
from scipy import stats
from torch import Tensor

from iqsr.degrade import OneStage, OneStageParameters, TwoStage, TwoStageParameters, pipeline, pipeline_names
from iqsr.degrade.kernels import KERNEL_KINDS, Blur, FinalSinc, KernelMix
from iqsr.degrade.noise import Noise
from iqsr.degrade.parameters import RESIZE_MODES, StageParameters
from iqsr.degrade.pipeline import Resize, Stage
from iqsr.errors import UnknownNameError, UsageError

N = 20_000
TWO_STAGE = ("hggt-two-stage", "real-esrgan")
STAGES: dict[str, Callable[[], Stage]] = {
    "hggt-one-stage": lambda: one_stage("hggt-one-stage").stage,
    "hggt-two-stage, first": lambda: two_stage("hggt-two-stage").first,
    "hggt-two-stage, second": lambda: two_stage("hggt-two-stage").second,
    "real-esrgan, first": lambda: two_stage("real-esrgan").first,
    "real-esrgan, second": lambda: two_stage("real-esrgan").second,
}
# The published figures of HGGT and Real-ESRGAN, apart from the code:
# sizes, sinc, sigma, resize, up/down/keep, noise, scale, gray, JPEG.
PUBLISHED = {
    "hggt-one-stage": ((3, 9), 0.01, (0.1, 1), (0.8, 1.2), (0.1, 0.85, 0.05), (1, 12), (0.05, 0.8), 0.2, (75, 95)),
    "hggt-two-stage, first": (
        (3, 7),
        0.01,
        (0.1, 0.6),
        (0.9, 1.1),
        (0.1, 0.85, 0.05),
        (1, 8),
        (0.05, 0.5),
        0.2,
        (85, 95),
    ),
    "hggt-two-stage, second": (
        (3, 5),
        0.01,
        (0.1, 0.4),
        (0.9, 1.1),
        (0.1, 0.85, 0.05),
        (0, 4),
        (0, 0.3),
        0.2,
        (87, 95),
    ),
    "real-esrgan, first": ((7, 21), 0.1, (0.2, 3), (0.15, 1.5), (0.2, 0.7, 0.1), (1, 30), (0.05, 3), 0.4, (30, 95)),
    "real-esrgan, second": ((7, 21), 0.1, (0.2, 1.5), (0.3, 1.2), (0.3, 0.4, 0.3), (1, 25), (0.05, 2.5), 0.4, (30, 95)),
}


def one_stage(name: str) -> OneStage:
    found = pipeline(name)
    assert isinstance(found, OneStage)
    return found


def two_stage(name: str) -> TwoStage:
    found = pipeline(name)
    assert isinstance(found, TwoStage)
    return found


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def is_uniform(values: Tensor, low: float, high: float) -> bool:
    """Kolmogorov-Smirnov; false for one in 10,000 of the sets that are."""
    assert values.min() >= low - 1e-6
    assert values.max() <= high + 1e-6
    return bool(stats.kstest(values.double().numpy(), stats.uniform(low, high - low).cdf).pvalue > 1e-4)


def has_frequencies(counts: list[int], weights: tuple[float, ...]) -> bool:
    """Chi-squared; false for one in 10,000 of the counts that have them."""
    expected = [sum(counts) * weight / sum(weights) for weight in weights if weight]
    assert all(count == 0 for count, weight in zip(counts, weights, strict=True) if not weight)
    seen = [count for count, weight in zip(counts, weights, strict=True) if weight]
    return len(seen) == 1 or bool(stats.chisquare(seen, expected).pvalue > 1e-4)


@pytest.fixture(scope="module", params=list(STAGES))
def drawn(request: pytest.FixtureRequest) -> tuple[str, StageParameters]:
    stage = STAGES[request.param]()
    always = replace(stage, blur=replace(stage.blur, probability=1.0))
    return request.param, always.draw(N, seeded())


@pytest.fixture(scope="module", params=list(STAGES))
def batches(request: pytest.FixtureRequest) -> tuple[str, list[StageParameters]]:
    rng, stage = seeded(1), STAGES[request.param]()
    return request.param, [stage.draw(1, rng) for _ in range(1500)]


def test_kernels_have_the_published_kinds_and_sizes(drawn: tuple[str, StageParameters]) -> None:
    name, stage = drawn
    (smallest, largest), sinc = PUBLISHED[name][:2]
    shapes = (0.45, 0.25, 0.12, 0.03, 0.12, 0.03) if name.startswith("real") else (0.7, 0.3, 0, 0, 0, 0)
    assert stage.blur is not None
    counts = stage.blur.kind.bincount(minlength=len(KERNEL_KINDS)).tolist()
    assert has_frequencies(counts, (*((1 - sinc) * p for p in shapes), sinc, 0))
    sizes = list(range(smallest, largest + 1, 2))
    assert has_frequencies([int((stage.blur.size == side).sum()) for side in sizes], (1.0,) * len(sizes))
    assert set(stage.blur.size.tolist()) == set(sizes)


def test_sigmas_and_angles_are_uniform_and_independent(drawn: tuple[str, StageParameters]) -> None:
    name, stage = drawn
    assert stage.blur is not None
    round_kinds = torch.tensor([KERNEL_KINDS.index(k) for k in ("iso", "generalised_iso", "plateau_iso")])
    is_round = torch.isin(stage.blur.kind, round_kinds)
    first, second = stage.blur.sigma.unbind(1)
    assert is_uniform(first, *PUBLISHED[name][2])
    assert is_uniform(second, *PUBLISHED[name][2])
    assert is_uniform(stage.blur.theta, -math.pi, math.pi)
    assert torch.equal(first[is_round], second[is_round])
    correlation: Any = stats.pearsonr(first[~is_round].numpy(), second[~is_round].numpy())
    assert abs(correlation.statistic) < 0.06


def test_strengths_and_qualities_are_uniform(drawn: tuple[str, StageParameters]) -> None:
    name, stage = drawn
    sigma, scale, gray, quality = PUBLISHED[name][5:]
    noise = STAGES[name]().noise
    gaussian, poisson = (replace(noise, gaussian=p).draw(N, seeded(2)) for p in (1.0, 0.0))
    assert (gaussian.kind, poisson.kind) == ("gaussian", "poisson")
    assert is_uniform(gaussian.strength * 255, *sigma)
    assert is_uniform(poisson.strength, *scale)
    assert is_uniform(stage.quality, *quality)
    coloured = int((~stage.noise.gray).sum())
    assert has_frequencies([N - coloured, coloured], (gray, 1 - gray))
    assert len(set(stage.noise.seeds.tolist())) > N - 5


def test_cutoffs_are_uniform_and_depend_on_the_size() -> None:
    blur = STAGES["real-esrgan, first"]().blur.draw(N, seeded())
    assert is_uniform(blur.cutoff[blur.size < 13], math.pi / 3, math.pi)
    assert is_uniform(blur.cutoff[blur.size >= 13], math.pi / 5, math.pi)


def test_exponents_lie_below_and_above_one_equally_often() -> None:
    blur = STAGES["real-esrgan, first"]().blur.draw(10 * N, seeded())
    generalised = torch.isin(blur.kind, torch.tensor([2, 3]))
    plateau = torch.isin(blur.kind, torch.tensor([4, 5]))
    beta = blur.beta[generalised]
    assert is_uniform(beta[beta < 1], 0.5, 1)
    assert is_uniform(beta[beta > 1], 1, 4)
    assert has_frequencies([int((beta < 1).sum()), int((beta >= 1).sum())], (0.5, 0.5))
    beta = blur.beta[plateau]
    assert is_uniform(beta[beta > 1], 1, 2)
    assert has_frequencies([int((beta == 1).sum()), int((beta > 1).sum())], (0.5, 0.5))
    assert (blur.beta[~generalised & ~plateau] == 1).all()


def test_batches_are_resized_as_published(batches: tuple[str, list[StageParameters]]) -> None:
    name, stages = batches
    (low, high), weights = PUBLISHED[name][3:5]
    factors = torch.tensor([stage.resize.factor for stage in stages])
    up, down, keep = factors[factors > 1], factors[factors < 1], factors[factors == 1]
    assert has_frequencies([len(up), len(down), len(keep)], weights)
    assert is_uniform(up, 1, high)
    assert is_uniform(down, low, 1)
    modes = [stage.resize.mode for stage in stages]
    assert has_frequencies([modes.count(mode) for mode in RESIZE_MODES], (1, 1, 1))


def test_batches_have_their_kind_of_noise_and_second_blur(batches: tuple[str, list[StageParameters]]) -> None:
    name, stages = batches
    kinds = [stage.noise.kind for stage in stages]
    assert has_frequencies([kinds.count("gaussian"), kinds.count("poisson")], (0.5, 0.5))
    blurred = sum(stage.blur is not None for stage in stages)
    assert has_frequencies([blurred, len(stages) - blurred], (0.8, 0.2) if name.endswith("second") else (1.0, 0.0))


@pytest.mark.parametrize(
    ("name", "probability", "sizes"), [("hggt-two-stage", 0.1, {3, 5}), ("real-esrgan", 0.8, set(range(7, 22, 2)))]
)
def test_final_sinc_is_a_sinc_or_nothing(name: str, probability: float, sizes: set[int]) -> None:
    drawn = two_stage(name).final_sinc.draw(N, seeded())
    sinc = int((drawn.kind == KERNEL_KINDS.index("sinc")).sum())
    assert has_frequencies(
        [sinc, int((drawn.kind == KERNEL_KINDS.index("pulse")).sum())], (probability, 1 - probability)
    )
    assert set(drawn.size.tolist()) == sizes
    assert is_uniform(drawn.cutoff, math.pi / 3, math.pi)


@pytest.mark.parametrize("name", TWO_STAGE)
def test_order_is_a_fair_coin_and_the_last_interpolation_is_drawn(name: str) -> None:
    rng = seeded(3)
    draws = [two_stage(name).draw(1, 128, 128, rng) for _ in range(800)]
    last = sum(draw.jpeg_last for draw in draws)
    assert has_frequencies([last, len(draws) - last], (0.5, 0.5))
    modes = [draw.final_mode for draw in draws]
    assert has_frequencies([modes.count(mode) for mode in RESIZE_MODES], (1, 1, 1))


def first_values(stage: StageParameters) -> tuple[float, int, float, float, int, float]:
    """Of the first picture: the kernel's sigma and size, the resize, the noise's strength and seed, the quality."""
    assert stage.blur is not None
    kernel, noise = stage.blur, stage.noise
    reals = (kernel.sigma[0, 0], noise.strength[0], stage.quality[0])
    sigma, strength, quality = (value.item() for value in reals)
    return sigma, int(kernel.size[0]), stage.resize.factor, strength, int(noise.seeds[0]), quality


@pytest.mark.parametrize(
    ("name", "stages", "last"),
    [
        ("hggt-one-stage", [(0.4615, 3, 0.853967, 0.012900, 2034131043, 91.3094)], None),
        (
            "hggt-two-stage",
            [(0.3009, 3, 0.926983, 0.009635, 2034131043, 93.1547), (0.1725, 5, 0.994425, 0.009311, 657731430, 87.0411)],
            ("bilinear", 5, 1.83083, True),
        ),
        (
            "real-esrgan",
            [
                (1.3248, 9, 0.379359, 0.027591, 2034131043, 83.0055),
                (0.5142, 17, 0.960972, 0.059788, 657731430, 30.3336),
            ],
            ("bilinear", 17, 1.83083, True),
        ),
    ],
)
def test_a_seed_draws_the_same_values_in_every_version(
    name: str, stages: list[tuple[float, ...]], last: tuple[str, int, float, bool] | None
) -> None:
    """Values that were drawn when the order of draws was set: seeds of evaluations and trainings depend on it."""
    drawn = pipeline(name).draw(2, 96, 128, seeded())
    found = [drawn.stage] if isinstance(drawn, OneStageParameters) else [drawn.first, drawn.second]
    assert [first_values(stage) for stage in found] == [pytest.approx(values, rel=1e-3) for values in stages]
    if isinstance(drawn, TwoStageParameters):
        final = (drawn.final_mode, int(drawn.sinc.size[0]), round(drawn.sinc.cutoff[0].item(), 5), drawn.jpeg_last)
        assert final == last


def test_definitions_are_frozen_and_unknown_names_tell_the_known_ones() -> None:
    with pytest.raises(AttributeError):
        pipeline("real-esrgan").scale = 2  # type: ignore[misc]
    # Messages list the nearest name first: both that begin with "hggt" stand before "real-esrgan".
    with pytest.raises(UnknownNameError, match="known: hggt-one-stage, hggt-two-stage, real-esrgan"):
        pipeline("hggt-onestage")
    # Mildest first; the help, the guide and the page list them so, and the first is the default of recipes.
    assert pipeline_names() == ["hggt-one-stage", "hggt-two-stage", "real-esrgan"]


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (lambda: Blur((3, 4), (0.1, 1), 0.1), "odd"),
        (lambda: Blur((), (0.1, 1), 0.1), "odd"),
        (lambda: Blur((3,), (1, 0.1), 0.1), "sigma"),
        (lambda: Blur((3,), (0, 1), 0.1), "sigma"),
        (lambda: Blur((3,), (0.1, 1), 1.1), "probability"),
        (lambda: Blur((3,), (0.1, 1), 0.1, beta_plateau=(1.5, 2)), "must hold 1"),
        (lambda: KernelMix(iso=-1), "0 or more"),
        (lambda: KernelMix(iso=0, aniso=0), "not all 0"),
        (lambda: FinalSinc((2,), 0.5), "odd"),
        (lambda: Resize((1.1, 1.2)), "must hold 1"),
        (lambda: Resize((0.9, 1.1), up=-0.1), "0 or more"),
        (lambda: Noise((1, 2), (-1, 1), 0.2), "Poisson scale"),
        (lambda: replace(one_stage("hggt-one-stage").stage, jpeg=(50, 101)), "JPEG quality"),
    ],
)
def test_impossible_definitions_are_refused(wrong: Callable[[], object], told: str) -> None:
    with pytest.raises(UsageError, match=told):
        wrong()
