"""Finds all that is wrong with a data set of ground truths, file by file."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

from iqsr.datasets.hggt import ORIGINAL, GroundTruths, SetFolders, folders_in, open_sets
from iqsr.datasets.labels import ANNOTATORS, check_original, read_labels
from iqsr.errors import IqsrError


@dataclass(frozen=True)
class Finding:
    """One problem of a data set."""

    path: Path
    """The file, or where it should be."""
    problem: str


def check(folder: Path, *, deep: bool = True) -> list[Finding]:
    """Everything wrong with the data set in `folder`; empty if all is well.

    Missing pictures and annotators, wrong label files, pictures that cannot be read or
    differ in size from their original, files that belong to no set, a name that two sets have, no sets at all.
    `deep` decodes every picture to its last row, which finds those cut short; without it only headers are read, which
    is some thirty times as fast.

    Raises UsageError where there is no data set at all.
    """
    return list(findings(open_sets(folder), deep=deep))


def findings(
    sets: GroundTruths, *, deep: bool = True, on_set: Callable[[int, int], None] = lambda done, total: None
) -> Iterator[Finding]:
    """What `check` returns, as it is found, in the order of the sets. on_set: called with the number of sets
    done and the number of sets found so far."""
    seen: dict[str, Path] = {}
    done = total = 0
    for folders in sets.parts:
        yield from _unknown_annotators(folders)
        broken = list(_folders(folders))
        yield from broken
        if broken:
            continue
        original = folders.images[ORIGINAL]
        if not folders.names:
            yield Finding(original, "holds no pictures: there are no sets")
        total += len(folders.names)
        for name, wrong in _with_picture_findings(folders, deep):
            if name in seen:
                yield Finding(original / folders.listing(original)[name], f"'{seen[name]}' has a set of this name, too")
            seen.setdefault(name, original)
            yield from wrong
            yield from _labels(folders, name)
            done += 1
            on_set(done, total)
        yield from _files_of_no_set(folders)
    for folder in sets.stray_labels:
        yield Finding(folder, "labels of a range that has no pictures")


def _unknown_annotators(folders: SetFolders) -> Iterator[Finding]:
    """Folders beside those of the annotators, which are not read."""
    known = list((folders.labels or {}).values())
    if not known or not known[0].parent.is_dir():
        return
    for name, folder in folders_in(known[0].parent).items():
        if folder not in known:
            yield Finding(folder, f"labels of an unknown annotator '{name}'; known: {', '.join(ANNOTATORS)}")


def _folders(folders: SetFolders) -> Iterator[Finding]:
    """Folders that cannot be listed or hold a name twice. A missing annotator's folder is one finding."""
    for folder in (*folders.images.values(), *(folders.labels or {}).values()):
        try:
            folders.listing(folder)
        except IqsrError as error:
            yield Finding(folder, _message_without(folder, error))


def _with_picture_findings(folders: SetFolders, deep: bool) -> Iterator[tuple[str, list[Finding]]]:
    """Each set's name with the findings on its pictures. Threads decode several sets at once."""

    def wrong(name: str) -> list[Finding]:
        return list(_pictures(folders, name, deep))

    with ThreadPoolExecutor() as pool:
        try:
            yield from zip(folders.names, pool.map(wrong, folders.names), strict=True)
        finally:
            pool.shutdown(wait=False, cancel_futures=True)


def _pictures(folders: SetFolders, name: str, deep: bool) -> Iterator[Finding]:
    size: tuple[int, int] | None = None
    for variant, folder in folders.images.items():
        path = folders.picture(name, variant)
        if path is None:
            yield Finding(folder / f"{name}_{variant}.png", "the picture is missing")
            continue
        try:
            found = _size(path, deep)
        except IqsrError as error:
            yield Finding(path, _message_without(path, error))
            continue
        size = size or found
        if found != size:
            yield Finding(path, f"{found[0]} x {found[1]} pixels; others of its set have {size[0]} x {size[1]}")


def _size(path: Path, deep: bool) -> tuple[int, int]:
    """Width and height. Raises PictureError if the picture cannot be read."""
    from iqsr.images import open_picture
    from iqsr.images.read import decoded_size

    if deep:
        return decoded_size(path)
    info = open_picture(path).info
    return info.width, info.height


def _labels(folders: SetFolders, name: str) -> Iterator[Finding]:
    for annotator in ANNOTATORS if folders.labels else ():
        path = folders.label_file(name, annotator)
        if path is None:
            assert folders.labels is not None
            yield Finding(
                folders.labels[annotator] / f"{name}.json", f"the labels of annotator {annotator} are missing"
            )
            continue
        try:
            read_labels(path, list(folders.images)[1:])
            check_original(path)
        except IqsrError as error:
            yield Finding(path, _message_without(path, error))


def _files_of_no_set(folders: SetFolders) -> Iterator[Finding]:
    """Files without an original, which is missing or has another name."""
    names = set(folders.names)
    for variant, folder in folders.images.items():
        for stem, file in folders.listing(folder).items():
            if variant != ORIGINAL and stem.removesuffix(f"_{variant}") not in names and stem not in names:
                yield Finding(folder / file, "there is no original for it")
    for folder in (folders.labels or {}).values():
        for stem, file in folders.listing(folder).items():
            if stem not in names:
                yield Finding(folder / file, "there is no original for it")


def _message_without(path: Path, error: IqsrError) -> str:
    """The error's message without the file's name, which the finding has already."""
    text = str(error)
    for start in (f"'{path}': ", f"cannot read '{path}': ", f"cannot list '{path}': ", f"'{path}' "):
        if text.startswith(start):
            return text.removeprefix(start)
    return text
