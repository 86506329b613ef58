"""From files of pairs, or folders of ground truths, to figures."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iqsr.agreement.accuracy import Agreement, compare
from iqsr.agreement.misalignment import Misalignments, compare_sets
from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.agreement.scores import Progress, Setting, Shown, cards_of, score_all
from iqsr.datasets import GroundTruths, open_sets
from iqsr.errors import UsageError
from iqsr.scoring.pictures import Precision


def agreement(
    pairs: str | Path | Pairs,
    metrics: Sequence[str] | None = None,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    on_progress: Progress | None = None,
) -> Agreement:
    """Measure how well metrics order pairs of pictures as people do.

    Args:
        pairs: A CSV file with the columns `first`, `second`, `share_first` and, for metrics that compare,
            `reference`; or `Pairs`.
        metrics: Names; the default metric if None. The direction of each is on its card.
        device: `cpu`, `cuda`, `cuda:N`, `mps` or `auto`.
        precision: Of networks, `fp32` or `bf16`.
        cache: A file that remembers scores; a run that was stopped goes on.
        on_progress: Called as pictures are scored.

    Returns:
        The accuracy of each metric with its interval, and the accuracy of each on the pairs that another gets wrong.

    Raises:
        UsageError: For a file of pairs or arguments that cannot be right.
        PictureError: For pictures without a score (unreadable, or smaller than a metric's minimum).
        WeightsError: If a metric's weights are not here.
    """
    cards = cards_of(metrics)
    full = [name for name, about in cards.items() if about.reference == "full"]
    given = pairs if isinstance(pairs, Pairs) else read_pairs(Path(pairs), with_reference=bool(full))
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

    sets: a labelled data set or its folder, see `iqsr.datasets.open_sets`; the other arguments as in `agreement`.

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
