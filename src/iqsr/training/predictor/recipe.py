"""The settings of `iqsr train-quality`: what data is made and how a predictor learns from it."""

import math
from typing import Annotated, Literal

from pydantic import Field, model_validator

from iqsr.recipes import Recipe
from iqsr.training.engine.settings import Decay, Every, Fixed, Free, LoopRecipe, PictureRecipe, Seed, Steps


class AttackRecipe(Recipe):
    """Pictures made to fool the predictor while it learns, which it must not score above what they were made from."""

    every: Fixed[int] = Field(default=1, ge=1)
    """One step in so many sees attacked pictures."""
    pictures: Fixed[int] = Field(default=16, ge=1)
    """How many of the batch are attacked."""
    eps: Fixed[float] = Field(default=4.0, gt=0)
    """Largest change in steps of 1/255; each attack takes a quarter to three halves of it."""
    steps: Fixed[int] = Field(default=3, ge=1)
    """Steps of projected gradient ascent."""
    reach: Fixed[tuple[float, float]] = (2.5, 2.5)
    """How far all steps of an attack go together, in eps: drawn between the two for each. A predictor that only ever
    meets long steps learns to bend its gradient so that they miss, and falls to short ones."""
    random_start: Fixed[float] = Field(default=0.5, ge=0, le=1)
    """Share of the attacks that start anywhere within eps; the others start at the picture."""
    weight: Fixed[float] = Field(default=4.0, ge=0)
    """Weight of the loss."""
    late_weight: Fixed[float | None] = Field(default=None, ge=0)
    """Weight in the second half of the steps, so that the end is about the order of versions; none: the same."""


class TrainingRecipe(LoopRecipe):
    """How a predictor learns."""

    steps: Steps = 1500
    crops: Fixed[int] = Field(default=6, ge=1)
    """Crops in a batch."""
    versions: Fixed[int] = Field(default=8, ge=2)
    """Versions of each crop in a batch."""
    windows: Fixed[tuple[Annotated[int, Field(ge=64, multiple_of=8)], ...]] = ()
    """Sides of the random squares that are cut from all crops of a batch, drawn anew for each; none: whole crops.
    Everything that a step learns from has one size: else it learns what the size tells."""
    head_lr: Fixed[float] = Field(default=1e-3, gt=0)
    trunk_lr: Fixed[float] = Field(default=2e-4, gt=0)
    weight_decay: Fixed[float] = Field(default=1e-4, ge=0)
    warmup: Fixed[int] = Field(default=50, ge=0)
    """Steps in which the learning rates rise to their values, to fall as a cosine from there."""
    clip: Fixed[float] = Field(default=1.0, gt=0)
    """Largest norm of a step's gradient."""
    ema: Fixed[Decay] = 0.995
    """Decay of the running average of the weights, which is what is kept."""
    halfway_share: Fixed[float] = Field(default=0, ge=0, le=1)
    """Share that the average half way through the steps has in the result. After a first half that is hard on attacks
    and a second one that is easy on them (`late_weight`), what lies between keeps most of both."""
    score_weight: Fixed[float] = Field(default=4.0, ge=0)
    map_weight: Fixed[float] = Field(default=1.0, ge=0)
    rank_weight: Fixed[float] = Field(default=0.5, ge=0)
    ladders: Fixed[int] = Field(default=4, ge=0)
    """Ladders of blur, noise, JPEG or ringing, made afresh for each batch."""
    ladder_crops: Fixed[int] = Field(default=0, ge=0)
    """Crops of every photo that ladders are made of (they need no teacher); 0: ladders are of the batch's own."""
    ladder_weight: Fixed[float] = Field(default=0.1, ge=0)
    ladder_margin: Fixed[float] = Field(default=1.0, ge=0)
    """Points that each rung is to be worse than the one before."""
    attack: Fixed[AttackRecipe | None] = None
    bf16: Fixed[bool] = True
    """Compute in bf16 (autocast), on machines where that is faster."""
    check_every: Every = 250
    checkpoint_every: Every = 100

    def rate_at(self, step: int) -> float:
        """Share of the learning rates that holds at a step."""
        if step < self.warmup:
            return (step + 1) / self.warmup
        done = (step - self.warmup) / max(1, self.steps - self.warmup)
        return 0.02 + 0.98 * (1 + math.cos(math.pi * min(1.0, done))) / 2


