"""Runs of trainings as a reader compares them: their curves, and what their recipes set differently."""

from __future__ import annotations

import json
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from iqsr.errors import UsageError
from iqsr.io.atomic import write_text
from iqsr.io.journals import entries
from iqsr.io.places import read_whole
from iqsr.report.charts import Curve, LineChart, finite, line_chart
from iqsr.report.html import render

LOG_FILE, RECIPE_FILE = "log.jsonl", "recipe.toml"
_NOT_CURVES = {"step", "seconds"}
_BLOCKS = "▁▂▃▄▅▆▇█"
_SPARKS = 24
"""Characters of a curve in text."""
NOT_SET = "not set"


@dataclass(frozen=True)
class Run:
    """A training, as far as its folder tells."""

    name: str
    settings: Mapping[str, str]
    """by dotted key, as TOML has them"""
    curves: Mapping[str, Curve]
    """by group and figure, `validation/psnr`"""


@dataclass(frozen=True)
class Difference:
    """A setting that two recipes have differently."""

    key: str
    a: str
    b: str


@dataclass(frozen=True)
class FinalRow:
    """The last value of a figure in both runs, as text."""

    name: str
    a: str
    b: str
    difference: str


def is_run(folder: Path) -> bool:
    """Whether a training has logged there."""
    return (folder / LOG_FILE).is_file()


def read_run(folder: Path, name: str = "") -> Run:
    """What a training's folder tells. UsageError where there is no log of one.

    Damaged lines are passed over.
    """
    if not is_run(folder):
        raise UsageError(f"'{folder}' is not the folder of a run: it has no {LOG_FILE}")
    curves = _curves(entries(folder / LOG_FILE))
    return Run(name or folder.absolute().name, _settings(folder / RECIPE_FILE), curves)


def read_runs(a: Path, b: Path) -> tuple[Run, Run]:
    """Two runs with names that differ: those of their folders, or their paths. UsageError as `read_run`."""
    same = a.absolute().name == b.absolute().name
    first, second = (read_run(folder, str(folder) if same else "") for folder in (a, b))
    return first, replace(second, name=f"{second.name} (2)") if first.name == second.name else second


def curve_charts(runs: Sequence[Run], styles: Mapping[str, int]) -> list[LineChart]:
    """A chart a figure, validation before training, with every run that has it.

    styles: by run, number of its colour.
    """
    keys = sorted(dict.fromkeys(key for run in runs for key in run.curves), key=lambda key: (_group(key), key))
    return [line_chart(key, {run.name: run.curves[key] for run in runs if key in run.curves}, styles) for key in keys]


def differences(a: Run, b: Run) -> list[Difference]:
    """Settings that are not the same, in the order of their keys."""
    keys = sorted(a.settings.keys() | b.settings.keys())
    both = [Difference(key, a.settings.get(key, NOT_SET), b.settings.get(key, NOT_SET)) for key in keys]
    return [one for one in both if one.a != one.b]


def final_rows(a: Run, b: Run) -> list[FinalRow]:
    """The last value of each figure; its step stands there where the runs' last steps differ."""
    keys = sorted(a.curves.keys() | b.curves.keys(), key=lambda key: (_group(key), key))
    return [_final(key, a.curves.get(key, ()), b.curves.get(key, ())) for key in keys]


def comparison_text(a: Run, b: Run) -> str:
    """Recipe differences (`key: a -> b`), curves as blocks, and the last figures."""
    changed = differences(a, b)
    lines = [f"{a.name} -> {b.name}", "", "Recipe"]
    lines += [f"  {one.key}: {one.a} -> {one.b}" for one in changed] or ["  no difference"]
    rows = final_rows(a, b)
    width = max([len(row.name) for row in rows] + [6])
    lines += ["", "Curves", f"  {'':<{width}}  {_cut(a.name):<{_SPARKS}}  {_cut(b.name)}"]
    for row in rows:
        sparks = [spark(run.curves.get(row.name, ()), _range(row.name, (a, b))) for run in (a, b)]
        lines.append(f"  {row.name:<{width}}  {sparks[0]:<{_SPARKS}}  {sparks[1]}".rstrip())
    columns = [max(len(getattr(row, part)) for row in rows) if rows else 0 for part in ("a", "b", "difference")]
    columns = [max(columns[0], len(_cut(a.name))), max(columns[1], len(_cut(b.name))), max(columns[2], 10)]
    heads = zip((_cut(a.name), _cut(b.name), "difference"), columns, strict=True)
    lines += ["", "Last figures", f"  {'':<{width}}  " + "  ".join(f"{head:>{n}}" for head, n in heads)]
    for row in rows:
        cells = zip((row.a, row.b, row.difference), columns, strict=True)
        lines.append(f"  {row.name:<{width}}  " + "  ".join(f"{cell:>{n}}" for cell, n in cells))
    return "\n".join(lines) + "\n"


