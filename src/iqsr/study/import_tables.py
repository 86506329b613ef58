"""Votes that other tools hold: pairs with counts, pwcmp's table, choices among several."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import combinations
from pathlib import Path, PurePosixPath

from iqsr.errors import UsageError
from iqsr.study.votes import NO_DIFFERENCE, SEPARATOR, Vote

UNKNOWN_RATER = "(unknown)"
"""The rater of votes of which a table has only the number. Figures that need raters leave these out."""

Rows = Sequence[tuple[int, Mapping[str, str]]]
"""Each row with its line."""


def read_counted_pairs(file: Path, rows: Rows) -> list[Vote]:
    """Votes of `iqsr agree`'s pairs with counts: first, second (pictures), votes_first, votes_second.

    Pictures are named SCENE_METHOD.EXTENSION, where a column `scene` or the last `_` tells the scene; or
    METHOD/SCENE.EXTENSION. Rows whose column `kind` is `best-of-N` hold tallies of single choices among N pictures of a
    scene, repeated for each pair; each choice becomes one vote. Raters and sides are not known.

    Raises UsageError with the line for counts that are none or contradict `share_first` or one another.
    """
    votes: list[Vote] = []
    tallies: dict[tuple[str, str], list[tuple[int, dict[str, int]]]] = {}
    for line, row in rows:
        where = f"'{file}', line {line}"
        scene, first, second = _scene_and_methods(row, where)
        counts = {first: _count(row, "votes_first", where), second: _count(row, "votes_second", where)}
        _check_share(row, counts[first], counts[second], where)
        kind = row.get("kind", "")
        if kind.startswith("best-of-"):
            tallies.setdefault((scene, kind), []).append((line, counts))
        else:
            votes += _anonymous(f"{file.stem}-{line}", scene, (first, second), counts)
    for (scene, kind), found in tallies.items():
        counts = _one_tally(found, kind, f"'{file}', scene {scene}")
        votes += _anonymous(f"{file.stem}-{found[0][0]}", scene, tuple(counts), counts)
    return votes


def read_pwcmp(file: Path, rows: Rows) -> list[Vote]:
    """Votes of pwcmp's table: observer, scene, condition_1, condition_2 and selection (1 or 2).

    Also as its later versions have it: condition_A, condition_B and is_A_selected (1 or 0). Columns may be in any case,
    and others do not count. Which condition was on the left is not known.
    """
    votes: list[Vote] = []
    for line, row in rows:
        where = f"'{file}', line {line}"
        if "condition_1" in row:
            shown, column, codes = (row["condition_1"], row["condition_2"]), "selection", ("1", "2")
        else:
            column = "is_a_selected" if "is_a_selected" in row else "selected_a"
            shown, codes = (row["condition_a"], row["condition_b"]), ("1", "0")
        chosen = dict(zip(codes, shown, strict=True)).get(row[column])
        if chosen is None:
            raise UsageError(f"{where}, column {column}: is '{row[column]}', not {codes[0]} or {codes[1]}")
        votes.append(Vote(row["observer"], f"{file.stem}-{line}", row["scene"], shown, chosen, mode="side"))
    return votes


def read_choices(file: Path, rows: Rows) -> list[Vote]:
    """Votes of a table of choices: rater, picture, chosen (a method, or nothing) and among (methods, joined by `|`)."""
    votes: list[Vote] = []
    for line, row in rows:
        shown = tuple(method.strip() for method in row["among"].split(SEPARATOR))
        if row["chosen"] not in (NO_DIFFERENCE, *shown):
            raise UsageError(f"'{file}', line {line}, column chosen: '{row['chosen']}' is not among {', '.join(shown)}")
        mode = "best-of-n" if len(shown) > 2 else "side"
        votes.append(Vote(row["rater"], f"{file.stem}-{line}", row["picture"], shown, row["chosen"], mode=mode))
    return votes


TABLES: Mapping[str, tuple[tuple[tuple[str, ...], ...], Callable[[Path, Rows], list[Vote]]]] = {
    "pairs with counts": ((("first", "second", "votes_first", "votes_second"),), read_counted_pairs),
    "pwcmp": (
        (
            ("observer", "scene", "condition_1", "condition_2", "selection"),
            ("observer", "scene", "condition_a", "condition_b", "is_a_selected"),
            ("observer", "scene", "condition_a", "condition_b", "selected_a"),
        ),
        read_pwcmp,
    ),
    "choices among several": ((("rater", "picture", "chosen", "among"),), read_choices),
}
"""By kind of table: the columns that tell it, each of several ways, and how it is read."""


def _anonymous(name: str, scene: str, shown: tuple[str, ...], counts: Mapping[str, int]) -> list[Vote]:
    """So many votes of raters who are not known."""
    mode = "best-of-n" if len(shown) > 2 else "side"
    chosen = [method for method, count in counts.items() for _ in range(count)]
    return [
        Vote(UNKNOWN_RATER, f"{name}-{number}", scene, shown, method, mode=mode)
        for number, method in enumerate(chosen, 1)
    ]


def _scene_and_methods(row: Mapping[str, str], where: str) -> tuple[str, str, str]:
    first, second = (PurePosixPath(row[column].replace("\\", "/")) for column in ("first", "second"))
    given = row.get("scene") or row.get("picture") or ""
    if not given and first.stem == second.stem and first.parent.name != second.parent.name:
        return first.stem, first.parent.name, second.parent.name
    scene = given or first.stem.rpartition("_")[0]
    methods = [_method(path, scene) for path in (first, second)]
    if not scene or not all(methods) or methods[0] == methods[1]:
        raise UsageError(
            f"{where}: cannot tell scene and methods of '{first}' and '{second}'; name pictures SCENE_METHOD.png or "
            "METHOD/SCENE.png"
        )
    return scene, methods[0], methods[1]


def _method(path: PurePosixPath, scene: str) -> str:
    if path.stem == scene:
        return path.parent.name
    return path.stem.removeprefix(f"{scene}_") if path.stem.startswith(f"{scene}_") else ""


def _count(row: Mapping[str, str], column: str, where: str) -> int:
    text = row[column]
    if not text.isdecimal():
        raise UsageError(f"{where}, column {column}: is '{text}', not a number of votes")
    return int(text)


def _check_share(row: Mapping[str, str], first: int, second: int, where: str) -> None:
    """Raise UsageError if `share_first` is there and is not that of the votes, to the digits that it has."""
    text = row.get("share_first", "")
    if not text or not first + second:
        return
    try:
        share = float(text)
    except ValueError:
        share = -1.0
    if abs(share - first / (first + second)) > 0.5 * 10.0 ** -min(len(text.partition(".")[2]), 9) + 1e-9:
        raise UsageError(f"{where}, column share_first: is {text}, and the votes are {first} to {second}")


def _one_tally(found: Sequence[tuple[int, Mapping[str, int]]], kind: str, where: str) -> dict[str, int]:
    """The choices of one question among N, from its counts in all pairs."""
    counts: dict[str, int] = {}
    for line, pair in found:
        for method, count in pair.items():
            if counts.setdefault(method, count) != count:
                raise UsageError(f"{where}, line {line}: {method} has {count} votes here, {counts[method]} before")
    pairs = {frozenset(pair) for _, pair in found}
    n = kind.removeprefix("best-of-")
    if str(len(counts)) != n or pairs != {frozenset(pair) for pair in combinations(counts, 2)}:
        raise UsageError(f"{where}: {kind} needs one row for each pair of {n} methods, and has {len(found)} rows")
    return counts
