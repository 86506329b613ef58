"""The settings of `iqsr prepare`: which enhanced versions are made of a photo and which patches of it are kept."""

from typing import Annotated, Literal

from pydantic import Field

from iqsr.recipes import Recipe


class PatchRecipe(Recipe):
    """Where patches are cut and which are kept. The defaults are those of HGGT's patch selection."""

    crop: int = Field(default=512, ge=32, multiple_of=4)
    """Side of a patch in pixels. Photos with a shorter side give none."""
    step: int = Field(default=288, ge=1)
    """Pixels from one patch to the next, before jitter."""
    jitter: int = Field(default=16, ge=0)
    """Each place is moved by up to so many pixels, a draw an axis."""
    contrast: float = Field(default=30.0, ge=0)
    """Least standard deviation of the gray values, 0 to 255."""
    detail: float = Field(default=30.0, ge=0)
    """Least variance of the Laplacian of the gray values, negatives cut to 0."""


class ModelEnhancer(Recipe):
    """A network draws the photo again, from a reduced copy, at the photo's own size."""

    kind: Literal["model"] = "model"
    model: str
    """A name (`iqsr weights` lists them), or the path of a checkpoint that spandrel reads, also of an x1 restorer."""
    reduce: float | None = Field(default=None, gt=0, le=1)
    """Each side of the copy, as a share of the photo's. A half by default; 1 (no reduction) for x1 networks. What the
    network gives must be at least as large as the photo."""
    strength: float = Field(default=1.0, gt=0, le=1)
    """Share of the result in the version; the rest is the photo."""

    def describe(self) -> str:
        """One phrase for the index, such as `realesrgan-x4plus reduce 0.5 strength 1`."""
        reduce = "" if self.reduce is None else f" reduce {self.reduce:g}"
        return f"{self.model}{reduce} strength {self.strength:g}"


class UnsharpEnhancer(Recipe):
    """Unsharp masking with a soft threshold (`iqsr.degrade.unsharp_mask`)."""

    kind: Literal["unsharp"] = "unsharp"
    weight: float = Field(default=0.7, gt=0)
    """Of the difference to the blurred photo that is added."""
    radius: int = Field(default=7, ge=2)
    """Side of the Gaussian in pixels, made odd; 7 has a sigma of 1.4. Wide ones leave halos."""
    threshold: float = Field(default=5.0, ge=0)
    """Differences below so many 1/255ths are left alone, which keeps grain as it is."""

    def describe(self) -> str:
        """One phrase for the index, such as `unsharp weight 0.7 radius 7 threshold 5`."""
        return f"unsharp weight {self.weight:g} radius {self.radius} threshold {self.threshold:g}"


EnhancerRecipe = Annotated[ModelEnhancer | UnsharpEnhancer, Field(discriminator="kind")]

_STRONG = "realesrgan-x4plus"
DEFAULT_ENHANCERS: tuple[ModelEnhancer | UnsharpEnhancer, ...] = (
    ModelEnhancer(model=_STRONG, reduce=0.5, strength=0.5),
    ModelEnhancer(model=_STRONG, reduce=0.5, strength=1.0),
    ModelEnhancer(model=_STRONG, reduce=0.75, strength=1.0),
    UnsharpEnhancer(),
)
"""From half the size the network draws the clearest edges and smooths skin and fur; half of that with half of the photo
keeps their texture; from three quarters it stays closest to the photo. Unsharp masking invents nothing."""


class PrepareRecipe(Recipe):
    """What is made of every photo."""

    seed: int = 0
    """Of the places of patches, together with each photo's name."""
    longest: int | None = Field(default=None, ge=64)
    """Photos with a longer side than this are reduced to it first: many are not sharp at their full size."""
    precision: Literal["fp32", "auto", "bf16", "fp16"] = "fp32"
    """Of the networks. All but fp32 may give other last digits on other devices."""
    patches: PatchRecipe = PatchRecipe()
    enhancers: tuple[EnhancerRecipe, ...] = Field(default=DEFAULT_ENHANCERS, min_length=1, max_length=99)
    """In the order of the folders 01, 02, ..."""
    metrics: tuple[str, ...] = Field(default=("srq",), min_length=1)
    """Scores of every patch for the index: metrics that need no reference."""

    @property
    def variants(self) -> tuple[str, ...]:
        """The folders of a set, `original` first."""
        return ("original", *(f"{number:02}" for number in range(1, len(self.enhancers) + 1)))
