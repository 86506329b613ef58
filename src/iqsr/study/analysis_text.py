"""An analysis in words and rows: one paragraph to paste, `analysis.csv`, JSON."""

from __future__ import annotations

import csv
import io
import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import fields, is_dataclass
from math import isfinite, isnan
from typing import Any

from iqsr.agreement.rates import Agreement, Rate
from iqsr.agreement.report import accuracy_rows
from iqsr.study.analysis import Analysis, Findings
from iqsr.study.preferences import Preference, Tally
from iqsr.study.statistics import ShareSummary, SideBias

COLUMNS = ("raters", "figure", "of", "against", "value", "low", "high", "n")
"""Of `analysis.csv`: whose votes, what, of which method, rater, picture or metric, with its 95 % interval and count."""
Row = tuple[str, str, str, str, float | None, float | None, float | None, int | None]


def paragraph(analysis: Analysis) -> str:
    """The result as prose for a paper or a report."""
    found = analysis.findings
    said = [_size(found)]
    if len(found.preferences) == 1:
        said += _of_pair(found.preferences[0])
    elif found.scale is not None:
        ranked = [f"{one.method} {one.jod:+.2f} {_plain(one.jod_interval)}" for one in found.scale.methods]
        over = " and ".join(found.scale.over) or "nothing"
        said.append(
            f"Thurstone's Case V puts the methods at {', '.join(ranked)} JOD (1 JOD: preferred in 75 % of votes; in "
            f"brackets 95 % intervals, bootstrap over {over})."
        )
    if found.alpha is not None and not isnan(found.alpha.value):
        said.append(
            f"Raters agree with Krippendorff's α = {found.alpha.value:.2f} {_plain(found.alpha.interval)} over "
            f"{found.alpha.units:,} {'picture' if len(found.preferences) == 1 else 'unit'}"
            f"{'' if found.alpha.units == 1 else 's'}."
        )
    if analysis.sides is not None and analysis.sides.votes:
        p = p_text(analysis.sides.p)
        said.append(f"The left picture was chosen in {percent(analysis.sides.share)} of votes (binomial test, {p}).")
    said += _of_screening(analysis)
    return " ".join(said)


def _size(found: Findings) -> str:
    people = f"{found.raters} raters gave" if found.raters else "Raters who are not known gave"
    people = "One rater gave" if found.raters == 1 else people
    even = f", {found.no_difference:,} of them for no difference" if found.no_difference else ""
    pictures = "picture" if found.pictures == 1 else "pictures"
    return f"{people} {found.votes:,} votes on {found.pictures:,} {pictures}{even}."


def _of_pair(one: Preference) -> list[str]:
    said: list[str] = []
    test = one.raters
    if test is not None and test.raters > 1:
        ends = f"{percents(test.interval)} by Student's t, {percents(test.interval_normal)} by the normal distribution"
        interval = "" if isnan(test.interval[0]) else f"; 95 % CI {ends}"
        said.append(
            f"They preferred {one.first} to {one.second} in a mean of {percent(test.mean)} of their votes (median "
            f"{percent(test.median)}, standard error {percent(test.standard_error)}; one-sided one-sample t-test "
            f"against 50 %: {t_text(test)}{interval})."
        )
    over = f" (95 % interval {percents(one.interval)}, bootstrap over {' and '.join(one.over)})" if one.over else ""
    said.append(f"{one.first} has {percent(one.tally.share)} of all votes against {one.second}{over}.")
    return said


def _of_screening(analysis: Analysis) -> Iterator[str]:
    out = analysis.screened_raters
    if not out:
        return
    raters = f"{len(out)} rater{'s' if len(out) > 1 else ''}"
    yield f"All votes are counted here; screening finds {raters} whose votes may be unreliable."
    rest = analysis.screened
    if rest is None:
        return
    if len(rest.preferences) == 1:
        one = rest.preferences[0]
        yield f"Without {'them' if len(out) > 1 else 'this one'}, {one.first} has {percent(one.tally.share)} of votes."
    elif rest.scale is not None:
        ranked = ", ".join(f"{method.method} {method.jod:+.2f}" for method in rest.scale.methods)
        yield f"Without {'them' if len(out) > 1 else 'this one'}, the methods are at {ranked} JOD."


def t_text(test: ShareSummary) -> str:
    """`t(11) = 4.10, p < .001 (two-sided p = .002)`."""
    if isnan(test.t):
        return "no spread to test"
    said = f"t({test.raters - 1}) = {test.t:.2f}, {p_text(test.p)} (two-sided {p_text(test.p_two_sided)})"
    return said.replace("inf", "∞")


def p_text(p: float) -> str:
    """`p = .012`, `p < .001`; a dash without a test."""
    if isnan(p):
        return "p –"
    if p < 0.001:
        return "p < .001"
    return "p = 1" if p > 0.9995 else f"p = {p:.3f}".replace("0.", ".")


def percent(share: float) -> str:
    """`69.7 %`; a dash where there is none."""
    return "–" if isnan(share) else f"{100 * share:.1f} %"


