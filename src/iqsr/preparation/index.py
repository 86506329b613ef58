"""The index of a data set: a table with a row a picture, for whoever chooses among ground truths by their scores."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from iqsr.preparation.folder import PhotoRecord, SetFolder
from iqsr.preparation.recipe import PrepareRecipe
from iqsr.scoring import write_table

if TYPE_CHECKING:
    from pandas import DataFrame


def write_index(folder: SetFolder, records: Mapping[str, PhotoRecord], recipe: PrepareRecipe, place: Path) -> None:
    """Write `index.parquet`. place: the folder of the variants, images/0-<n-1>."""
    write_table(index_of(folder, records.values(), recipe, place), folder.index)


def index_of(folder: SetFolder, records: Iterable[PhotoRecord], recipe: PrepareRecipe, place: Path) -> DataFrame:
    """Columns `set`, `variant`, `path` (below the data set's folder), `image`, `row`, `column`, `enhancer`, and one a
    metric (float64). Sorted by set; within a set the original (enhancer: empty) is first."""
    from pandas import DataFrame

    enhancers = ["", *(enhancer.describe() for enhancer in recipe.enhancers)]
    rows: list[dict[str, Any]] = []
    for record in records:
        for number, (name, (row, column)) in enumerate(zip(record.names, record.sets, strict=True)):
            for k, (variant, enhancer) in enumerate(zip(folder.variants, enhancers, strict=True)):
                path = (place / folder.picture(name, variant)).relative_to(folder.path).as_posix()
                facts = {"set": name, "variant": variant, "path": path, "image": record.image}
                facts |= {"row": row, "column": column, "enhancer": enhancer}
                rows.append(facts | {metric: scores[number][k] for metric, scores in record.scores.items()})
    return DataFrame(rows).sort_values("set", kind="stable", ignore_index=True)
