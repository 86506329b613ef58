"""Data sets with several ground truths for each picture: their folders and files.

HGGT (arXiv:2303.13069) has one original and four enhanced versions a set, each labelled by three people:

    Train/images/0-20193/original/<image>-<row>-<column>.png     or `Original`
    Train/images/0-20193/01/<image>-<row>-<column>_01.png        and 02, 03, 04
    Train/labels/0-20193/A/<image>-<row>-<column>.json           and B, C
    Test/GT/Test-100/images/original/...                         the same without a folder of the range

A folder `inputs` beside `images` holds the low-resolution pictures that the enhanced versions of a set were made of.

Any folder that has a folder of pictures a variant, one of them called `original`, is read too: the files of a set
share their names, with or without `_<variant>` at the end. Labels are optional there.

Opening a data set lists folders and touches no file; labels are read when a set is loaded.
"""

import os
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from unicodedata import normalize

from iqsr.datasets.gt_set import GtSet
from iqsr.datasets.labels import ANNOTATORS, Label, read_labels, vote
from iqsr.errors import IqsrError, PictureError, UsageError
from iqsr.images.find import is_hidden
from iqsr.images.formats import PICTURE_SUFFIXES

ORIGINAL = "original"


@dataclass(frozen=True)
class SetFolders:
    """The folders of a part of a data set: one for each variant, one for each annotator. Listed once, when needed."""

    images: Mapping[str, Path]
    """By variant, `original` first."""
    labels: Mapping[str, Path] | None
    """By annotator; None without labels."""
    inputs: Path | None = None
    """Of stored inputs, named like the originals; None where there are none."""
    _listed: dict[Path, dict[str, str]] = field(default_factory=dict[Path, dict[str, str]], compare=False, repr=False)

    def listing(self, folder: Path) -> dict[str, str]:
        """Names of the folder's pictures or label files, by their stems in NFC. IqsrError for two of one stem."""
        if folder not in self._listed:
            known = frozenset({".json"}) if folder in (self.labels or {}).values() else PICTURE_SUFFIXES
            self._listed[folder] = _files_by_stem(folder, known)
        return self._listed[folder]

    def picture(self, name: str, variant: str) -> Path | None:
        """The file of one variant of the set, None where there is none."""
        folder = self.images[variant]
        files = self.listing(folder)
        found = files.get(name) if variant == ORIGINAL else files.get(f"{name}_{variant}") or files.get(name)
        return folder / found if found else None

    def input(self, name: str) -> Path | None:
        """The file of the set's stored input, None where there is none."""
        found = self.listing(self.inputs).get(name) if self.inputs else None
        return self.inputs / found if self.inputs and found else None

    def label_file(self, name: str, annotator: str) -> Path | None:
        """The file of one annotator's labels of the set, None where there is none."""
        folder = (self.labels or {}).get(annotator)
        found = self.listing(folder).get(name) if folder else None
        return folder / found if folder and found else None

    @property
    def names(self) -> list[str]:
        """The sets: an original is what makes one."""
        return sorted(self.listing(self.images[ORIGINAL]))


@dataclass(frozen=True)
class GroundTruths:
    """A data set: sets of ground truths by name. Made by `open_sets` and `open_folders`."""

    parts: tuple[SetFolders, ...]
    stray_labels: tuple[Path, ...] = ()
    """Folders of labels whose range has no folder of pictures."""

    @property
    def variants(self) -> tuple[str, ...]:
        """Names of the folders, the first is `original`: the same for every set."""
        return tuple(self.parts[0].images)

    @property
    def labelled(self) -> bool:
        """Whether people's labels belong to it."""
        return self.parts[0].labels is not None

    @cached_property
    def names(self) -> tuple[str, ...]:
        """Names of all sets, in order. IqsrError where two folders of originals have the same name."""
        return tuple(self.folders_of)

    @cached_property
    def folders_of(self) -> Mapping[str, SetFolders]:
        """The folders of each set, by its name."""
        found: dict[str, SetFolders] = {}
        for folders in self.parts:
            for name in folders.names:
                if name in found:
                    here, there = folders.images[ORIGINAL], found[name].images[ORIGINAL]
                    raise IqsrError(f"two sets are called '{name}': in '{there}' and in '{here}'; rename one")
                found[name] = folders
        return found

    def __len__(self) -> int:
        return len(self.names)

    def __iter__(self) -> Iterator[GtSet]:
        return map(self.load, self.names)

    def load(self, name: str) -> GtSet:
        """One set: paths, and labels by majority.

        UsageError for a name that is none of a set; PictureError for a missing picture; IqsrError for a missing
        annotator or a label file that is wrong. Each names the file. `check` finds all that is wrong at once.
        """
        name = normalize("NFC", name)
        folders = self.folders_of.get(name)
        if folders is None:
            raise UsageError(f"no set is called '{name}' among the {len(self)} of '{self.folder}'")
        paths = tuple(self._picture(folders, name, variant) for variant in self.variants)
        if folders.labels is None:
            return GtSet(name, self.variants, paths, None, None, folders.input(name))
        labels_by_annotator = [read_labels(self._label_file(folders, name, a), self.variants[1:]) for a in ANNOTATORS]
        voted = [(Label.ORIGINAL, 3), *map(vote, zip(*labels_by_annotator, strict=True))]
        labels, votes = zip(*voted, strict=True)
        return GtSet(name, self.variants, paths, labels, votes, folders.input(name))

    @property
    def folder(self) -> Path:
        """Of originals: the first one."""
        return self.parts[0].images[ORIGINAL]

    @staticmethod
    def _picture(folders: SetFolders, name: str, variant: str) -> Path:
        path = folders.picture(name, variant)
        if path is None:
            raise PictureError(f"the set '{name}' has no picture in '{folders.images[variant]}'")
        return path

    @staticmethod
    def _label_file(folders: SetFolders, name: str, annotator: str) -> Path:
        path = folders.label_file(name, annotator)
        if path is None:
            annotators = list((folders.labels or {}).values())
            raise IqsrError(f"the set '{name}' has no labels of annotator {annotator} in '{annotators[0].parent}'")
        return path