def percents(interval: tuple[float, float]) -> str:
    """`[60.2 %, 79.1 %]`; empty where there is none."""
    return "" if isnan(interval[0]) else f"[{percent(interval[0])}, {percent(interval[1])}]"


def _plain(interval: tuple[float, float]) -> str:
    return "[–]" if isnan(interval[0]) else f"[{interval[0]:.2f}, {interval[1]:.2f}]"


def analysis_csv(analysis: Analysis) -> str:
    """Every figure as a row; see COLUMNS."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    rows = [*_finding_rows("all", analysis.findings)]
    if analysis.screened is not None:
        rows += _finding_rows("without screened", analysis.screened)
    rows += _quality_rows(analysis)
    writer.writerows([("" if cell is None else cell for cell in row) for row in rows])
    return text.getvalue()


def _finding_rows(raters: str, found: Findings) -> Iterator[Row]:
    yield raters, "votes", "", "", None, None, None, found.votes
    for one in found.preferences:
        yield _row(raters, "share of votes", one.first, one.second, one.tally.share, one.interval, one.tally.votes)
        yield from _share_rows(raters, one)
        yield from _tally_rows(raters, "share of a rater", one, one.by_rater)
        yield from _tally_rows(raters, "share on a picture", one, one.by_picture)
    for row in () if found.scale is None else found.scale.methods:
        yield _row(raters, "jod", row.method, "", row.jod, row.jod_interval, found.votes)
        yield _row(raters, "log worth", row.method, "", row.log_worth, row.log_worth_interval, found.votes)
    if found.alpha is not None:
        yield _row(raters, "krippendorff's alpha", "", "", found.alpha.value, found.alpha.interval, found.alpha.votes)


def _share_rows(raters: str, one: Preference) -> Iterator[Row]:
    test = one.raters
    if test is None:
        return
    names = one.first, one.second
    yield _row(raters, "mean share of raters", *names, test.mean, test.interval, test.raters)
    yield _row(raters, "mean share of raters, normal", *names, test.mean, test.interval_normal, test.raters)
    for name, value in (
        ("median share of raters", test.median),
        ("standard error", test.standard_error),
        ("t", test.t),
        ("p, one-sided", test.p),
        ("p, two-sided", test.p_two_sided),
    ):
        yield _row(raters, name, *names, value, None, test.raters)


def _tally_rows(raters: str, figure: str, one: Preference, tallies: Mapping[str, Tally]) -> Iterator[Row]:
    for name, tally in tallies.items():
        yield _row(raters, f"{figure}, {one.first} against {one.second}", name, "", tally.share, None, tally.votes)


def _quality_rows(analysis: Analysis) -> Iterator[Row]:
    if analysis.sides is not None:
        yield _row("all", "left chosen", "", "", analysis.sides.share, None, analysis.sides.votes)
        yield _row("all", "left chosen, p", "", "", analysis.sides.p, None, analysis.sides.votes)
    for name, rate in (("attention checks passed", analysis.attention), ("repeats the same", analysis.repeats)):
        if rate is not None:
            yield _row("all", name, "", "", rate.value, rate.interval, rate.n)
    for name, spread in (("seconds of a vote, median", analysis.seconds), ("zoom, median", analysis.zoom)):
        if spread is not None:
            yield _row("all", name, "", "", spread.median, (spread.quartile, spread.upper_quartile), spread.votes)
    for record in analysis.screened_raters:
        yield "all", f"screened: {'; '.join(record.reasons)}", record.name, "", None, None, None, record.votes
    for metric, found in () if analysis.agreement is None else analysis.agreement.accuracy.items():
        yield _row("all", "agreement of a metric", metric, "", found.value, found.interval, found.n)


def _row(
    raters: str, figure: str, of: str, against: str, value: float, interval: tuple[float, float] | None, n: int
) -> Row:
    low, high = interval or (float("nan"), float("nan"))
    return raters, figure, of, against, _known(value), _known(low), _known(high), n


def _known(value: float) -> float | None:
    return value if isfinite(value) else None


def analysis_json(analysis: Analysis, origin: Mapping[str, object]) -> str:
    """Everything as indented JSON; what is not finite is null."""
    document = {"origin": origin, "paragraph": paragraph(analysis), **_plain_object(analysis)}
    return json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _plain_object(value: Any) -> Any:
    """Dataclasses, rates and tallies as objects and arrays that JSON has."""
    if isinstance(value, Rate):
        return {"n": value.n, "hits": value.hits, "ties": value.ties, "share": _plain_object(value.value)}
    if isinstance(value, Agreement):
        return {"pairs": value.pairs, "undecided": value.undecided, "accuracy": accuracy_rows(value)}
    if is_dataclass(value):
        found = {field.name: _plain_object(getattr(value, field.name)) for field in fields(value)}
        return found | ({"share": _plain_object(value.share)} if isinstance(value, Tally | SideBias) else {})
    if isinstance(value, Mapping):
        return {str(key): _plain_object(item) for key, item in value.items()}
    if isinstance(value, float):
        return value if isfinite(value) else None
    if isinstance(value, Iterable) and not isinstance(value, str):
        return [_plain_object(item) for item in value]
    return value
