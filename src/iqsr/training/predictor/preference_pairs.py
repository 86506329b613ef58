"""The pictures behind pairs that people judged: checked, split into pairs to learn from and to check on, cut alike."""

import logging
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import torch
from torch import Tensor

from iqsr.agreement.pairs import Pairs
from iqsr.errors import PictureError
from iqsr.images import read_rgb
from iqsr.metrics.srq import MINIMUM_SIZE
from iqsr.scoring.cache import content_hash
from iqsr.training.engine.identity import Identity, mark
from iqsr.training.engine.pictures import Pictures, decode_all
from iqsr.training.predictor.recipe import PreferenceRecipe
from iqsr.training.predictor.sources import is_held_out

logger = logging.getLogger(__name__)


def identity_of(table: Pairs) -> Identity:
    """What tells these pairs from others: what they say of which pictures; where the files lie aside."""
    found, seen = Identity(), Counter[str]()
    for first, second, share in zip(table.first, table.second, table.share_first.tolist(), strict=True):
        name = f"{first.name}, {second.name}"
        seen[name] += 1
        name += f" #{seen[name]}" if seen[name] > 1 else ""
        sizes = [path.stat().st_size for path in (first, second)]
        found[name] = mark(sizes, [content_hash(first), content_hash(second)], share)
    return found


def whole_pairs(
    table: Pairs, recipe: PreferenceRecipe, without: Mapping[str, str], on_picture: Callable[[int, int], None]
) -> tuple[Pairs, dict[str, str]]:
    """The pairs to take, all pictures decoded once if the recipe asks for it, and why pictures are left out.

    without: pictures, by their paths, whose pairs are left out in any case. PictureError for pictures that cannot be
    read or do not fit their partners; with `damaged = "skip"` their pairs are left out instead.
    """
    left = {str(p): without[str(p)] for p in (*table.first, *table.second) if str(p) in without}
    rows = [row for row in zip(table.first, table.second, strict=True) if not left.keys() & set(map(str, row))]
    if recipe.check:
        paths = dict.fromkeys(path for row in rows for path in row)
        pictures = decode_all(paths.keys(), lambda done: on_picture(done, len(paths)))
        wrong = pictures.damaged | {row[0]: why for row in rows if (why := _misfit(row, pictures))}
        if recipe.damaged == "stop":
            replace(pictures, damaged=wrong).check("put them right, or leave their pairs out: --set damaged=skip")
        left |= {str(path): why for path, why in wrong.items()}
    if not left:
        return table, {}
    logger.warning("pictures whose pairs are left out (run.json names them): %d", len(left))
    kept = [
        i for i, row in enumerate(zip(table.first, table.second, strict=True)) if not left.keys() & set(map(str, row))
    ]
    first, second = (tuple(side[i] for i in kept) for side in (table.first, table.second))
    reference = None if table.reference is None else tuple(table.reference[i] for i in kept)
    return Pairs(first, second, table.share_first[kept], reference), left


def _misfit(row: tuple[Path, Path], pictures: Pictures) -> str | None:
    """Why two pictures that can be read are no pair."""
    try:
        first, second = (pictures.whole[path][1:] for path in row)
        _check_sizes(*row, (first, second))
    except KeyError:
        return None
    except PictureError as error:
        return str(error)
    return None


def held_out(table: Pairs, share: float) -> list[bool]:
    """For each pair whether it is checked on and never learned from.

    Pairs that have a picture or an original in common, by content, go together, so that none is on both sides: by the
    first of all their pictures' names in the alphabet.
    """
    originals = table.reference or (None,) * len(table)
    rows = zip(table.first, table.second, originals, strict=True)
    groups = _together([[content_hash(picture) for picture in row if picture] for row in rows])
    names: dict[int, str] = {}
    for group, first, second in zip(groups, table.first, table.second, strict=True):
        names[group] = min(names.get(group, first.name), first.name, second.name)
    return [is_held_out(names[group], share) for group in groups]


def _together(rows: Sequence[Sequence[str]]) -> list[int]:
    """The number of each row's group; rows with a member in common, also through others, are in one group."""
    parent = list(range(len(rows)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    seen: dict[str, int] = {}
    for row, members in enumerate(rows):
        for member in members:
            parent[root(row)] = root(seen.setdefault(member, row))
    return [root(row) for row in range(len(rows))]


def cut_pair(table: Pairs, index: int, crop: int | None, rng: torch.Generator) -> Tensor:
    """(2, 3, H, W): both pictures of a pair, cut alike. PictureError where they do not fit."""
    first, second = read_rgb(table.first[index]), read_rgb(table.second[index])
    sizes = ((first.shape[3], first.shape[2]), (second.shape[3], second.shape[2]))
    _check_sizes(table.first[index], table.second[index], sizes)
    both = torch.cat([first, second])
    if crop is None:
        return both
    for side in (2, 3):
        spare = both.shape[side] - crop
        if spare > 0:
            both = both.narrow(side, int(torch.randint(spare + 1, (), generator=rng)), crop)
    return both


def _check_sizes(first: Path, second: Path, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    if sizes[0] != sizes[1] or min(sizes[0]) < MINIMUM_SIZE:
        found = " and ".join(f"{width}x{height}" for width, height in sizes)
        raise PictureError(
            f"'{first}' and '{second}' are {found}: a pair needs one size, {MINIMUM_SIZE} px a side or more"
        )
