"""Agreement in shards: the scores of one shard's pairs, and the agreement over the pairs of all."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from iqsr.agreement.measure import (
    OnProgress,
    PictureAndReference,
    ScoringOptions,
    cards_of,
    given_pairs,
    sides_of,
    try_to_score_all,
)
from iqsr.agreement.rates import Agreement, compare_pairs
from iqsr.agreement.report import origin_of
from iqsr.errors import PictureError
from iqsr.io.shard_parts import Part, failed_units
from iqsr.io.shards import Shard, ShardPart, shard_part
from iqsr.metrics import Precision, card
from iqsr.scoring import write_table
from iqsr.scoring.shards import read_rows

TABLE = "pairs.parquet"


def agreement_shard(
    pairs: Path,
    metrics: Sequence[str] | None,
    out: Path,
    shard: Shard,
    *,
    device: str = "cpu",
    precision: Precision = "fp32",
    cache: Path | None = None,
    overwrite: bool = False,
    on_progress: OnProgress | None = None,
) -> ShardPart:
    """Score the pairs of one shard and write `OUT.shards/I-of-N/pairs.parquet` with its manifest.

    The content of a pair's first picture decides its shard. A pair without a score is in the manifest with the reason.

    Args:
        pairs, metrics, device, precision, cache, on_progress: As for `agreement`.
        out: The folder of the agreement over all pairs.
        shard: Which one.
        overwrite: Whether a shard of other settings is replaced.

    Raises:
        UsageError: As `agreement`, and for a folder that holds a shard of other settings.
        WeightsError: If a metric's weights are not here.
    """
    from pandas import DataFrame

    cards = cards_of(metrics)
    given = given_pairs(pairs, cards)
    references = given.reference or (None,) * len(given)
    settings = origin_of(pairs, cards, precision)
    with shard_part(out, shard, command="agree", settings=settings, name=TABLE, overwrite=overwrite) as part:
        listed = zip(given.first, given.second, strict=True)
        units = part.choose((f"{first.name}, {second.name}", first) for first, second in listed)
        places = [unit.place for unit in units]
        sides = [
            [PictureAndReference(side[place], references[place]) for place in places]
            for side in (given.first, given.second)
        ]
        options = ScoringOptions(device, precision, cache, on_progress)
        scores, errors = try_to_score_all([*sides[0], *sides[1]], cards, options)
        columns = {"share_first": given.share_first[places]}
        for name, (first, second) in sides_of(scores, len(places)).items():
            columns |= {f"first {name}": first, f"second {name}": second}
        write_table(DataFrame(columns), part.output)
        both = zip(places, *sides, strict=True)
        reasons = {place: [errors[one.picture] for one in pair if one.picture in errors] for place, *pair in both}
        part.finish({place: lines[0] for place, lines in reasons.items() if lines})
    return part


def merge_agreement(parts: Sequence[Part]) -> tuple[Agreement, dict[str, object]]:
    """The agreement over the pairs of all shards, and its origin: the same as `agreement` of all pairs.

    PictureError where pairs have no score.
    """
    failed = failed_units(parts)
    if failed:
        more = f" ({len(failed):,} such pairs)" if len(failed) > 1 else ""
        raise PictureError(f"a picture has no score: {failed[0]}{more}; run its shard again when it has one")
    origin = parts[0].manifest.settings
    placed = [(unit.place, row) for part in parts for unit, row in zip(part.units, read_rows(part, TABLE), strict=True)]
    rows = [row for _, row in sorted(placed, key=lambda one: one[0])]
    columns = {name: np.array([row[name] for row in rows], np.float64) for name in rows[0]}
    names: list[str] = list(origin["metrics"])
    scores = {name: (columns[f"first {name}"], columns[f"second {name}"]) for name in names}
    higher = {name: card(name).higher_is_better for name in names}
    return compare_pairs(scores, columns["share_first"], higher), origin