class DataRecipe(PictureRecipe):
    """What is made of each photo."""

    seed: Fixed[Seed] = 0
    photos: Fixed[tuple[float, float]] = (0.0, 1.0)
    """The range of photos, by the hash of their names, that is used: predictors of disjoint ranges share none."""
    crop: Fixed[int] = Field(default=160, ge=96, multiple_of=32)
    """Side of a crop in pixels."""
    per_megapixel: Fixed[float] = Field(default=14.0, gt=0)
    """Crops for each megapixel of a photo, as it is reduced."""
    defects: Fixed[int] = Field(default=7, ge=0)
    """Defective versions of each crop, beside the original and what upscalers make of it."""
    generators: Fixed[tuple[str, ...]] = Field(
        default=("realesrgan-x4plus", "realesrgan-x4plus-anime", "realesr-animevideov3"), min_length=2
    )
    """Networks that enlarge by four; the first is used most."""


class GamingRecipe(Recipe):
    """Models tuned to please the predictor's last version, for its next version to recognise."""

    seed: Fixed[Seed] = 0
    crop: Fixed[int] = Field(default=160, ge=96, multiple_of=32)
    crops: Fixed[int] = Field(default=240, ge=1)
    """How many crops, one of a photo, each round makes outputs for."""
    generators: Fixed[tuple[str, ...]] = ("realesr-animevideov3", "realesr-animevideov3", "realesrgan-x4plus-anime")
    """One tuning run each."""
    moments: Fixed[tuple[int, ...]] = (10, 30, 80)
    """Steps after which outputs are kept."""
    lr: Fixed[float] = Field(default=3e-4, gt=0)
    batch: Fixed[int] = Field(default=4, ge=1)
    l1_weight: Fixed[float] = Field(default=1.0, ge=0)
    """Largest weight of the L1 term beside the score; each run draws its own."""


class PredictorRecipe(Recipe):
    """A predictor of quality: what it is, what it learns from and how."""

    model: Fixed[Literal["srq", "srq-holdout"]] = "srq"
    held_out: Fixed[float] = Field(default=0.1, ge=0, lt=1)
    """Share of the photos that are checked on and never learned from."""
    data: DataRecipe = DataRecipe()
    training: TrainingRecipe = TrainingRecipe()
    gaming: Fixed[GamingRecipe | None] = None
    """How each later round's data is made: generators tuned against the predictor as it is then."""
    refining: Free[tuple[TrainingRecipe, ...]] = ()
    """How the predictor learns in each of the later rounds, from all data there is by then. A run that continues may
    get more rounds; inside a round each setting has its own rule."""

    @model_validator(mode="after")
    def _fits(self) -> "PredictorRecipe":
        self.data.check_damaged("data.")
        return self


class PreferenceRecipe(LoopRecipe, PictureRecipe):
    """How a predictor learns from pairs of pictures and the share of people who prefer the first of each."""

    steps: Steps = 500
    pairs: Fixed[int] = Field(default=8, ge=1)
    """Pairs in a batch."""
    crop: Fixed[int] = Field(default=256, ge=64)
    """Larger pictures are cut to random squares of this side, both of a pair in the same place."""
    held_out: Fixed[float] = Field(default=0.1, ge=0, lt=1)
    """Share of the groups of pairs that have pictures in common, by hash, that is checked on and never learned from."""
    lr: Fixed[float] = Field(default=1e-4, gt=0)
    softness: Fixed[float] = Field(default=10.0, gt=0)
    """Points of difference in score that make 73 % of people prefer the better one (Bradley-Terry's scale)."""
    ema: Fixed[Decay] = 0.99
    """Decay of the running average of the weights, which is what is kept."""
    check_every: Every = 100
    checkpoint_every: Every = 50

    @model_validator(mode="after")
    def _fits(self) -> "PreferenceRecipe":
        self.check_damaged()
        return self
