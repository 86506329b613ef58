"""From files of pairs, or folders of ground truths, to figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iqsr.agreement.accuracy import Agreement, compare
from iqsr.agreement.misalignment import Misalignments, compare_sets
from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.agreement.scores import Progress, Setting, Shown, cards_of, score_all
from iqsr.errors import UsageError
from iqsr.multigt import GroundTruths, open_sets
from iqsr.scoring.pictures import Precision


def agreement(
    pairs: Path | Pairs,
    metrics: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> Agreement:
    """How well metrics order pairs of pictures as people do: accuracy and complementarity, see `Agreement`.

    pairs: a CSV file (see `read_pairs`) or `Pairs`. metrics: names, None for the default. The direction of each is on
    its card. device, precision, cache: see `iqsr.scoring.score_files`; with a cache, a run that was stopped goes on.

    Raises UsageError for a file of pairs or arguments that cannot be right, PictureError for pictures without a score
    (unreadable, or smaller than a metric's minimum), and the errors of `load_metric`.
    """
    cards = cards_of(metrics)
    full = [name for name, about in cards.items() if about.reference == "full"]
    given = pairs if isinstance(pairs, Pairs) else read_pairs(pairs, with_reference=bool(full))
    if full and given.reference is None:
        raise UsageError(f"to compare with an original ({', '.join(full)}), the pairs need a column 'reference'")
    if full and None in (given.reference or ()):
        raise UsageError(f"to compare with an original ({', '.join(full)}), every pair needs a reference")
    references = given.reference or (None,) * len(given)
    shown = [Shown(*one) for side in (given.first, given.second) for one in zip(side, references, strict=True)]
    scores = score_all(shown, cards, Setting(device, precision, cache, on_progress))
    sides = {name: (both[: len(given)], both[len(given) :]) for name, both in scores.items()}
    return compare(sides, given.share_first, {name: about.higher_is_better for name, about in cards.items()})


def misalignments(
    sets: Path | GroundTruths,
    metrics: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> Misalignments:
    """How often metrics contradict people's labels on sets of ground truths, see `Misalignment`.

    sets: a labelled data set or its folder, see `iqsr.multigt.open_sets`; the other arguments as in `agreement`.

    Raises what `agreement` raises, UsageError for metrics that compare with an original (here it is one of those that
    are judged), and the errors of `GroundTruths.load`.
    """
    cards = cards_of(metrics)
    full = [name for name, about in cards.items() if about.reference == "full"]
    if full:
        raise UsageError(f"the original is among the judged here: leave out what compares with it ({', '.join(full)})")
    given = sets if isinstance(sets, GroundTruths) else open_sets(sets)
    if not given.labelled or not len(given):
        raise UsageError("misalignment needs sets with people's labels; there are none")
    loaded = list(given)
    labels = np.array([one.labels for one in loaded], np.int8)
    shown = [Shown(path) for one in loaded for path in one.paths]
    scores = score_all(shown, cards, Setting(device, precision, cache, on_progress))
    tables = {name: values.reshape(labels.shape) for name, values in scores.items()}
    return compare_sets(tables, labels, {name: about.higher_is_better for name, about in cards.items()})
