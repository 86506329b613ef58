"""The pictures behind pairs that people judged: checked, split into pairs to learn from and to check on, cut alike."""

import hashlib
from collections.abc import Callable, Sequence
from pathlib import Path

import torch
from torch import Tensor

from iqsr.agreement.pairs import Pairs
from iqsr.errors import PictureError
from iqsr.images import read_rgb
from iqsr.quality.srq import SMALLEST
from iqsr.scoring.cache import content_hash
from iqsr.training.quality.sources import is_held_out


def content_of(table: Pairs) -> str:
    """Hash of what the pairs say of which pictures; names and places of files aside."""
    rows = zip(table.first, table.second, table.share_first.tolist(), strict=True)
    lines = [f"{content_hash(first)} {content_hash(second)} {share}\n" for first, second, share in rows]
    return hashlib.sha256("".join(lines).encode()).hexdigest()


def check_pictures(table: Pairs, on_picture: Callable[[int, int], None]) -> None:
    """Decode every picture once. PictureError for the first that cannot be, or that does not fit its partner."""
    pictures = list(dict.fromkeys((*table.first, *table.second)))
    sizes: dict[Path, tuple[int, int]] = {}
    for done, picture in enumerate(pictures, 1):
        height, width = read_rgb(picture).shape[2:]
        sizes[picture] = (width, height)
        on_picture(done, len(pictures))
    for first, second in zip(table.first, table.second, strict=True):
        _check_sizes(first, second, (sizes[first], sizes[second]))


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


def couple(table: Pairs, index: int, crop: int | None, generator: torch.Generator) -> Tensor:
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
            both = both.narrow(side, int(torch.randint(spare + 1, (), generator=generator)), crop)
    return both


def _check_sizes(first: Path, second: Path, sizes: tuple[tuple[int, int], tuple[int, int]]) -> None:
    if sizes[0] != sizes[1] or min(sizes[0]) < SMALLEST:
        found = " and ".join(f"{width}x{height}" for width, height in sizes)
        raise PictureError(f"'{first}' and '{second}' are {found}: a pair needs one size, {SMALLEST} px a side or more")
