"""`analysis.html`: a study's results as one page that loads nothing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import isnan
from typing import Any

from iqsr.agreement.rates import Rate
from iqsr.agreement.report import percent as rate_percent
from iqsr.agreement.report import percent_interval
from iqsr.report.forest import BarChart, Figure, ForestChart, bar_chart, forest_chart
from iqsr.report.html import render
from iqsr.report.page import frame_rules
from iqsr.study.analysis import Analysis, Findings, picture_order
from iqsr.study.analysis_text import p_text, paragraph, percent, percents, t_text
from iqsr.study.preferences import Preference
from iqsr.study.screening import RaterRecord

_MOST_PICTURE_CHARTS = 6


@dataclass(frozen=True)
class Cell:
    """A cell, with a second line."""

    text: str
    small: str = ""
    is_words: bool = False


@dataclass(frozen=True)
class TableRow:
    """A row; a marked one is of a screened rater."""

    name: str
    cells: Sequence[Cell]
    is_marked: bool = False


@dataclass(frozen=True)
class Table:
    """A table of the page."""

    label: str
    heads: Sequence[str]
    rows: Sequence[TableRow]
    notes: Sequence[str] = ()
    words: Sequence[str] = ()
    """Heads of columns of words."""


def analysis_page(analysis: Analysis, title: str, sliders: Sequence[Mapping[str, Any]], origin: Sequence[str]) -> str:
    """The page as HTML.

    Args:
        analysis: The results.
        title: Of the study.
        sliders: Frames of pictures, as `report.page.frame` makes them.
        origin: Lines on what was read and by which version.
    """
    found = analysis.findings
    values: dict[str, Any] = {
        "title": title,
        "lead": _lead(analysis),
        "paragraph": paragraph(analysis),
        "methods_note": _methods_note(found),
        "method_charts": method_charts(found),
        "preferences": _preferences(analysis),
        "raters": _raters(analysis.raters),
        "raters_note": _raters_note(analysis),
        "rater_charts": [chart for one in found.preferences if (chart := _rater_chart(one)) is not None],
        "picture_charts": [_picture_chart(one) for one in found.preferences[:_MOST_PICTURE_CHARTS]],
        "sliders": sliders,
        "sliders_note": _sliders_note(analysis),
        "metrics": _metrics(analysis),
        "provenance": [*_methods_used(analysis), *origin],
    }
    sections = (
        ("result", "Result", True),
        ("methods", "Methods", True),
        ("raters", "Raters", bool(analysis.raters)),
        ("pictures", "Pictures", True),
        ("seen", "Best and worst pictures", bool(sliders)),
        ("metrics", "Metrics", analysis.agreement is not None),
        ("provenance", "How it was computed", True),
    )
    return render(
        "study.html.j2",
        styles=["base.css", "before_after.css", "compare.css", "report/report.css", "study/study.css"],
        scripts=["before_after.js"],
        rules=frame_rules(sliders),
        contents=[(name, said) for name, said, is_there in sections if is_there],
        **values,
    )


def headline(found: Findings) -> Preference:
    """The pair that pictures are shown of: the best two methods that were compared, or the only two."""
    if found.scale is None:
        return found.preferences[0]
    place = {row.method: rank for rank, row in enumerate(found.scale.methods)}
    return min(found.preferences, key=lambda one: sorted((place[one.first], place[one.second])))


def _lead(analysis: Analysis) -> str:
    found = analysis.findings
    if len(found.preferences) == 1:
        one = found.preferences[0]
        return f"{one.first} is preferred to {one.second} in {percent(one.tally.share)} of {one.tally.votes:,} votes."
    return f"{len(analysis.methods)} methods in {found.votes:,} votes on {found.pictures:,} pictures."


def method_charts(found: Findings) -> list[ForestChart]:
    """Shares of the pairs, and with three methods or more the scale."""
    charts: list[ForestChart] = []
    if found.scale is not None and len(found.scale.methods) > 2:
        figures = [Figure(m.method, m.jod, *m.jod_interval, f"{m.jod:+.2f}") for m in found.scale.methods]
        charts.append(forest_chart("Quality in JOD", figures, reference=0, show=_signed))
    shares = [
        Figure(f"{one.first} – {one.second}", one.tally.share, *one.interval, percent(one.tally.share))
        for one in found.preferences
    ]
    charts.append(
        forest_chart("Share of votes for the first of two", shares, reference=0.5, show=_whole, bounds=(0, 1))
    )
    return charts


def _methods_note(found: Findings) -> str:
    over = found.preferences[0].over
    drawn = f"Lines are 95 % intervals, bootstrap over {' and '.join(over)}." if over else "One vote has no interval."
    scale = found.scale
    if scale is None:
        return f"{drawn} There is no common scale: some methods were never compared with others."
    jod = (
        " Of two methods that are 1 JOD apart, the better is preferred in 75 % of votes."
        if len(scale.methods) > 2
        else ""
    )
    prior = (
        " Some method never lost, or never won: a vote for no difference was added to each set of methods, because the "
        "scale would be infinite without."
        if scale.has_prior
        else ""
    )
    return drawn + jod + prior


def _preferences(analysis: Analysis) -> Table:
    has_tests = any(one.raters is not None for one in analysis.findings.preferences)
    heads = ["first – second", "votes", "share of votes", *(("mean of raters", "t-test") if has_tests else ())]
    rest = {} if analysis.screened is None else {(o.first, o.second): o for o in analysis.screened.preferences}
    rows: list[TableRow] = []
    for one in analysis.findings.preferences:
        cells = [Cell(f"{one.tally.votes:,}", _won(one)), Cell(percent(one.tally.share), percents(one.interval))]
        cells += _rater_cells(one) if has_tests else []
        if rest:
            other = rest.get((one.first, one.second))
            cells.append(Cell("–") if other is None else Cell(percent(other.tally.share), percents(other.interval)))
        rows.append(TableRow(f"{one.first} – {one.second}", cells))
    if rest:
        heads.append("without screened")
    notes = [
        "The t-test is one-sided and of one sample: whether the mean of raters' shares is above 50 %. Its direction "
        "(--expected) was to be chosen before the first vote; otherwise the two-sided p holds."
    ]
    return Table(
        "Pairs of methods", heads, rows, notes if has_tests else ["Raters are not known: no test of their means."]
    )


def _won(one: Preference) -> str:
    even = f", {one.tally.no_difference:,} even" if one.tally.no_difference else ""
    return f"{one.tally.first:,} to {one.tally.second:,}{even}"


def _rater_cells(one: Preference) -> list[Cell]:
    test = one.raters
    if test is None:
        return [Cell("–"), Cell("–")]
    if test.raters < 2:
        return [Cell(percent(test.mean), "one rater"), Cell("–")]
    spread = f"{percents(test.interval)}\n{percents(test.interval_normal)} normal"
    middle = f"median {percent(test.median)}, SE {percent(test.standard_error)}"
    if isnan(test.interval[0]):
        spread = "all raters alike"
    return [Cell(percent(test.mean), f"{middle}\n{spread}"), Cell(t_text(test))]


def _rater_chart(one: Preference) -> ForestChart | None:
    if one.raters is None:
        return None
    shares = sorted(one.by_rater.items(), key=lambda item: (-item[1].share, item[0]))
    figures = [Figure(name, tally.share, tally.share, tally.share, _whole(tally.share)) for name, tally in shares]
    title = f"{one.first} against {one.second}"
    return forest_chart(title, figures, reference=0.5, show=_whole, bounds=(0, 1), is_compact=True)


def _raters(records: Sequence[RaterRecord]) -> Table | None:
    if not records:
        return None
    has = {
        "checks passed": any(record.attention is not None for record in records),
        "repeats the same": any(record.repeats is not None for record in records),
        "left chosen": any(record.sides is not None for record in records),
        "median time": any(not isnan(record.median_seconds) for record in records),
        "why screened": any(record.reasons for record in records),
    }
    rows = [_rater_row(record, has) for record in records]
    heads = ["rater", "votes", *(head for head, is_there in has.items() if is_there)]
    return Table("Raters", heads, rows, words=["why screened"])


def _rater_row(record: RaterRecord, has: Mapping[str, bool]) -> TableRow:
    sides = record.sides
    seconds = record.median_seconds
    cells = {
        "checks passed": Cell(_of(record.attention)),
        "repeats the same": Cell(_of(record.repeats)),
        "left chosen": Cell("–") if sides is None else Cell(percent(sides.share), p_text(sides.p)),
        "median time": Cell("–" if isnan(seconds) else f"{seconds:.1f} s"),
        "why screened": Cell("; ".join(record.reasons), is_words=True),
    }
    shown = [Cell(f"{record.votes:,}"), *(cell for head, cell in cells.items() if has[head])]
    return TableRow(record.name, shown, bool(record.reasons))


def _raters_note(analysis: Analysis) -> str:
    said: list[str] = []
    alpha, sides = analysis.findings.alpha, analysis.sides
    if alpha is not None and not isnan(alpha.value):
        low, high = alpha.interval
        said.append(f"Krippendorff's α {alpha.value:.2f} [{low:.2f}, {high:.2f}]: 1 is full agreement, 0 chance.")
    if sides is not None and sides.votes:
        said.append(f"The left was chosen in {percent(sides.share)} of votes ({p_text(sides.p)}).")
    if analysis.attention is not None:
        said.append(f"{_of(analysis.attention)} attention checks were passed.")
    if analysis.repeats is not None:
        said.append(f"{_of(analysis.repeats)} repeats got the same answer.")
    for name, spread in (("time of a vote", analysis.seconds), ("zoom", analysis.zoom)):
        if spread is not None:
            unit = "s" if spread is analysis.seconds else "device pixels for a pixel"
            said.append(
                f"Median {name} {spread.median:.3g} {unit} (middle half {spread.quartile:.3g} to "
                f"{spread.upper_quartile:.3g})."
            )
    return " ".join(said)


def _of(rate: Rate | None) -> str:
    return "–" if rate is None else f"{rate.hits} of {rate.n}"


def _picture_chart(one: Preference) -> BarChart:
    return bar_chart(f"{one.first} against {one.second}", picture_order(one), _whole)


def _sliders_note(analysis: Analysis) -> str:
    one = headline(analysis.findings)
    return (
        f"Where {one.first} has the most and the fewest votes against {one.second}. Large pictures are cut around the "
        "part where they differ most; lossy (WebP), so that the page stays small."
    )


def _metrics(analysis: Analysis) -> Table | None:
    found = analysis.agreement
    if found is None:
        return None
    rates = [(name, found.accuracy[name]) for name in found.ranking]
    rows = [TableRow(name, [Cell(f"{r.n:,}"), Cell(rate_percent(r), percent_interval(r))]) for name, r in rates]
    notes = [
        f"How often a metric orders two pictures as the majority of their votes: of {found.pairs:,} pairs, "
        f"{found.undecided:,} are evenly split and left out. One rater agrees with the majority in "
        f"{'–' if isnan(found.majority) else percent(found.majority)} of votes."
    ]
    return Table("Agreement of metrics", ["metric", "pairs", "agreement (%)"], rows, notes)


def _methods_used(analysis: Analysis) -> list[str]:
    lines = [
        "Shares count a vote for no difference as half. Attention checks and repeats are in no figure of the methods.",
        "Interval of a mean of raters: Student's t; beside it the normal one (mean ± 1.96 SE), which is too narrow for "
        "few raters.",
        "Other intervals: percentiles of a bootstrap that draws raters and pictures independently (Owen, 2007).",
        "JOD: Thurstone's Case V by maximum likelihood with the prior of pwcmp (Pérez-Ortiz and Mantiuk, 2017). "
        "analysis.csv has Bradley and Terry's log-worths, too.",
    ]
    if analysis.screened_raters:
        lines.append("All figures are of all raters, but where “without screened” says otherwise.")
    return lines


def _signed(value: float) -> str:
    return f"{value:+g}" if value else "0"


def _whole(share: float) -> str:
    return f"{100 * share:.0f} %"
