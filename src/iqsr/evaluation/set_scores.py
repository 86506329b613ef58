"""Metrics of whole sets, such as FID: one number a model, from the features of its outputs and of the originals.

The features of each picture are kept in a folder, so that what was stopped goes on, and a further model reads only its
own pictures.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from iqsr.datasets.evaluation_set import EvaluationItem
from iqsr.errors import IqsrError, PictureError
from iqsr.evaluation.contestants import Contestant
from iqsr.evaluation.measurements import Measurement, Outcome
from iqsr.evaluation.scores import ALL_IMAGES
from iqsr.metrics import MetricCard, load_features
from iqsr.scoring import MetricSet, content_hash

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from iqsr.metrics.frechet import PictureFeatures

OnProgress = Callable[[str, int, int], None]
"""Called with what is done, how many pictures are done, and of how many."""


def set_measurements(
    items: Sequence[EvaluationItem], models: Iterable[Contestant], cards: Iterable[MetricCard]
) -> list[Measurement]:
    """Each model's outputs against the originals of the same items, by each of the cards that are metrics of sets.

    An original that several items share counts once.
    """
    found: list[Measurement] = []
    of_sets = [card for card in cards if card.of_sets]
    for model in models:
        both = [item for item in items if item.references and item.name in model.pictures]
        outputs = tuple(model.pictures[item.name] for item in both)
        originals = tuple(dict.fromkeys(path for item in both for path in item.references))
        if model.kind != "gold" and both:
            found += [Measurement(ALL_IMAGES, model.name, card, outputs, originals) for card in of_sets]
    return found


def smallest_sets(listed: Iterable[Measurement], metric_set: MetricSet) -> dict[str, int]:
    """By metric: how many pictures or patches the smallest set has, of those whose pictures can be read."""
    from iqsr.images import open_as_srgb
    from iqsr.metrics.frechet import patch_count

    sizes: dict[Path, tuple[int, int]] = {}
    found: dict[str, int] = {}
    for measurement in listed:
        try:
            for path in (*measurement.pictures, *measurement.references):
                if path not in sizes:
                    info = open_as_srgb(path).info
                    sizes[path] = info.width, info.height
        except IqsrError:
            continue
        card = measurement.card
        for side in (measurement.pictures, measurement.references):
            fitting = [sizes[path] for path in side if not metric_set.too_small(card.name, *sizes[path])]
            count = sum(patch_count(card, *size) for size in fitting)
            found[card.name] = min(count, found.get(card.name, count))
    return found


def measure_sets(
    wanted: Sequence[Measurement],
    metric_set: MetricSet,
    folder: Path,
    *,
    on_progress: OnProgress = lambda what, done, total: None,
) -> Iterator[tuple[Measurement, Outcome]]:
    """The distance of each measurement, in their order. A set with a picture that cannot be used has the reasons.

    folder: where features are kept. Raises the errors of `load_features`, and WriteError.
    """
    stores: dict[str, _Features] = {}
    for name in dict.fromkeys(measurement.card.name for measurement in wanted):
        stores[name] = store = _Features(metric_set, name, folder)
        paths = dict.fromkeys(
            path for one in wanted if one.card.name == name for path in (*one.references, *one.pictures)
        )
        for done, path in enumerate(paths, 1):
            store.make(path)
            on_progress(f"features of {name}", done, len(paths))
    yield from ((measurement, _outcome(measurement, stores[measurement.card.name])) for measurement in wanted)


def _outcome(measurement: Measurement, store: _Features) -> Outcome:
    from iqsr.metrics.frechet import frechet_distance

    paths = (*measurement.pictures, *measurement.references)
    errors = list(dict.fromkeys(store.errors[path] for path in paths if path in store.errors))
    if errors:
        return Outcome(errors=errors)
    sides = (measurement.pictures, measurement.references)
    outputs, originals = (np.concatenate([store.read(path) for path in side]) for side in sides)
    if min(len(outputs), len(originals)) < 2:
        return Outcome(errors=[f"{measurement.card.name} needs two pictures at least, '{measurement.model}' has one"])
    return Outcome(frechet_distance(outputs, originals))


class _Features:
    """The features of pictures by one metric: a file each, named after the picture's content.

    What the features depend on besides names the folder. A file is there whole or not at all.
    """

    def __init__(self, metric_set: MetricSet, metric: str, folder: Path) -> None:
        self.errors: dict[Path, str] = {}
        """Why a picture has none."""
        self._metric_set, self._metric = metric_set, metric
        self._folder = folder / f"{metric}-{metric_set.fingerprint(metric)[:12]}"
        self._ready: PictureFeatures | None = None

    def make(self, path: Path) -> None:
        """Write the features of a picture where they are not there yet, or note the error."""
        try:
            if self._there(path) is None:
                self._write(path)
        except PictureError as error:
            self.errors[path] = str(error)

    def read(self, path: Path) -> NDArray[Any]:
        """Those of a picture that `make` has made."""
        found = self._there(path)
        if found is None:
            raise IqsrError(f"'{self._file(path)}' has vanished while the evaluation ran: run it again")
        return found

    def _file(self, path: Path) -> Path:
        return self._folder / f"{content_hash(path)}.npy"

    def _there(self, path: Path) -> NDArray[Any] | None:
        try:
            return np.load(self._file(path), allow_pickle=False)
        except (OSError, ValueError, EOFError):
            return None

    def _write(self, path: Path) -> None:
        from iqsr.images import read_rgb
        from iqsr.io.atomic import atomic_open

        picture = read_rgb(path)
        if why := self._metric_set.too_small(self._metric, picture.shape[3], picture.shape[2]):
            raise PictureError(f"'{path}': {why}")
        if self._ready is None:
            self._ready = load_features(self._metric, device=str(self._metric_set.device))
        with atomic_open(self._file(path)) as file:
            np.save(file, self._ready.of(picture))