def open_sets(folder: Path) -> GroundTruths:
    """The data set in `folder`: HGGT's `Train`, its `Test/GT/Test-100`, or a folder with one folder a variant.

    UsageError, one line, where it is none of these.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise UsageError(f"no such folder: '{folder}'")
    images = folder / "images" if (folder / "images").is_dir() else folder
    inside = folders_in(images)
    labels = folder / "labels" if (folder / "labels").is_dir() else None
    inputs = folder / "inputs" if images != folder and (folder / "inputs").is_dir() else None
    if _original(inside):
        return GroundTruths((_set_folders(inside, labels, inputs),))
    ranges = {name: folders_in(path) for name, path in inside.items()} if images != folder else {}
    parts = tuple(
        _set_folders(v, labels / name if labels else None, inputs) for name, v in ranges.items() if _original(v)
    )
    if not parts:
        raise UsageError(f"'{folder}' holds no sets of ground truths: {_advice(inside)}")
    if len({tuple(folders.images) for folders in parts}) > 1:
        raise UsageError(f"the folders in '{images}' do not all have the same variants")
    stray = {n: p for n, p in folders_in(labels).items() if n not in inside} if labels else {}
    return GroundTruths(parts, tuple(stray.values()))


def open_folders(folders: Mapping[str, Path]) -> GroundTruths:
    """A data set without labels from folders anywhere: `{"original": ..., "sharpened": ...}`. UsageError."""
    if ORIGINAL not in folders or len(folders) < 2:
        raise UsageError(f"needs a folder called '{ORIGINAL}' and another, got {', '.join(folders) or 'none'}")
    ordered = {name: Path(folders[name]) for name in sorted(folders, key=lambda name: (name != ORIGINAL, name))}
    for path in ordered.values():
        if not path.is_dir():
            raise UsageError(f"no such folder: '{path}'")
    return GroundTruths((SetFolders(ordered, None),))


def lr_folder(folder: Path) -> Path | None:
    """Where HGGT keeps the inputs of the test set `folder`, named like the originals; None where it is not there."""
    path = Path(folder).absolute()
    found = path.parent.parent / "Blind_Degradation_Benchmark_LQ" / path.name / "Blind_LR"
    return found if found.is_dir() else None


def _set_folders(inside: Mapping[str, Path], labels: Path | None, inputs: Path | None) -> SetFolders:
    original = _original(inside)
    assert original is not None
    others = {n: p for n, p in inside.items() if p != original and n != "labels"}
    if not others:
        raise UsageError(f"'{original.parent}' has originals only; a second folder of ground truths is needed")
    annotators = None if labels is None else {name: labels / name for name in ANNOTATORS}
    return SetFolders({ORIGINAL: original, **others}, annotators, inputs)


def _original(inside: Mapping[str, Path]) -> Path | None:
    return inside.get(ORIGINAL) or inside.get(ORIGINAL.capitalize())


def folders_in(folder: Path) -> dict[str, Path]:
    """The folders in it by name, in order, without hidden ones and those of the system."""
    with os.scandir(folder) as entries:
        names = sorted(entry.name for entry in entries if entry.is_dir() and not is_hidden(entry.name))
    return {name: folder / name for name in names}


def _files_by_stem(folder: Path, suffixes: frozenset[str]) -> dict[str, str]:
    try:
        # Of 20,000 files; no Path is needed for them.
        names = sorted(os.listdir(folder))  # noqa: PTH208
    except OSError as error:
        raise IqsrError(f"cannot list '{folder}': {error.strerror}") from None
    found: dict[str, str] = {}
    for name in names:
        stem, suffix = os.path.splitext(normalize("NFC", name))  # noqa: PTH122
        if suffix.lower() not in suffixes or is_hidden(name):
            continue
        if stem in found:
            raise IqsrError(f"'{folder}' has both '{found[stem]}' and '{name}'; keep one")
        found[stem] = name
    return found


def _advice(inside: Mapping[str, Path]) -> str:
    """What to do, where the folder is HGGT's whole tree or something else."""
    for name, below in (("Train", Path()), ("Test", Path("GT/Test-100"))):
        if name in inside:
            return f"name one of its parts, '{inside[name] / below}'"
    return f"it needs a folder '{ORIGINAL}' and one for each other variant, or HGGT's images/<range>/{ORIGINAL}"
