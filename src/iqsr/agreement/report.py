"""Agreement and misalignment as rows of numbers, Markdown, CSV, JSON, and the complementarity matrix as a picture."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

import numpy as np

from iqsr.agreement.rates import Agreement, Misalignments, Rate
from iqsr.io.atomic import atomic_path, write_text
from iqsr.io.urls import shown, url_of
from iqsr.metrics import Precision
from iqsr.scoring.cache import content_hash, metric_fingerprint

Row = dict[str, str | int | float | None]

AGREEMENT_FILES = ("accuracy.csv", "agreement.md", "agreement.json", "complementarity.csv", "complementarity.png")
"""What `write_agreement` writes; the last two with two metrics or more."""
MISALIGNMENT_FILES = ("misalignment.csv", "misalignment.md", "misalignment.json")
"""What `write_misalignments` writes."""
_CELL_INCHES = 0.52
TIES = "A tie in scores counts one half; 95 % intervals are Wilson's"


def accuracy_rows(agreement: Agreement) -> list[Row]:
    """A row for each metric, the most accurate first."""
    return [{"metric": metric, **rate_row(agreement.accuracy[metric])} for metric in agreement.ranking]


def complementarity_rows(agreement: Agreement) -> list[Row]:
    """A row for each ordered pair of metrics: the accuracy of `asked` on the pairs that `wrong` gets wrong."""
    pairs = [(a, b) for a in agreement.ranking for b in agreement.ranking if a != b]
    return [{"wrong": a, "asked": b, **rate_row(agreement.complementarity[a, b])} for a, b in pairs]


def misalignment_rows(misalignments: Misalignments) -> list[Row]:
    """A row for each metric and share, the metric with the least positive misalignment first."""
    return [
        {"metric": metric, "figure": figure, **rate_row(getattr(misalignments.metrics[metric], figure))}
        for metric in _by_positive(misalignments)
        for figure in ("positive", "negative", "negative_highest", "negative_drawn")
    ]


def rate_row(rate: Rate) -> Row:
    """A rate's counts, share and interval; None where there are no cases."""
    value, (low, high) = rate.value, rate.interval
    share: Row = {"share": value, "low": low, "high": high} if rate.n else dict.fromkeys(("share", "low", "high"))
    return {"n": rate.n, "hits": rate.hits, "ties": rate.ties, **share}


def agreement_markdown(agreement: Agreement, *, widest: int | None = None) -> str:
    """Both tables with a line on what they count; without the matrix if it has more than `widest` metrics."""
    decided = agreement.pairs - agreement.undecided
    people = f"One person agrees with the majority in {agreement.majority:.1%} of votes. " if decided else ""
    lines = [
        f"{agreement.pairs:,} pairs, {decided:,} with a majority of people, {agreement.undecided:,} evenly split and "
        f"left out. {people}{TIES}.",
        "",
        *_table(
            ("metric", "pairs", "accuracy (%)", "95 % interval", "ties"),
            [
                (m, f"{r.n:,}", percent(r), percent_interval(r), f"{r.ties:,}")
                for m, r in ((m, agreement.accuracy[m]) for m in agreement.ranking)
            ],
        ),
    ]
    if 1 < len(agreement.accuracy) <= (widest or len(agreement.accuracy)):
        lines += ["", "Accuracy (%) of the column's metric on the pairs that the row's metric gets wrong.", ""]
        lines += _matrix(agreement)
    return "\n".join(lines) + "\n"


def misalignment_markdown(misalignments: Misalignments) -> str:
    """The table with a line on what it counts."""
    sets, positive, negative = misalignments.with_negative.n, misalignments.with_positive, misalignments.with_negative
    rows = [
        (m, *(f"{percent(r)}  {percent_interval(r)}" for r in (x.positive, x.negative, x.negative_highest)), percent(d))
        for m, x, d in (
            (m, misalignments.metrics[m], misalignments.metrics[m].negative_drawn) for m in _by_positive(misalignments)
        )
    ]
    lines = [
        f"{sets:,} sets: {positive.hits:,} ({percent(positive)} %) with a positive, {negative.hits:,} "
        f"({percent(negative)} %) with a negative. Positive misalignment is of the former, negative misalignment and "
        f"negative highest of the latter, negative drawn of all sets. {TIES}.",
        "",
        *_table(
            (
                "metric",
                "positive misalignment (%)",
                "negative misalignment (%)",
                "negative highest (%)",
                "negative drawn (%)",
            ),
            rows,
        ),
    ]
    return "\n".join(lines) + "\n"


def percent(rate: Rate) -> str:
    """`74.47`, or a dash without cases."""
    return f"{100 * rate.value:.2f}" if rate.n else "–"


def percent_interval(rate: Rate) -> str:
    """`[71.94, 76.84]`, empty without cases."""
    return "[{:.2f}, {:.2f}]".format(*(100 * bound for bound in rate.interval)) if rate.n else ""


def write_agreement(agreement: Agreement, folder: Path, origin: Mapping[str, object]) -> list[Path]:
    """Write the tables as CSV, Markdown and JSON, and the matrix of two metrics or more as PNG. Returns the files.

    Each file appears whole or not at all, and replaces an older one. Raises WriteError if one cannot be written.
    """
    accuracy, markdown, json_file, matrix, heatmap = (folder / name for name in AGREEMENT_FILES)
    written = [
        _write(accuracy, _csv(accuracy_rows(agreement))),
        _write(markdown, agreement_markdown(agreement)),
        _write(json_file, json_text(agreement_document(agreement, origin))),
    ]
    if len(agreement.accuracy) > 1:
        written.append(_write(matrix, _csv(complementarity_rows(agreement))))
        with atomic_path(heatmap) as part:
            write_heatmap(agreement, part)
        written.append(heatmap)
    return written


