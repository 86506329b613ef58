"""Several data sets as one."""

from collections.abc import Sequence

from iqsr.datasets.hggt import GroundTruths
from iqsr.errors import UsageError


def join(parts: Sequence[GroundTruths]) -> GroundTruths:
    """All sets of the parts, in their order. UsageError where there is no part, and for parts that do not fit.

    Their variants must be the same, people's labels belong to all or to none, and no name of a set comes twice.
    """
    if not parts:
        raise UsageError("no data set was given")
    first = parts[0]
    for number, part in enumerate(parts[1:], 1):
        folders = f"'{first.folder}' and '{part.folder}'"
        if part.variants != first.variants:
            each = " and ".join(", ".join(one.variants) for one in (first, part))
            raise UsageError(f"{folders} cannot be joined: their variants are {each}")
        if part.labelled != first.labelled:
            raise UsageError(f"{folders} cannot be joined: one has labels of people, the other has none")
        for earlier in parts[:number]:
            _check_names(earlier, part)
    strays = tuple(stray for part in parts for stray in part.stray_labels)
    return GroundTruths(tuple(folders for part in parts for folders in part.parts), strays)


def _check_names(one: GroundTruths, other: GroundTruths) -> None:
    if shared := one.folders_of.keys() & other.folders_of.keys():
        raise UsageError(
            f"'{one.folder}' and '{other.folder}' cannot be joined: both have a set '{min(shared)}'; prepare "
            "one of them from photos of other names"
        )
