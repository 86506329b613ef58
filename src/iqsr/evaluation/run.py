"""The evaluation itself: inputs, outputs, scores, files; each step keeps what is there."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.datasets.evaluation_set import EvaluationSet
from iqsr.errors import IqsrError, UsageError, WeightsError
from iqsr.evaluation.contestants import GOLD_STANDARD, Contestant, contestants
from iqsr.evaluation.joined_scores import JoinedScores, join_scores
from iqsr.evaluation.measurements import Measurement, Outcome, measure, measurements
from iqsr.evaluation.pictures import with_pictures
from iqsr.evaluation.problems import Problem, Problems
from iqsr.evaluation.protocols import Protocol, protocol
from iqsr.evaluation.recipe import EvaluationRecipe
from iqsr.evaluation.result import (
    FEATURES,
    INPUTS,
    PICTURES,
    Evaluation,
    check_same_evaluation,
    write_evaluation,
    write_settings,
)
from iqsr.evaluation.score_rows import derived, empty_row, is_same, row_of
from iqsr.evaluation.scores import COLUMNS, SCORES_FILE, EvaluatedMetric, Row, evaluated, known_rows, sorted_scores
from iqsr.evaluation.set_scores import measure_sets, set_measurements, smallest_sets
from iqsr.evaluation.sets import degradation_names, open_set, with_inputs
from iqsr.evaluation.table_text import FEW_SAMPLES, few_samples
from iqsr.io.atomic import remove_stale_parts_below
from iqsr.io.locks import locked
from iqsr.metrics import availability, card
from iqsr.scoring import MetricSet
from iqsr.scoring.metric_set import BATCH_PIXELS

if TYPE_CHECKING:
    from iqsr.metrics import MetricCard

logger = logging.getLogger(__name__)
OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how many are done, and of how many."""


@dataclass(frozen=True)
class Setting:
    """How an evaluation runs; none of it changes a score."""

    device: str = "auto"
    cache: Path | None = None
    """file that remembers scores, so that what was stopped goes on"""
    strict: bool = False
    """whether the first problem ends it"""
    pixels: int = BATCH_PIXELS
    """of pictures that are measured together"""
    on_progress: OnProgress = lambda what, done, total: None
    on_problem: Callable[[Problem], None] = lambda problem: None


def run(
    recipe: EvaluationRecipe,
    out: Path,
    setting: Setting | None = None,
    *,
    choose: Callable[[EvaluationSet], EvaluationSet] | None = None,
) -> Evaluation:
    """Evaluate as the recipe says, and write pictures, scores, facts and the recipe to the folder `out`.

    What is there and still right is kept: pictures of the same network and input, scores of the same pictures. choose:
    returns the set with a part of its items; then scores made elsewhere are left out. Raises UsageError for settings
    that cannot be right and for a folder of other results, IqsrError for the first problem where `strict` is set.
    """
    how = setting or Setting()
    problems = Problems(how.strict, how.on_problem)
    chosen = protocol(recipe.protocol)
    check_same_evaluation(recipe, out)
    data = open_set(recipe.data)
    for line in data.findings:
        problems.add(line)
    metric_set, named = _metrics(recipe, chosen, data, how.device, problems)
    models = contestants(recipe.models, [item.name for item in data.items], problems)
    if not models and not recipe.scores:
        raise UsageError("there is no model to evaluate")
    joined = [join_scores(file, [item.name for item in data.items], problems) for file in recipe.scores]
    baseline = _baseline(recipe, models, joined)
    if choose is not None:
        data, joined = choose(data), []
    with locked(out, "iqsr evaluate"):
        remove_stale_parts_below(out)
        write_settings(recipe, out)
        data = with_inputs(data, recipe.data, out / INPUTS, problems, lambda d, n: how.on_progress("inputs", d, n))
        made = [
            with_pictures(
                model,
                data.items,
                recipe.data.scale,
                out / PICTURES / model.name,
                problems,
                precision=recipe.precision,
                device=how.device,
                on_progress=how.on_progress,
            )
            for model in models
        ]
        alone = any(one.reference == "none" for one in metric_set.cards.values())
        shown = [_gold(), *made] if recipe.gold_standard and data.has_references and alone else made
        rows = _scored(data, shown, metric_set, named, chosen, out, how, problems)
        metrics = _evaluated(metric_set, named, data, shown)
        found = _together(chosen, data, shown, metrics, rows, joined)
        found = replace(found, problems=tuple(problems.found), baseline=baseline, folder=out)
        write_evaluation(found, recipe, out)
    return found


