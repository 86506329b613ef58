"""Agreement and misalignment as tables: rows of plain numbers, Markdown, CSV."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from math import isnan
from pathlib import Path

from iqsr.agreement.accuracy import Agreement
from iqsr.agreement.heatmap import write_heatmap
from iqsr.agreement.misalignment import Misalignments
from iqsr.agreement.rate import Rate
from iqsr.io.atomic import part_of, write_text
from iqsr.scoring.cache import content_hash, metric_fingerprint
from iqsr.scoring.pictures import Precision

Row = dict[str, str | int | float | None]

TIES = "A tie in scores counts one half; 95 % intervals are Wilson's"


def accuracy_rows(agreement: Agreement) -> list[Row]:
    """One row a metric, the most accurate first."""
    return [{"metric": metric, **rate_row(agreement.accuracy[metric])} for metric in agreement.ranking]


def complementarity_rows(agreement: Agreement) -> list[Row]:
    """One row for each ordered pair of metrics: accuracy of `asked` on the pairs that `wrong` gets wrong."""
    pairs = [(a, b) for a in agreement.ranking for b in agreement.ranking if a != b]
    return [{"wrong": a, "asked": b, **rate_row(agreement.complementarity[a, b])} for a, b in pairs]


def misalignment_rows(found: Misalignments) -> list[Row]:
    """One row a metric and figure, the metric that misranks a positive least often first."""
    return [
        {"metric": metric, "figure": figure, **rate_row(getattr(found.metrics[metric], figure))}
        for metric in _by_positive(found)
        for figure in ("positive", "negative", "negative_highest", "negative_drawn")
    ]


def rate_row(rate: Rate) -> Row:
    """A share with what it is made of; None where there are no cases."""
    value, (low, high) = rate.value, rate.interval
    share: Row = {"share": value, "low": low, "high": high} if rate.n else dict.fromkeys(("share", "low", "high"))
    return {"n": rate.n, "hits": rate.hits, "ties": rate.ties, **share}


def agreement_markdown(agreement: Agreement, *, widest: int | None = None) -> str:
    """Both tables with what they count; without the matrix where it has more than `widest` metrics."""
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


def misalignment_markdown(found: Misalignments) -> str:
    """The table with what it counts."""
    sets, positive, negative = found.with_negative.n, found.with_positive, found.with_negative
    rows = [
        (m, *(f"{percent(r)}  {percent_interval(r)}" for r in (x.positive, x.negative, x.negative_highest)), percent(d))
        for m, x, d in ((m, found.metrics[m], found.metrics[m].negative_drawn) for m in _by_positive(found))
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

    Each appears whole or not at all. PictureError where the file system refuses.
    """
    written = [
        _write(folder / "accuracy.csv", _csv(accuracy_rows(agreement))),
        _write(folder / "agreement.md", agreement_markdown(agreement)),
        _write(folder / "agreement.json", json_text(agreement_document(agreement, origin))),
    ]
    if len(agreement.accuracy) > 1:
        written.append(_write(folder / "complementarity.csv", _csv(complementarity_rows(agreement))))
        with part_of(folder / "complementarity.png") as part:
            write_heatmap(agreement, part)
        written.append(folder / "complementarity.png")
    return written


def write_misalignments(found: Misalignments, folder: Path, origin: Mapping[str, object]) -> list[Path]:
    """Write the table as CSV, Markdown and JSON, like `write_agreement`."""
    return [
        _write(folder / "misalignment.csv", _csv(misalignment_rows(found))),
        _write(folder / "misalignment.md", misalignment_markdown(found)),
        _write(folder / "misalignment.json", json_text(misalignment_document(found, origin))),
    ]


def agreement_document(agreement: Agreement, origin: Mapping[str, object]) -> dict[str, object]:
    """Everything, for JSON."""
    return {
        "origin": origin,
        "pairs": agreement.pairs,
        "undecided": agreement.undecided,
        "majority": None if isnan(agreement.majority) else agreement.majority,
        "accuracy": accuracy_rows(agreement),
        "complementarity": complementarity_rows(agreement),
    }


def misalignment_document(found: Misalignments, origin: Mapping[str, object]) -> dict[str, object]:
    """Everything, for JSON."""
    return {
        "origin": origin,
        "with_positive": rate_row(found.with_positive),
        "with_negative": rate_row(found.with_negative),
        "misalignment": misalignment_rows(found),
    }


def origin_of(source: Path, metrics: Iterable[str], precision: Precision = "fp32") -> dict[str, object]:
    """What made the figures: version, file of pairs (or folder of sets), and each metric's fingerprint."""
    from iqsr._version import __version__

    return {
        "iqsr": __version__,
        "source": str(source),
        "sha256": content_hash(source) if source.is_file() else None,
        "precision": precision,
        "metrics": {name: metric_fingerprint(name, precision=precision) for name in metrics},
    }


def json_text(document: Mapping[str, object]) -> str:
    """Indented, for people too."""
    return json.dumps(document, indent=2, allow_nan=False) + "\n"


def _csv(rows: Sequence[Row]) -> str:
    """Rows of the same keys, with a header."""
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


def _by_positive(found: Misalignments) -> list[str]:
    return sorted(found.metrics, key=lambda metric: found.metrics[metric].positive.value)
