"""The settings of `iqsr train`: what the network starts as, what it learns from, towards what, and when it stops.

Defaults are those of HGGT's training (arXiv:2303.13069) as "Augmenting Perceptual Super-Resolution via Image Quality
Predictors" (CVPR 2025, sections 4 and 8) uses it; the recipes `paper/...` say what differs, one a row of its tables.
"""

from bisect import bisect_right
from typing import Annotated, Literal

from pydantic import Field, model_validator

from iqsr.errors import UnknownNameError
from iqsr.metrics import MetricCard, card
from iqsr.recipes import Recipe
from iqsr.training.engine.settings import Decay, Every, Fixed, Free, LoopRecipe, PictureRecipe, Steps


class ModelRecipe(Recipe):
    """The network that learns."""

    start: Fixed[str] = "realesrgan-x4plus"
    """A name as in `iqsr upscale --model`, the path of a checkpoint, `run:NAME` for the result of the run NAME
    beside this one, or `new:swinir`, `new:swinir-tiny`, `new:rrdbnet`, `new:rrdbnet-tiny` for random weights."""
    convolutions: Fixed[int] = Field(default=0, ge=0)
    """Of SRVGGNetCompact alone: layers that change nothing are added until it has so many inner convolutions."""


class LoraRecipe(Recipe):
    """Low-rank adapters (Hu et al., arXiv:2106.09685): all that is trained; the brake on gaming of the paper's 4.3."""

    rank: Fixed[int] = Field(ge=1)
    targets: Fixed[str]
    """`swinir-mlp`, `rrdb-convs`, `all-convs`, `all-linears`, or a regular expression over the names of layers."""
    alpha: Fixed[float | None] = Field(default=None, gt=0)
    """Scale of the adapter's output is alpha / rank; the rank by default."""
    start: Fixed[str] = ""
    """The adapter to go on from, of the same network, rank and layers: its file, or `run:NAME`; new ones if empty."""


class DataRecipe(PictureRecipe):
    """From sets of ground truths to batches."""

    degradations: Fixed[tuple[str, ...]] = Field(default=("hggt-one-stage",), min_length=1)
    """Pipelines of `iqsr.degrade`; each batch draws one. A name that stands twice is drawn twice as often."""
    inputs: Fixed[Literal["degraded", "stored"]] = "degraded"
    """Whether originals are degraded anew for each sample, or the inputs are read that the data set stores."""
    sets: Fixed[Literal["every", "positive", "verdict"]] = "every"
    """HGGT's filters Ori, Pos and Pos+Neg; the latter two need labels of people."""
    source: Fixed[int] = Field(default=512, ge=64, multiple_of=4)
    """Side of the square of each original that is degraded, in pixels; larger pictures are cut at random."""
    patch: Fixed[int] = Field(default=256, ge=32, multiple_of=4)
    """Side of the patch that is cut from it after degradation, in pixels of the ground truth."""
    flip: Fixed[float] = Field(default=0.5, ge=0, le=1)
    """Share of the patches that are mirrored left to right."""
    pool: Fixed[int] = Field(default=160, ge=0)
    """Samples in each process's pool that mixes degradations (0: none); a multiple of the batch."""
    workers: Free[int] = Field(default=2, ge=0)
    """Processes that prefetch batches."""


class SamplingRecipe(Recipe):
    """Which ground truth of a set is learned from (the paper's 4.2)."""

    sampler: Fixed[Literal["origins-only", "enhanced", "upos", "sma", "smp", "amo"]] = "origins-only"
    tau: Fixed[float] = Field(default=10.0, gt=0)
    """Temperature of SMA and SMP, on a scale of 0 to 100, over which the metric's range is spread."""
    metric: Fixed[str] = "srq"
    """The no-reference metric that SMA, SMP and AMO go by."""
    grid: Fixed[int] = Field(default=0, ge=0, multiple_of=4)
    """AMO: 0 scores each patch when it is cut; else patches stand at multiples of so many pixels and are scored once:
    all before the first step, or, where a process draws fewer than there are, each when it is first drawn."""


