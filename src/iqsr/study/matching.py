"""Which files of several folders show the same scene, by their names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path

from iqsr.datasets.names import beginnings, pictures_in, stem_of
from iqsr.errors import UsageError

_Index = Mapping[str, Mapping[str, tuple[Path, ...]]]
"""Folder -> beginning of a name -> the files whose names begin so."""
_SEPARATORS = "-_. "


def match_scenes(folders: Mapping[str, Path]) -> dict[str, dict[str, Path]]:
    """The files of each scene.

    Where a name is in all folders, names must be the same everywhere. Else a scene is what the names of its files
    begin with: `0801` of `0801_x4.png` and `0801_mine.png`.

    Args:
        folders: By name, each with one file for each scene.

    Returns:
        Scene -> name of the folder -> file, in the order of the scenes' names.

    Raises:
        UsageError: A folder lacks a scene, has two files for one, or has no picture. One line.
    """
    files = {name: pictures_in(folder) for name, folder in folders.items()}
    for name, found in files.items():
        if not found:
            raise UsageError(f"'{folders[name]}' holds no pictures")
    stems = [{stem_of(path) for path in found} for found in files.values()]
    of = _whole_name if set.intersection(*stems) else _beginnings
    index = {name: _index(found, of) for name, found in files.items()}
    matched: dict[str, dict[str, Path]] = {}
    for name, found in files.items():
        for path in found:
            scene = next(
                (text for text in of(path) if all(len(each.get(text, ())) == 1 for each in index.values())), None
            )
            if scene is None:
                raise UsageError(_problem(path, name, folders, index, of(path)))
            matched[scene] = {other: each[scene][0] for other, each in index.items()}
    return dict(sorted(matched.items()))


def _whole_name(path: Path) -> list[str]:
    return [stem_of(path)]


def _beginnings(path: Path) -> list[str]:
    """Beginnings of the name, the longest first. What follows is no number: of `img_1`, `img` is no scene."""
    stem = stem_of(path)
    found = dict.fromkeys(text.rstrip(_SEPARATORS) for text in beginnings(stem))
    return [text for text in found if text and not stem[len(text) :].strip(_SEPARATORS).isdecimal()]


def _index(files: Iterable[Path], of: Callable[[Path], Sequence[str]]) -> dict[str, tuple[Path, ...]]:
    index: dict[str, list[Path]] = defaultdict(list)
    for path in files:
        for text in of(path):
            index[text].append(path)
    return {text: tuple(found) for text, found in index.items()}


def _problem(path: Path, name: str, folders: Mapping[str, Path], index: _Index, names: Sequence[str]) -> str:
    """Why a file has no scene: a folder has several files for it, or another folder has none."""
    for text in names:
        counts = {other: len(each.get(text, ())) for other, each in index.items()}
        several = [other for other, count in counts.items() if count > 1]
        if (
            len(several) == 1
            and all(counts.values())
            and (text == stem_of(path) or not _is_all(several[0], text, index))
        ):
            listed = ", ".join(f"'{one.name}'" for one in index[several[0]][text][:3])
            return f"'{folders[several[0]]}' has several pictures for '{text}': {listed}; keep one"
    own = [text for text in names if len(index[name][text]) == 1]
    lacking = [other for other, each in index.items() if not any(text in each for text in own)]
    if not lacking:
        return f"'{path.name}' of '{folders[name]}' may belong to several pictures: give those of a scene the same name"
    return f"'{folders[lacking[0]]}' has no picture for '{path.name}' of '{folders[name]}': names must begin alike"


def _is_all(folder: str, text: str, index: _Index) -> bool:
    """Whether all files of a folder begin so: then it is no scene's name."""
    return {*index[folder][text]} == {path for found in index[folder].values() for path in found}
