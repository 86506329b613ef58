"""The named degradations as a Markdown table, read off their definitions."""

from collections.abc import Callable
from dataclasses import asdict

from iqsr.degrade.drawn import Range
from iqsr.degrade.pipeline import OneStage, Stage, TwoStage
from iqsr.degrade.presets import pipeline, pipeline_names

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
    """One column a degradation; both stages in a cell, first over second, where they differ."""
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