class ObjectiveRecipe(Recipe):
    """The weights of the terms; those of weight 0 are not computed."""

    l1: Fixed[float] = Field(default=1.0, ge=0)
    perceptual: Fixed[float] = Field(default=1.0, ge=0)
    perceptual_features: Fixed[Literal["vgg19", "vgg16", "lpips-st-vgg", "lpips-st-alex"]] = "vgg19"
    """HGGT's VGG19 needs torchvision's weights; the others are LPIPS-ST's, from the package index: `vgg16` takes the
    features as they are, as HGGT does, and LPIPS-ST scales them to unit length."""
    perceptual_on_flat: Fixed[float] = Field(default=1.0, ge=0, le=1)
    """How much flat areas of the original count for it; where nothing is to be seen it asks for the photo's grain."""
    gan: Fixed[float] = Field(default=0.1, ge=0)
    """Weight of the vanilla GAN loss with a U-Net discriminator (the paper's lambda_A)."""
    gan_from: Fixed[int] = Field(default=0, ge=0)
    """Steps before that term counts, in which the discriminator learns alone."""
    discriminator_features: Fixed[int] = Field(default=64, ge=1)
    """Channels of the discriminator at full resolution; Real-ESRGAN's has 64."""
    ldl: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of LDL's artefact map (Liang et al., CVPR 2022, arXiv:2203.09195)."""
    negative: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of HGGT's term away from negative ground truths, its factor of 300 included."""
    consistency: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the L1 between the reduced output and the input."""
    flat: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the term against grain on flat areas of the original."""
    flat_detail: Fixed[float] = Field(default=2.0, gt=0)
    """The detail of an area that still counts as flat, as a standard deviation in steps of 1/255."""
    flat_square: Fixed[float] = Field(default=0.0, ge=0)
    """How much the square of the grain counts in that term, beside its absolute value."""
    lambda_q: Fixed[float] = Field(default=0.0, ge=0)
    """Weight of the predicted quality, on a scale of 0 to 100."""
    quality: Fixed[dict[str, Annotated[float, Field(ge=0)]]] = Field(default={"srq": 1.0}, min_length=1)
    """The differentiable metrics that make up the quality, and their shares."""

    @model_validator(mode="after")
    def _some_term(self) -> "ObjectiveRecipe":
        terms = (
            self.l1,
            self.perceptual,
            self.gan,
            self.ldl,
            self.negative,
            self.consistency,
            self.flat,
            self.lambda_q,
        )
        if not any(terms):
            raise ValueError("every weight is 0: nothing to learn")
        return self


class OptimiserRecipe(Recipe):
    """Adam for the model, another for the discriminator."""

    lr: Fixed[float] = Field(default=1e-4, gt=0)
    betas: Fixed[tuple[Decay, Decay]] = (0.9, 0.99)
    milestones: Fixed[tuple[int, ...]] = (200_000, 250_000, 275_000, 287_500)
    """Steps after which both learning rates are multiplied by `gamma`."""
    gamma: Fixed[float] = Field(default=0.5, gt=0, le=1)
    warmup: Fixed[int] = Field(default=0, ge=0)
    """Steps in which they rise from nearly nothing."""
    discriminator_lr: Fixed[float] = Field(default=1e-4, gt=0)
    clip: Fixed[float] = Field(default=0.0, ge=0)
    """Largest norm of the model's gradient; 0: any."""
    ema: Fixed[Decay] = 0.999
    """Decay of the running average of the weights: what is validated and kept."""

    def rate_at(self, step: int) -> float:
        """Share of the learning rates that holds in the step numbered `step` (from 0)."""
        rising = min(1.0, (step + 1) / self.warmup) if self.warmup else 1.0
        return rising * self.gamma ** bisect_right(self.milestones, step)


class ValidationRecipe(Recipe):
    """Measurements on photos that are not learned from."""

    every: Every = 5000
    photos: Free[int] = Field(default=16, ge=1)
    """How many of the folder's, spread evenly over it."""
    side: Free[int] = Field(default=256, ge=64, multiple_of=4)
    """Side of the square in their middle that is degraded and restored."""
    degradation: Free[str | None] = None
    """The first of the training's, if none is named."""
    metrics: Free[tuple[str, ...]] = ("psnr", "stlpips")
    """Held-out metrics; those that are trained on (`TrainRecipe.trained_on`) are marked in the log."""
    pictures: Free[int] = Field(default=4, ge=0)
    """How many comparisons are written each time."""


class GuardRecipe(Recipe):
    """When to stop because the quality is being gamed (docs/guides/train.md)."""

    on: Free[bool] = True
    margin: Free[float] = 2.0
    """Points that the outputs' quality may lie above that of the clean originals."""
    patience: Free[int] = Field(default=3, ge=1)
    """Validations in a row at which quality rises while a held-out metric or LR-consistency falls."""
    tolerance: Free[float] = Field(default=0.02, ge=0)
    """Relative change of a held-out metric that still counts as none."""
    consistency_db: Free[float] = Field(default=0.5, ge=0)
    """Fall of LR-consistency, in dB of PSNR, that still counts as none."""


