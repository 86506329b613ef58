"""The named degradations, and a Markdown table of them.

`hggt-one-stage` and `hggt-two-stage` have the ranges and probabilities that HGGT (Chen et al., CVPR 2023) published,
`real-esrgan` those of Real-ESRGAN (Wang et al., ICCVW 2021, arXiv:2107.10833). A degradation with other figures says
at its definition where they come from.
"""

from collections.abc import Callable
from dataclasses import asdict

from iqsr.degrade.kernels import Blur, FinalSinc, KernelMix
from iqsr.degrade.noise import Noise
from iqsr.degrade.parameters import Range
from iqsr.degrade.pipeline import OneStage, Resize, Stage, TwoStage
from iqsr.errors import UnknownNameError

_REAL_ESRGAN_MIX = KernelMix(
    iso=0.45, aniso=0.25, generalised_iso=0.12, generalised_aniso=0.03, plateau_iso=0.12, plateau_aniso=0.03
)
_REAL_ESRGAN_SIZES = (7, 9, 11, 13, 15, 17, 19, 21)

_HGGT_ONE_STAGE = OneStage(
    Stage(
        blur=Blur(sizes=(3, 5, 7, 9), sigma=(0.1, 1.0), sinc=0.01),
        resize=Resize((0.8, 1.2)),
        noise=Noise(sigma=(1, 12), scale=(0.05, 0.8), gray=0.2),
        jpeg=(75, 95),
    )
)
_HGGT_TWO_STAGE = TwoStage(
    first=Stage(
        blur=Blur(sizes=(3, 5, 7), sigma=(0.1, 0.6), sinc=0.01),
        resize=Resize((0.9, 1.1)),
        noise=Noise(sigma=(1, 8), scale=(0.05, 0.5), gray=0.2),
        jpeg=(85, 95),
    ),
    second=Stage(
        blur=Blur(sizes=(3, 5), sigma=(0.1, 0.4), sinc=0.01, probability=0.8),
        resize=Resize((0.9, 1.1)),
        noise=Noise(sigma=(0, 4), scale=(0, 0.3), gray=0.2),
        jpeg=(87, 95),
    ),
    final_sinc=FinalSinc(sizes=(3, 5), probability=0.1),
)
_REAL_ESRGAN = TwoStage(
    first=Stage(
        blur=Blur(sizes=_REAL_ESRGAN_SIZES, sigma=(0.2, 3.0), sinc=0.1, mix=_REAL_ESRGAN_MIX),
        resize=Resize((0.15, 1.5), up=0.2, down=0.7, keep=0.1),
        noise=Noise(sigma=(1, 30), scale=(0.05, 3.0), gray=0.4),
        jpeg=(30, 95),
    ),
    second=Stage(
        blur=Blur(sizes=_REAL_ESRGAN_SIZES, sigma=(0.2, 1.5), sinc=0.1, mix=_REAL_ESRGAN_MIX, probability=0.8),
        resize=Resize((0.3, 1.2), up=0.3, down=0.4, keep=0.3),
        noise=Noise(sigma=(1, 25), scale=(0.05, 2.5), gray=0.4),
        jpeg=(30, 95),
    ),
    final_sinc=FinalSinc(sizes=_REAL_ESRGAN_SIZES, probability=0.8),
)
# In the order of `pipeline_names`: a new one goes where its loss puts it.
_PRESETS: dict[str, OneStage | TwoStage] = {
    "hggt-one-stage": _HGGT_ONE_STAGE,
    "hggt-two-stage": _HGGT_TWO_STAGE,
    "real-esrgan": _REAL_ESRGAN,
}


def pipeline_names() -> list[str]:
    """The names of all degradations, mildest first: by the mean squared difference from a plain reduction by area."""
    return list(_PRESETS)


def pipeline(name: str) -> OneStage | TwoStage:
    """The degradation of that name; `dataclasses.replace` makes variants.

    Raises UnknownNameError, which lists the known names.
    """
    if name not in _PRESETS:
        raise UnknownNameError("degradation", name, pipeline_names())
    return _PRESETS[name]


_ROWS: tuple[tuple[str, Callable[[Stage], str]], ...] = (
    ("kernel sizes, px", lambda s: _sizes(s.blur.sizes)),
    ("kernel shapes", lambda s: ", ".join(f"{n} {p:g}" for n, p in asdict(s.blur.mix).items() if p)),
    ("sinc kernel instead, probability", lambda s: f"{s.blur.sinc:g}"),
    ("kernel sigma, px", lambda s: _range(s.blur.sigma)),
    ("blur, probability (per batch)", lambda s: f"{s.blur.probability:g}"),
    ("up / down / keep (per batch)", lambda s: f"{s.resize.up:g} / {s.resize.down:g} / {s.resize.keep:g}"),
    ("resize factor (per batch)", lambda s: _range(s.resize.range)),
    ("Gaussian rather than Poisson noise, probability (per batch)", lambda s: f"{s.noise.gaussian:g}"),
    ("Gaussian sigma, 1/255", lambda s: _range(s.noise.sigma)),
    ("Poisson scale", lambda s: _range(s.noise.scale)),
    ("gray noise, probability", lambda s: f"{s.noise.gray:g}"),
    ("JPEG quality", lambda s: _range(s.jpeg)),
)


def presets_table() -> str:
    """A column for each degradation; where its two stages differ, a cell has both, the first first."""
    presets = [pipeline(name) for name in pipeline_names()]
    lines = [_line(["", *(f"`{name}`" for name in pipeline_names())]), _line(["---"] * (len(presets) + 1))]
    lines += [_line([title, *(_cell(preset, fact) for preset in presets)]) for title, fact in _ROWS]
    lines.append(_line(["final sinc, probability", *map(_final_sinc, presets)]))
    lines.append(_line(["smallest picture side, px", *(str(preset.minimum_size) for preset in presets)]))
    return "\n".join(lines) + "\n"


def _cell(preset: OneStage | TwoStage, fact: Callable[[Stage], str]) -> str:
    if isinstance(preset, OneStage):
        return fact(preset.stage)
    both = [fact(preset.first), fact(preset.second)]
    return both[0] if both[0] == both[1] else "; then ".join(both)


def _final_sinc(preset: OneStage | TwoStage) -> str:
    if isinstance(preset, OneStage):
        return "none"
    return f"{preset.final_sinc.probability:g}, sizes {_sizes(preset.final_sinc.sizes)}"


def _sizes(sizes: tuple[int, ...]) -> str:
    return ", ".join(map(str, sizes))


def _range(range: Range) -> str:
    return f"{range[0]:g} to {range[1]:g}"


def _line(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"