def _gold() -> Contestant:
    return Contestant(GOLD_STANDARD, "gold", "the set's own ground truths")


def _metrics(
    recipe: EvaluationRecipe, chosen: Protocol, data: EvaluationSet, device: str, problems: Problems
) -> tuple[MetricSet, dict[str, str]]:
    """The metrics that can be had, and what the protocol calls each. UsageError where none can.

    One without weights is a problem; one that compares, for a set without anything to compare with, is too.
    """
    named: dict[str, str] = {}
    for own in (card(name).name for name in recipe.metrics or chosen.metrics):
        named.setdefault(card(chosen.variant(own)).name, own)
    metric_set = MetricSet(list(named), device=device)
    hint = _hint_of_inputs(recipe, data, metric_set)
    here = {name: one for name, one in metric_set.cards.items() if _is_here(one, data, metric_set, named, problems)}
    if not here:
        raise UsageError(f"none of the metrics can be had: {', '.join(named.values())}{hint and f'; {hint}'}")
    if hint:
        problems.add(hint)
    border = chosen.crop_border if any(one.reference == "full" for one in here.values()) else 0
    return MetricSet(list(here), device=device, crop_border=border), {name: named[name] for name in here}


def _hint_of_inputs(recipe: EvaluationRecipe, data: EvaluationSet, metric_set: MetricSet) -> str:
    """What to do where originals may have been taken as inputs, and a metric lacks them; empty elsewhere."""
    compares = any(one.reference in ("full", "set") for one in metric_set.cards.values())
    if not compares or data.layout != "lr" or recipe.data.layout != "auto":
        return ""
    choices = ", ".join(degradation_names())
    return f"'{data.name}' was taken as inputs alone; if these are originals, give --degradation {choices}"


def _is_here(
    about: MetricCard, data: EvaluationSet, metric_set: MetricSet, named: dict[str, str], problems: Problems
) -> bool:
    if about.reference in ("full", "set") and not data.has_references:
        problems.add(f"{about.name} compares with an original, and '{data.name}' has none", metric=named[about.name])
        return False
    state = availability(about.name)
    if state.available:
        return True
    try:
        metric_set.load([about.name])
    except (WeightsError, UsageError) as error:
        problems.add(f"{about.name} is left out: {error}", metric=named[about.name])
        return False
    return True


def _scored(
    data: EvaluationSet,
    models: Sequence[Contestant],
    metric_set: MetricSet,
    named: dict[str, str],
    chosen: Protocol,
    out: Path,
    how: Setting,
    problems: Problems,
) -> list[Row]:
    """A row for each measurement: from the table that is there where nothing has changed, else measured."""
    known = known_rows(out / SCORES_FILE)
    facts = {name: evaluated(metric_set, name, named[name]) for name in metric_set.names}
    by_name = {model.name: model for model in models}
    rows: dict[int, Row] = {}
    cards = metric_set.cards.values()
    listed = [*measurements(data.items, models, cards), *set_measurements(data.items, models, cards)]
    to_do: dict[int, Measurement] = {}
    for place, measurement in enumerate(listed):
        try:
            fingerprint = metric_set.fingerprint(measurement.card.name)
            row = row_of(measurement, by_name[measurement.model], facts[measurement.card.name], fingerprint, chosen)
        except IqsrError as error:  # a picture has vanished, or cannot be read
            problems.add(error, model=measurement.model, image=measurement.image)
            continue
        rows[place] = row
        before = known.get((row["image"], row["model"], row["metric"]))
        if before is not None and is_same(row, before):
            row["score"] = before["score"]
        else:
            to_do[place] = measurement
    for place, (measurement, outcome) in zip(to_do, _measured(list(to_do.values()), metric_set, out, how), strict=True):
        _fill(rows[place], measurement, outcome, named, problems)
    return list(rows.values())