class TrainRecipe(LoopRecipe):
    """One training run."""

    steps: Steps = 300_000
    batch: Fixed[int] = Field(default=8, ge=1)
    """Samples a step and process, of as many processes as the run began with."""
    bf16: Fixed[bool] = True
    """Compute in bf16 (autocast) on devices where that is faster."""
    model: ModelRecipe = ModelRecipe()
    lora: Fixed[LoraRecipe | None] = None
    data: DataRecipe = DataRecipe()
    sampling: SamplingRecipe = SamplingRecipe()
    objective: ObjectiveRecipe = ObjectiveRecipe()
    optimiser: OptimiserRecipe = OptimiserRecipe()
    validation: ValidationRecipe = ValidationRecipe()
    guard: GuardRecipe = GuardRecipe()
    checkpoint_every: Every = 5000
    log_every: Every = 100

    @property
    def guarded(self) -> bool:
        """Whether the guard may stop the run: nothing games a quality that is not optimised."""
        return self.guard.on and self.objective.lambda_q > 0

    @property
    def trained_on(self) -> frozenset[str]:
        """The metrics that are optimised for, or choose what is learned from: no judges of the result."""
        shares = self.objective.quality if self.objective.lambda_q else {}
        scored = self.sampling.sampler in ("sma", "smp", "amo")
        names = [name for name, share in shares.items() if share] + [self.sampling.metric] * scored
        return frozenset(card(name).name for name in names)

    @model_validator(mode="after")
    def _fits(self) -> "TrainRecipe":
        if self.data.pool % self.batch:
            raise ValueError(f"data.pool = {self.data.pool} is not a multiple of batch = {self.batch}")
        self.data.check_damaged("data.")
        if self.data.patch > self.data.source:
            raise ValueError(f"data.patch = {self.data.patch} is larger than data.source = {self.data.source}")
        if self.objective.gan and self.data.patch % 8:
            raise ValueError(f"data.patch = {self.data.patch}: the discriminator (objective.gan) needs a multiple of 8")
        labelled = self.sampling.sampler in ("upos", "smp") or self.objective.negative > 0
        if labelled and self.data.sets == "every":
            raise ValueError("upos, smp and the negative term need people's labels: data.sets = positive or verdict")
        return self

    @model_validator(mode="after")
    def _metrics_fit(self) -> "TrainRecipe":
        sampling, patch = self.sampling, self.data.patch
        if sampling.sampler in ("sma", "smp", "amo"):
            chosen = _card(sampling.metric, "sampling.metric")
            if chosen.compares:
                raise ValueError(
                    f"sampling.metric = '{chosen.name}' compares with a reference, and ground truths have none: "
                    "choose one without, such as srq"
                )
            if sampling.sampler == "amo":
                _check_patch(patch, chosen, "sampling.metric")
            elif not chosen.is_bounded:
                raise ValueError(
                    f"sampling.metric = '{chosen.name}' has no bounded range, which tau needs: choose another metric"
                )
        if self.objective.lambda_q:
            for name in (name for name, share in self.objective.quality.items() if share):
                _check_patch(patch, _card(name, "objective.quality"), "objective.quality")
        for name in self.validation.metrics:
            _check_side(self.validation.side, _card(name, "validation.metrics"))
        return self


def _card(name: str, setting: str) -> MetricCard:
    """The card of the metric that the setting names; ValueError, which pydantic expects, where there is none."""
    try:
        return card(name)
    except UnknownNameError as error:
        raise ValueError(f"{setting}: {error}") from None


def _check_side(side: int, chosen: MetricCard) -> None:
    """ValueError where a metric of `validation.metrics` cannot measure squares of so many pixels."""
    if side < chosen.minimum_size:
        raise ValueError(
            f"validation.side = {side} is too small for '{chosen.name}' of validation.metrics, which needs at least "
            f"{chosen.minimum_size} x {chosen.minimum_size} pixels"
        )


def _check_patch(patch: int, chosen: MetricCard, setting: str) -> None:
    """ValueError where the metric that the setting names cannot measure a patch of so many pixels."""
    if patch < chosen.minimum_size:
        raise ValueError(
            f"data.patch = {patch} is too small for {setting} = '{chosen.name}', which needs at least "
            f"{chosen.minimum_size} x {chosen.minimum_size} pixels: set data.patch to {chosen.minimum_size} or more, "
            "or choose another metric"
        )
