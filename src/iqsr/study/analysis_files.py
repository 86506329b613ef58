"""Analyse a study's folder and write what was found: page, tables, pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from iqsr.agreement.measure import OnProgress
from iqsr.errors import IqsrError, UsageError
from iqsr.io.atomic import write_text
from iqsr.io.places import check_is_file
from iqsr.study.analysis import Analysis, analyze, picture_order
from iqsr.study.analysis_page import analysis_page, headline
from iqsr.study.analysis_text import analysis_csv
from iqsr.study.design import DESIGN_FILE, read_design
from iqsr.study.metric_agreement import (
    PAIRS_FILE,
    RatedPair,
    StudyPictures,
    agree_pairs,
    metric_names_of,
    rated_pairs,
    write_pairs,
)
from iqsr.study.preferences import Preference
from iqsr.study.votes import VOTES_FILE, read_votes

PAGE_FILE, TABLE_FILE = "analysis.html", "analysis.csv"
OUTPUT_FILES = (PAGE_FILE, TABLE_FILE, PAIRS_FILE)
_SLIDER_SIDE, _DETAIL_SIDE = 768, 128
_QUALITY = 85


@dataclass(frozen=True)
class AnalysisOptions:
    """What `iqsr study analyze` can be asked."""

    votes: Path | None = None
    """None: the study's own."""
    pictures: str | None = None
    """Pattern of picture files with {picture} and {method}; None: the study's own."""
    expected: str | None = None
    """The method that was expected to win; None: the first."""
    metrics: str | None = None
    """Names, `all` (also None) or `none`."""
    device: str = "cpu"
    cache: Path | None = None
    """The file in which scores are kept; None for none."""


@dataclass(frozen=True)
class StudyAnalysis:
    """The results with the pictures that they are about."""

    analysis: Analysis
    rated: tuple[RatedPair, ...]
    """Pairs whose pictures are here."""
    origin: Mapping[str, object]
    title: str


def analyze_study(study: Path, options: AnalysisOptions, on_progress: OnProgress | None = None) -> StudyAnalysis:
    """Analyse the votes of a study's folder.

    Args:
        study: A folder with votes.csv; its design and pictures are used where they are there.
        options: What else was asked.
        on_progress: Called with the numbers of pictures that metrics have scored, and of all.

    Raises:
        UsageError: For votes that are missing, wrong or do not belong to the design; for unknown names.
        PictureError: If a picture cannot be scored.
    """
    from iqsr._version import __version__
    from iqsr.agreement import agreement
    from iqsr.scoring.cache import content_hash

    file = options.votes or study / VOTES_FILE
    if options.votes is None and not file.exists():
        reason = f"has no {VOTES_FILE} yet: serve it, or import votes" if study.is_dir() else "is no folder"
        raise UsageError(f"'{study}' {reason}")
    if options.votes is None:
        check_is_file(file)
    design = read_design(study) if (study / DESIGN_FILE).exists() else None
    analysis = analyze(read_votes(file), design, expected=options.expected)
    rated = rated_pairs(analysis.findings.preferences, StudyPictures(study, design, options.pictures))
    names = metric_names_of(options.metrics)
    if rated and names:
        found = agreement(
            agree_pairs(rated), names, device=options.device, cache=options.cache, on_progress=on_progress
        )
        analysis = replace(analysis, agreement=found)
    origin: dict[str, object] = {"iqsr": __version__, "votes": str(file), "sha256": content_hash(file)}
    return StudyAnalysis(analysis, tuple(rated), origin, study.resolve().name)


def write_analysis(result: StudyAnalysis, out: Path, *, pictures: int = 6) -> list[Path]:
    """Write the page, the table and, where pictures are here, pairs for `iqsr agree`. Returns the files.

    Each file appears whole or not at all and replaces an older one. pictures: how many to show, half of them the best
    of the first method. Raises WriteError.
    """
    shown = headline(result.analysis.findings)
    origin = [f"Votes: {Path(str(result.origin['votes'])).name}, SHA-256 {result.origin['sha256']}."]
    origin.append(f"iqsr {result.origin['iqsr']}.")
    page = analysis_page(result.analysis, result.title, _sliders(result.rated, shown, pictures), origin)
    files = [out / PAGE_FILE, out / TABLE_FILE]
    write_text(files[0], page)
    write_text(files[1], analysis_csv(result.analysis))
    if result.rated:
        files.append(out / PAIRS_FILE)
        write_pairs(result.rated, files[-1])
    return files


def _sliders(rated: Sequence[RatedPair], shown: Preference, count: int) -> list[dict[str, Any]]:
    """Frames of the pictures at both ends of the order; a picture that cannot be read is left out."""
    ours = {pair.picture: pair for pair in rated if pair.methods == (shown.first, shown.second)}
    ordered = [picture for picture, _ in picture_order(shown) if picture in ours]
    half = min((count + 1) // 2, len(ordered))
    chosen = list(dict.fromkeys([*ordered[:half], *ordered[len(ordered) - min(count // 2, len(ordered)) :]]))
    frames = (_slider(ours[picture], number) for number, picture in enumerate(chosen, 1))
    return [one for one in frames if one is not None]


def _slider(pair: RatedPair, number: int) -> dict[str, Any] | None:
    from iqsr.images import read_rgb
    from iqsr.report.crops import around, largest_disagreement
    from iqsr.report.encode import pixels
    from iqsr.report.page import ComparedPicture, Variant, frame

    try:
        images = [read_rgb(file)[0] for file in (pair.first, pair.second)]
    except IqsrError:
        return None
    if images[0].shape != images[1].shape:
        return None
    size = images[0].shape[1], images[0].shape[2]
    part = around(largest_disagreement([pixels(image) for image in images], _DETAIL_SIDE), _SLIDER_SIDE, size)
    cut = (slice(None), slice(part.top, part.top + part.height), slice(part.left, part.left + part.width))
    tally = pair.tally
    even = f", {tally.no_difference} for no difference" if tally.no_difference else ""
    captions = (f"{tally.first} of {tally.votes} votes{even}", f"{tally.second} of {tally.votes} votes")
    variants = [
        Variant(name, image[cut], caption, quality=_QUALITY)
        for name, image, caption in zip(pair.methods, images, captions, strict=True)
    ]
    return frame(ComparedPicture(pair.picture, variants), number)
