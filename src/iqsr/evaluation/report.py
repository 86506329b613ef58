"""`report.html`: an evaluation as one page that loads nothing, for a reader who wants to check it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.evaluation.contestants import Contestant
from iqsr.evaluation.published import PublishedRow
from iqsr.evaluation.report_data import LEVELS, ReportData, check_known
from iqsr.evaluation.report_pictures import INSET_SIDE, ORIGINAL, ReportPictures, report_pictures
from iqsr.evaluation.report_runs import curves_section, is_run, read_run
from iqsr.evaluation.report_tables import differences_table, means_table, worst_table
from iqsr.evaluation.table_text import decimals, provenance
from iqsr.images.find import in_home
from iqsr.io.atomic import write_text
from iqsr.report.charts import StripChart, strip_chart
from iqsr.report.crops import Box
from iqsr.report.html import data_block, render
from iqsr.report.page import frame_rules

if TYPE_CHECKING:
    from iqsr.evaluation.result import Evaluation

REPORT_FILE = "report.html"


def write_report(
    evaluation: Evaluation,
    folder: Path,
    published: Sequence[PublishedRow] = (),
    *,
    pictures: int = 6,
    crops: Mapping[str, Box] | None = None,
    between: tuple[str, str] | None = None,
    on_progress: Callable[[str, int, int], None] = lambda what, done, total: None,
) -> Path:
    """Write `report.html`, whole or not at all.

    Tables, distributions, perception against distortion, the best and the worst images, dividers, panels, quality maps
    and the curves of runs, in one file that asks for nothing else.

    Args:
        evaluation: What is shown. Its pictures are read where they lie; those that are gone are left out.
        folder: Where the file appears.
        published: Rows of a paper, which are shown below ours and labelled.
        pictures: Images with dividers and panels: half of them the best, half the worst of the model with most best
            means, by its difference to the baseline.
        crops: By image: what its panel enlarges. These images come first, whatever `pictures` says.
        between: Two models, or a model and `original`: panels show where they differ most. None, and where an image
            lacks one of them: all models.
        on_progress: Called with what is done, how many images are done, and of how many.

    Returns:
        The file.

    Raises:
        UnknownNameError: For a crop of an image that is not there, and for a name in `between` that is no version.
        UsageError: For a crop that reaches out of its image.
        WriteError: Where the disk refuses.
    """
    data = ReportData(evaluation)
    check_known("image", list(crops or ()), [item.name for item in evaluation.set.items])
    check_known("model", between or (), [*(model.name for model in data.models), ORIGINAL])
    shown = report_pictures(data, count=pictures, crops=crops or {}, between=between, on_progress=on_progress)
    differences, runs = differences_table(data), _runs(data.models)
    values: dict[str, Any] = {
        "title": evaluation.set.name,
        "lead": _lead(data),
        "problems": evaluation.problems,
        "baseline": evaluation.baseline,
        "means": means_table(data, published),
        "differences": differences,
        "worst": worst_table(data),
        "distributions": _distributions(data),
        "scatter": _scatter(data),
        "extremes": _extremes(data),
        "compared": _compared(data),
        "sliders": shown.sliders,
        "panels": shown.panels,
        "panels_note": _panels_note(between),
        "maps": shown.maps,
        "curves": curves_section(runs, _styles(data)),
        "provenance": provenance(evaluation),
    }
    out = folder / REPORT_FILE
    write_text(out, _page(data, values, shown))
    return out


def _page(data: ReportData, values: Mapping[str, Any], shown: ReportPictures) -> str:
    return render(
        "report.html.j2",
        styles=["base.css", "before_after.css", "compare.css", "report/report.css"],
        scripts=["before_after.js", *(f"report/{name}.js" for name in ("sort", "scatter", "extremes", "report"))],
        rules=frame_rules(shown.sliders),
        contents=_contents(values),
        data=data_block({**data.plain(), "details": shown.details}),
        **values,
    )


_SECTIONS = (
    ("problems", "Problems"),
    ("means", "Means"),
    ("differences", "Differences"),
    ("worst-cases", "Worst cases"),
    ("scatter", "Perception and distortion"),
    ("distributions", "Distributions"),
    ("extremes", "Best and worst images"),
    ("sliders", "Before and after"),
    ("panels", "Panels"),
    ("maps", "Quality maps"),
    ("curves", "Training curves"),
    ("provenance", "How it was computed"),
)


def _contents(values: Mapping[str, Any]) -> list[tuple[str, str]]:
    """The sections that the page has."""
    return [(name, title) for name, title in _SECTIONS if name == "worst-cases" or values[name]]


def _lead(data: ReportData) -> str:
    found = data.evaluation
    models, metrics, images = len(data.models), len(found.metrics), len(found.set.items)
    counts = (
        f"{models} {'model' if models == 1 else 'models'} by {metrics} {'metric' if metrics == 1 else 'metrics'} on "
        f"{images} {'image' if images == 1 else 'images'}"
    )
    return f"{counts}. Protocol {found.protocol.name}: {found.protocol.title}."


def _compared(data: ReportData) -> str:
    headline = data.headline()
    if headline is None:
        return ""
    against = f" against {headline.other}" if headline.other != headline.model else ""
    return f"{headline.model}{against} by {headline.metric.name}"


def _panels_note(between: tuple[str, str] | None) -> str:
    where = f"where {between[0]} and {between[1]} differ most" if between else "where the models differ most"
    return f"The frame is {where} in a square of {INSET_SIDE} pixels, or where it was asked for."


def _distributions(data: ReportData) -> list[StripChart]:
    styles = _styles(data)
    charts: list[StripChart] = []
    for metric in data.metrics:
        arrow = "↑" if metric.higher_is_better else "↓"
        values = {
            name: list(data.scores[name, metric.name].values()) for name in styles if (name, metric.name) in data.scores
        }
        charts.append(strip_chart(f"{metric.name} {arrow}", values, styles, decimals(metric)))
    return charts


def _styles(data: ReportData) -> dict[str, int]:
    """By model: number of its colour."""
    return {model.name: place for place, model in enumerate(data.evaluation.models)}


def _scatter(data: ReportData) -> dict[str, Any] | None:
    """The metrics of both axes, and which are at first; None where an axis has none."""
    named: list[dict[str, Any]] = [
        {"index": place, "name": metric.name} for place, metric in enumerate(data.evaluation.metrics)
    ]
    of = {
        kind: [one for one, m in zip(named, data.evaluation.metrics, strict=True) if m.reference == kind]
        for kind in ("full", "none")
    }
    if not all(of.values()):
        return None
    level = {place: LEVELS.index(metric.level) for place, metric in enumerate(data.evaluation.metrics)}
    first = {axis: min(of[kind], key=lambda one: level[one["index"]]) for axis, kind in (("x", "full"), ("y", "none"))}
    return {**of, "x": first["x"]["index"], "y": first["y"]["index"]}


def _extremes(data: ReportData) -> dict[str, Any] | None:
    """What can be chosen, and what is at first; None for a model alone."""
    headline = data.headline()
    if headline is None or headline.model == headline.other:
        return None
    places = {model.name: place for place, model in enumerate(data.evaluation.models)}
    numbers = {metric.name: place for place, metric in enumerate(data.evaluation.metrics)}
    return {
        "models": [{"index": places[model.name], "name": model.name} for model in data.models],
        "metrics": [{"index": numbers[metric.name], "name": metric.name} for metric in data.metrics],
        "model": places[headline.model],
        "other": places[headline.other],
        "metric": numbers[headline.metric.name],
    }


def _runs(models: Sequence[Contestant]) -> list[Any]:
    """Of the models that are runs, what their logs tell."""
    folders = {model.name: in_home(model.source) for model in models if model.kind == "network"}
    return [read_run(folder, name) for name, folder in folders.items() if is_run(folder)]