def _measured(
    wanted: Sequence[Measurement], metric_set: MetricSet, out: Path, how: Setting
) -> Iterator[tuple[Measurement, Outcome]]:
    """The outcome of each: single images come first in `wanted`, whole sets after them."""
    single = [one for one in wanted if not one.card.of_sets]
    yield from measure(single, metric_set, cache=how.cache, pixels=how.pixels, on_progress=how.on_progress)
    yield from measure_sets(wanted[len(single) :], metric_set, out / FEATURES, on_progress=how.on_progress)


def _evaluated(
    metric_set: MetricSet, named: dict[str, str], data: EvaluationSet, models: Sequence[Contestant]
) -> list[EvaluatedMetric]:
    """The columns of the metrics. A metric of sets that is over few pictures has a warning."""
    samples = smallest_sets(set_measurements(data.items, models, metric_set.cards.values()), metric_set)
    found = [
        replace(evaluated(metric_set, name, named[name]), samples=samples.get(name, 0)) for name in metric_set.names
    ]
    for metric in found:
        if metric.reference == "set" and metric.samples < FEW_SAMPLES:
            logger.warning("%s", few_samples(metric))
    return found


def _fill(row: Row, measurement: Measurement, outcome: Outcome, named: dict[str, str], problems: Problems) -> None:
    row["score"], row["error"] = outcome.score, "; ".join(outcome.errors)
    for line in outcome.errors:
        problems.add(line, model=measurement.model, image=measurement.image, metric=named[measurement.card.name])


def _together(
    chosen: Protocol,
    data: EvaluationSet,
    models: Sequence[Contestant],
    metrics: Sequence[EvaluatedMetric],
    rows: Sequence[Row],
    joined: Sequence[JoinedScores],
) -> Evaluation:
    """Measured scores, those of files, and what is derived, as one table."""
    from pandas import DataFrame

    all_rows, shown = list(rows), list(models)
    columns = {one.name: one for part in joined for one in part.metrics} | {one.name: one for one in metrics}
    for part in joined:
        _check_new(part, all_rows)
        all_rows += [{**empty_row(chosen), **row} for row in part.rows]
        known = {model.name for model in shown}
        names = dict.fromkeys(row["model"] for row in part.rows)
        shown += [Contestant(name, "scores", part.file) for name in names if name not in known]
    more, derived_rows = derived(chosen, shown, all_rows)
    ordered = sorted(columns.values(), key=_place_in_taxonomy)
    table = sorted_scores(DataFrame([*all_rows, *derived_rows], columns=list(COLUMNS)))
    return Evaluation(table, data, chosen, (*ordered, *more), tuple(shown), ())


def _check_new(part: JoinedScores, rows: Sequence[Row]) -> None:
    there = {(row["image"], row["model"], row["metric"]) for row in rows}
    for row in part.rows:
        if (row["image"], row["model"], row["metric"]) in there:
            raise UsageError(
                f"'{part.file}' has a score of {row['metric']} for image '{row['image']}' of '{row['model']}', which "
                "is there already: leave it out, or call its model otherwise"
            )


def _baseline(recipe: EvaluationRecipe, models: Sequence[Contestant], joined: Sequence[JoinedScores]) -> str | None:
    """The model that the others are tested against. UsageError for one that is none of the models."""
    names = [model.name for model in models] + [row["model"] for part in joined for row in part.rows]
    if recipe.baseline and recipe.baseline not in names:
        listed = ", ".join(dict.fromkeys(names))
        raise UsageError(f"no model '{recipe.baseline}' for --baseline; models: {listed}")
    return recipe.baseline or next(iter(names), None)


def _place_in_taxonomy(metric: EvaluatedMetric) -> tuple[int, int]:
    references, levels = ("full", "input", "set", "none"), ("low", "mid", "high")
    return references.index(metric.reference), levels.index(metric.level)