def write_misalignments(misalignments: Misalignments, folder: Path, origin: Mapping[str, object]) -> list[Path]:
    """Write the table as CSV, Markdown and JSON, like `write_agreement`."""
    table, markdown, json_file = (folder / name for name in MISALIGNMENT_FILES)
    return [
        _write(table, _csv(misalignment_rows(misalignments))),
        _write(markdown, misalignment_markdown(misalignments)),
        _write(json_file, json_text(misalignment_document(misalignments, origin))),
    ]


def agreement_document(agreement: Agreement, origin: Mapping[str, object]) -> dict[str, object]:
    """All results, for JSON."""
    return {
        "origin": origin,
        "pairs": agreement.pairs,
        "undecided": agreement.undecided,
        "majority": None if isnan(agreement.majority) else agreement.majority,
        "accuracy": accuracy_rows(agreement),
        "complementarity": complementarity_rows(agreement),
    }


def misalignment_document(misalignments: Misalignments, origin: Mapping[str, object]) -> dict[str, object]:
    """All results, for JSON."""
    return {
        "origin": origin,
        "with_positive": rate_row(misalignments.with_positive),
        "with_negative": rate_row(misalignments.with_negative),
        "misalignment": misalignment_rows(misalignments),
    }


def origin_of(source: Path, metrics: Iterable[str], precision: Precision = "fp32") -> dict[str, object]:
    """The origin of results: version, file of pairs (or folder of sets), precision, each metric's fingerprint."""
    from iqsr._version import __version__

    return {
        "iqsr": __version__,
        "source": shown(str(source)),
        "sha256": content_hash(source) if url_of(source) or source.is_file() else None,
        "precision": precision,
        "metrics": {name: metric_fingerprint(name, precision=precision) for name in metrics},
    }


def json_text(document: Mapping[str, object]) -> str:
    """A document as indented JSON."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    """Rows with the same keys as CSV with a header."""
    text = io.StringIO()
    writer = csv.DictWriter(text, list(rows[0]), lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def _write(path: Path, text: str) -> Path:
    write_text(path, text)
    return path


def _matrix(agreement: Agreement) -> list[str]:
    names = agreement.ranking
    rows: list[tuple[str, ...]] = []
    for a in names:
        own = agreement.accuracy[a]
        cells = ["" if a == b else percent(agreement.complementarity[a, b]) for b in names]
        rows.append((a, f"{own.n - own.hits - own.ties:,}", *cells))
    return _table(("wrong", "pairs", *names), rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    """A Markdown table, aligned as plain text too; numbers to the right."""
    widths = [max(3, *(len(line[i]) for line in (header, *rows))) for i in range(len(header))]
    rule = [("-" * w if i == 0 else "-" * (w - 1) + ":") for i, w in enumerate(widths)]
    cells = [
        [c.ljust(w) if i == 0 else c.rjust(w) for i, (c, w) in enumerate(zip(line, widths, strict=True))]
        for line in (header, rule, *rows)
    ]
    return ["| " + " | ".join(line) + " |" for line in cells]


def _by_positive(misalignments: Misalignments) -> list[str]:
    return sorted(misalignments.metrics, key=lambda metric: misalignments.metrics[metric].positive.value)


def write_heatmap(agreement: Agreement, path: Path) -> None:
    """Write the complementarity matrix as a PNG: rows are metrics that are wrong, columns those used instead.

    Both in order of accuracy, the best first. Colours turn at 50 %, where asking is as good as a coin. Needs two
    metrics or more.
    """
    import matplotlib as mpl
    from matplotlib.figure import Figure

    names = agreement.ranking
    percent = np.array([[_percent(agreement, a, b) for b in names] for a in names])
    side = _CELL_INCHES * len(names)
    figure = Figure(figsize=(side + 4.2, side + 2.4), dpi=150, layout="constrained")
    axes = figure.add_subplot()
    colours = mpl.colormaps["PuOr"].with_extremes(bad="0.85")
    image = axes.imshow(np.ma.masked_invalid(percent), cmap=colours, vmin=0, vmax=100)
    axes.set_xticks(range(len(names)), names, rotation=45, ha="right", rotation_mode="anchor")
    axes.set_yticks(range(len(names)), [f"{a}  ({_wrong(agreement, a):,})" for a in names])
    axes.set_xlabel("metric asked instead")
    axes.set_ylabel("metric that is wrong  (pairs)")
    axes.set_title("Accuracy (%) on the pairs\nthat another metric gets wrong", fontsize="medium")
    axes.spines[:].set_visible(False)
    for (row, column), value in np.ndenumerate(percent):
        text = "–" if np.isnan(value) else f"{value:.0f}"
        colour = "white" if _is_dark(colours(value / 100)) else "black"
        axes.text(column, row, text, ha="center", va="center", color=colour, fontsize="small")
    figure.colorbar(image, ax=axes, shrink=min(1.0, 3 / side), label="accuracy (%)")
    # No name of the writer, no time: the same figures make the same file.
    figure.savefig(path, format="png", bbox_inches="tight", pad_inches=0.15, metadata={"Software": None})


def _is_dark(colour: tuple[float, float, float, float]) -> bool:
    """Whether white is easier to read on it than black (BT.709 luma of an RGBA colour)."""
    red, green, blue, _ = colour
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 0.53


def _percent(agreement: Agreement, a: str, b: str) -> float:
    return float("nan") if a == b else 100 * agreement.complementarity[a, b].value


def _wrong(agreement: Agreement, a: str) -> int:
    """On how many pairs `a` is wrong."""
    found = agreement.accuracy[a]
    return found.n - found.hits - found.ties
