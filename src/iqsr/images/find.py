"""Which picture files someone means: files, folders with all below them, glob patterns."""

import glob
import logging
import os
from collections.abc import Iterable, Iterator
from pathlib import Path

from iqsr.errors import UsageError

PICTURE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".tif", ".tiff", ".heic", ".heif", ".avif"})
"""Files that are taken from a folder. A file that is named is tried whatever it is called."""

logger = logging.getLogger(__name__)


def find_pictures(inputs: Iterable[str | Path], *, leave_out: Path | None = None) -> list[tuple[Path, Path]]:
    """Every picture file, once, with its path relative to the input that named it.

    inputs: files, folders (searched with their subfolders), glob patterns. A relative path begins below the folder,
    or below the part of a pattern without wildcards. leave_out: a folder of results; what is in it is not taken,
    unless it is named itself.

    Raises UsageError for an input that does not exist or has no name, and when there is no picture at all.
    """
    found: dict[Path, Path] = {}
    texts = [str(text) for text in inputs]
    if "" in texts:
        raise UsageError("a name is empty: a variable of the shell that was not set?")
    for text in texts:
        path = in_home(text)
        if not exists(path):
            pairs = list(_matches(path, leave_out))
            if not pairs:
                raise UsageError(f"no such picture, folder or pattern: '{text}'")
        elif path.is_dir():
            pairs = [(source, source.relative_to(path)) for source in _pictures_below(path, leave_out)]
        else:
            pairs = [(path, Path(path.name))]
        for source, relative in pairs:
            found.setdefault(source, relative)
    if not found:
        raise UsageError(f"no pictures in {', '.join(repr(text) for text in texts)}")
    return list(found.items())


def exists(path: Path) -> bool:
    """`Path.exists`, but False where that raises: for names that are too long, folders that are locked."""
    try:
        return path.exists()
    except OSError:
        return False


def in_home(text: str) -> Path:
    """The path that `text` names. A `~/` that the shell left alone, in quotes, is the home folder."""
    path = Path(text)
    return Path.home() / text[2:] if text.startswith("~/") and not exists(path) else path


def _matches(pattern: Path, leave_out: Path | None) -> Iterator[tuple[Path, Path]]:
    """Files that match, with their path below the folder where wildcards begin; none in an output folder there.

    What exists under its literal name is no wildcard: `holiday [2024]/*.jpg`. `*` at the end means pictures.
    """
    base, parts = Path(), list(pattern.parts)
    while parts and exists(base / parts[0]):
        base /= parts.pop(0)
    if not parts:
        return
    for match in sorted(glob.glob(os.path.join(*parts), root_dir=base, recursive=True)):  # noqa: PTH118, PTH207
        path = base / match
        unwanted = parts[-1].endswith("*") and path.suffix.lower() not in PICTURE_SUFFIXES
        if path.is_file() and not unwanted and not _is_in_output_folder(path, base, leave_out):
            yield path, Path(match)


def _is_in_output_folder(path: Path, base: Path, leave_out: Path | None) -> bool:
    """Whether `path` lies in `leave_out` and that below `base`: what is there came from an earlier run."""
    if leave_out is None:
        return False
    folder, top = leave_out.resolve(), base.resolve()
    return folder != top and folder.is_relative_to(top) and path.resolve().is_relative_to(folder)


def _pictures_below(folder: Path, leave_out: Path | None) -> Iterator[Path]:
    """Pictures of the tree in order of their names; hidden files and the output folder itself are left out."""
    output = leave_out.resolve() if leave_out else None

    def warn(error: OSError) -> None:
        logger.warning("left out '%s': %s", error.filename, error.strerror)

    for root, folders, files in os.walk(folder, onerror=warn):
        here = Path(root)
        folders[:] = sorted(f for f in folders if not f.startswith(".") and (here / f).resolve() != output)
        for name in sorted(files):
            if not name.startswith(".") and Path(name).suffix.lower() in PICTURE_SUFFIXES:
                yield here / name
