"""Measure agreement: score the pictures of pairs or of sets of ground truths, and compare the scores with people."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import TypeVar

import numpy as np
from numpy.typing import NDArray

from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.agreement.rates import Agreement, Misalignments, compare_pairs, compare_sets
from iqsr.datasets import GroundTruths, open_sets
from iqsr.errors import PictureError, UsageError
from iqsr.images.find import in_home
from iqsr.metrics import MetricCard, Precision, card
from iqsr.scoring.cache import ScoreCache
from iqsr.scoring.files import scores_of
from iqsr.scoring.metric_set import MetricSet, default_metrics

Key = TypeVar("Key")
Scores = NDArray[np.float64]
OnProgress = Callable[[int, int], None]
"""Called with the number of pictures that are scored, and of all."""


def agreement(
    pairs: str | Path | Pairs,
    metrics: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Agreement:
    """Measure how well metrics order pairs of pictures as people do.

    Args:
        pairs: A CSV file, also as a URL, with the columns `first`, `second`, `share_first` (in [0, 1]) and, for
            full-reference metrics, `reference`; or `Pairs`.
        metrics: Names; the default metric if None. The direction of each is on its card.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        precision: Of networks, `fp32` or `bf16`.
        cache: A file in which scores are kept, so that a run that was stopped goes on; None for none.
        on_progress: Called after each picture with the number of pictures that are scored, and of all.

    Returns:
        The accuracy of each metric with its interval, and the accuracy of each on the pairs that another gets wrong.

    Raises:
        UsageError: For a file of pairs or arguments that are wrong.
        PictureError: For pictures without a score (unreadable, or smaller than a metric's minimum).
        WeightsError: If a metric's weights are not here.
    """
    cards = cards_of(metrics)
    given = given_pairs(pairs, cards)
    references = given.reference or (None,) * len(given)
    pictures = [
        PictureAndReference(*one) for side in (given.first, given.second) for one in zip(side, references, strict=True)
    ]
    scores = score_all(pictures, cards, ScoringOptions(device, precision, cache, on_progress))
    sides = sides_of(scores, len(given))
    return compare_pairs(sides, given.share_first, {name: about.higher_is_better for name, about in cards.items()})


def given_pairs(pairs: str | Path | Pairs, cards: Mapping[str, MetricCard]) -> Pairs:
    """The pairs, read where they are a file. UsageError where a metric compares and a pair has no reference."""
    full = [name for name, about in cards.items() if about.compares]
    given = pairs if isinstance(pairs, Pairs) else read_pairs(in_home(str(pairs)), with_reference=bool(full))
    if full and given.reference is None:
        raise UsageError(f"to compare with an original ({', '.join(full)}), the pairs need a column 'reference'")
    if full and None in (given.reference or ()):
        raise UsageError(f"to compare with an original ({', '.join(full)}), every pair needs a reference")
    return given


def sides_of(scores: Mapping[str, Scores], pairs: int) -> dict[str, tuple[Scores, Scores]]:
    """By metric, the scores of the first and of the second pictures. scores: of all first ones, then of the second."""
    return {name: (both[:pairs], both[pairs:]) for name, both in scores.items()}


def misalignments(
    sets: Path | GroundTruths,
    metrics: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    on_progress: OnProgress | None = None,
) -> Misalignments:
    """Measure how often metrics contradict people's labels on sets of ground truths.

    Args:
        sets: A labelled data set or its folder, see `iqsr.datasets.open_sets`.
        metrics, device, precision, cache, on_progress: As for `agreement`.

    Returns:
        Each metric's `Misalignment`.

    Raises:
        UsageError: As `agreement`, and for full-reference metrics: the original is one of the pictures compared.
        PictureError, WeightsError: As `agreement`.
        IqsrError: For label files that are missing or wrong.
    """
    cards = cards_of(metrics)
    full = [name for name, about in cards.items() if about.compares]
    if full:
        raise UsageError(f"the original is among the judged here: leave out what compares with it ({', '.join(full)})")
    given = sets if isinstance(sets, GroundTruths) else open_sets(sets)
    if not given.labelled or not len(given):
        raise UsageError("misalignment needs sets with people's labels; there are none")
    loaded = list(given)
    labels = np.array([one.labels for one in loaded], np.int8)
    pictures = [PictureAndReference(path) for one in loaded for path in one.paths]
    scores = score_all(pictures, cards, ScoringOptions(device, precision, cache, on_progress))
    tables = {name: values.reshape(labels.shape) for name, values in scores.items()}
    return compare_sets(tables, labels, {name: about.higher_is_better for name, about in cards.items()})


@dataclass(frozen=True)
class PictureAndReference:
    """A picture file, and its original where metrics compare with one."""

    picture: Path
    reference: Path | None = None


@dataclass(frozen=True)
class ScoringOptions:
    """How pictures are scored; see `iqsr.scoring.score_files`."""

    device: str = "cpu"
    precision: Precision = "fp32"
    cache: Path | None = None
    """The file in which scores are kept; None for none."""
    on_progress: OnProgress | None = None


def cards_of(metrics: Sequence[str] | None) -> dict[str, MetricCard]:
    """The cards of the metrics by name, each once; None for the default. Raises UnknownNameError, UsageError."""
    names = default_metrics() if metrics is None else metrics
    if not names:
        raise UsageError("no metric was named")
    return {about.name: about for about in map(card, names)}


def score_all(
    pictures: Sequence[PictureAndReference], cards: Mapping[str, MetricCard], options: ScoringOptions
) -> dict[str, Scores]:
    """Scores by metric, in the order of `pictures`. A picture that is listed several times is measured once.

    A no-reference metric measures a picture with several originals once, too. Raises PictureError for pictures without
    a score, with their number, after all others are measured; and the errors of `load_metric`.
    """
    scores, failed = try_to_score_all(pictures, cards, options)
    if failed:
        more = f" ({len(failed):,} such pictures; all other scores are there)" if len(failed) > 1 else ""
        raise PictureError(f"a picture has no score: {next(iter(failed.values()))}{more}")
    return scores


def try_to_score_all(
    pictures: Sequence[PictureAndReference], cards: Mapping[str, MetricCard], options: ScoringOptions
) -> tuple[dict[str, Scores], dict[Path, str]]:
    """`score_all` without its PictureError: a score that is missing is NaN. Also the reason of each picture without."""
    full = [name for name, about in cards.items() if about.compares]
    both, alone = _indices(pictures), _indices([one.picture for one in pictures])
    found = {name: np.full(len(both if name in full else alone), np.nan) for name in cards}
    failed: dict[Path, str] = {}
    with ExitStack() as stack:
        cache = None if options.cache is None else stack.enter_context(ScoreCache(options.cache))
        for one, scores, errors in _measured(pictures, list(cards), full, options, cache):
            for name, score in scores.items():
                found[name][both[one] if name in full else alone[one.picture]] = score
            if errors:
                failed.setdefault(one.picture, errors[0])
    of_both = np.array([both[one] for one in pictures], np.intp)
    of_alone = np.array([alone[one.picture] for one in pictures], np.intp)
    return {name: values[of_both if name in full else of_alone] for name, values in found.items()}, failed


def _indices(items: Iterable[Key]) -> dict[Key, int]:
    """The index of each distinct item, in order of appearance."""
    return {item: index for index, item in enumerate(dict.fromkeys(items))}


Measured = tuple[PictureAndReference, Mapping[str, float], Sequence[str]]


def _measured(
    pictures: Iterable[PictureAndReference],
    names: list[str],
    full: list[str],
    options: ScoringOptions,
    cache: ScoreCache | None,
) -> Iterator[Measured]:
    """Score each picture with its first original by all metrics, with other originals by full-reference ones only.

    The originals of a picture come one after another, so that it is decoded once.
    """
    distinct = list(dict.fromkeys(pictures if full else (PictureAndReference(one.picture) for one in pictures)))
    of_picture: dict[Path, list[PictureAndReference]] = {}
    for one in distinct:
        of_picture.setdefault(one.picture, []).append(one)
    entries = [one for several in of_picture.values() for one in several]
    wanted = [names if place == 0 else full for several in of_picture.values() for place in range(len(several))]
    metric_set = MetricSet(names, device=options.device, precision=options.precision)
    listed = [(one.picture, one.reference or one.picture) for one in entries]
    references = _GivenReferences() if full else None
    scored = scores_of(listed, metric_set, references=references, cache=cache, wanted=wanted)
    for done, (index, found) in enumerate(scored, 1):
        yield entries[index], found.scores, found.errors
        if options.on_progress is not None:
            options.on_progress(done, len(distinct))


class _GivenReferences:
    """Looks up the original of a picture: it is passed in place of the picture's relative path."""

    def original_of(self, relative: Path) -> Path:
        return relative