def write_run_comparison(a: Run, b: Run, out: Path) -> None:
    """The same as one page. WriteError."""
    changed = differences(a, b)
    html = render(
        "runs.html.j2",
        styles=["base.css", "compare.css", "report/report.css"],
        scripts=[],
        title=f"{a.name} and {b.name}",
        names=[a.name, b.name],
        differences=changed,
        same=len(a.settings.keys() | b.settings.keys()) - len(changed),
        final=final_rows(a, b),
        curves=curves_section([a, b], {a.name: 0, b.name: 1}),
    )
    write_text(out, html)


def curves_section(runs: Sequence[Run], styles: Mapping[str, int]) -> dict[str, Any] | None:
    """What the template of curves draws; None where no run has any. styles: by run, number of its colour."""
    charts = curve_charts(runs, styles)
    return {"styles": {run.name: styles[run.name] for run in runs}, "charts": charts} if charts else None


def spark(curve: Curve, span: tuple[float, float]) -> str:
    """A curve in one line of blocks between the ends of a range."""
    if not curve:
        return ""
    low, high = span
    count = min(_SPARKS, len(curve))
    values = [curve[place * len(curve) // count][1] for place in range(count - 1)] + [curve[-1][1]]
    top = len(_BLOCKS) - 1
    return "".join(_BLOCKS[round((value - low) / (high - low) * top) if high > low else top // 2] for value in values)


def _settings(file: Path) -> dict[str, str]:
    try:
        return _flat(tomllib.loads(read_whole(file).decode()), "")
    except OSError:
        return {}
    except ValueError:
        raise UsageError(f"'{file}' is not TOML: the run's recipe is damaged") from None


def _flat(table: Mapping[str, Any], prefix: str) -> dict[str, str]:
    found: dict[str, str] = {}
    for key, value in table.items():
        if isinstance(value, dict) and value:
            found |= _flat(cast("dict[str, Any]", value), f"{prefix}{key}.")
        else:
            found[prefix + key] = json.dumps(value, ensure_ascii=False, default=str)
    return found


def _curves(logged: Sequence[Any]) -> dict[str, Curve]:
    points: dict[str, list[tuple[float, float | None]]] = {}
    for entry in logged:
        try:
            step, group = float(entry["step"]), entry.get("group", "train")
        except (ValueError, KeyError, TypeError, AttributeError, OverflowError):
            continue
        for name, value in entry.items():
            if name not in _NOT_CURVES and isinstance(value, int | float) and not isinstance(value, bool):
                points.setdefault(f"{group}/{name}", []).append((step, value))
    drawn = {name: finite(curve) for name, curve in points.items()}
    return {name: curve for name, curve in drawn.items() if curve}


def _group(key: str) -> bool:
    """Validation first."""
    return not key.startswith("validation/")


def _final(key: str, a: Curve, b: Curve) -> FinalRow:
    same_step = bool(a and b) and a[-1][0] == b[-1][0]

    def shown(curve: Curve) -> str:
        if not curve:
            return "–"
        step, value = curve[-1]
        return f"{value:.4g}" if same_step else f"{value:.4g} ({step:.0f})"

    return FinalRow(key, shown(a), shown(b), f"{b[-1][1] - a[-1][1]:+.3g}" if a and b else "–")


def _range(key: str, runs: Sequence[Run]) -> tuple[float, float]:
    values = [value for run in runs for _, value in run.curves.get(key, ())]
    return min(values), max(values)


def _cut(name: str) -> str:
    return name if len(name) <= _SPARKS else f"{name[: _SPARKS - 1]}…"
