"""Which picture files someone means: files, folders with all below them, glob patterns."""

import glob
import logging
import os
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from unicodedata import normalize

from iqsr.errors import UsageError
from iqsr.images.formats import OTHER_PICTURES, PICTURE_SUFFIXES

_SYSTEM = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information", "lost+found"})

OnUnread = Callable[[OSError], None]
"""Called with what kept a folder from being searched."""

logger = logging.getLogger(__name__)


def find_pictures(
    inputs: Iterable[str | Path], *, leave_out: Path | None = None, on_unread: OnUnread | None = None
) -> list[tuple[Path, Path]]:
    """Every picture file, once, with its path relative to the input that named it.

    inputs: files, folders (searched with their subfolders, those behind links too), glob patterns. A relative path
    begins below the folder, or below the part of a pattern without wildcards. leave_out: a folder of results; what is
    in it is not taken, unless it is named itself. on_unread: called for each folder that cannot be searched; that, and
    how many pictures of other formats were passed over, is told in warnings too.

    Raises UsageError for an input that does not exist or has no name, and when there is no picture at all.
    """
    found: dict[Path, Path] = {}
    texts = [str(text) for text in inputs]
    if "" in texts:
        raise UsageError("a name is empty: a variable of the shell that was not set?")
    search = _Search(leave_out, on_unread)
    for text in texts:
        path = in_home(text)
        if not exists(path):
            pairs = list(search.matches(path))
            if not pairs:
                search.tell_passed_over()
                raise UsageError(f"no such picture, folder or pattern: '{text}'")
        elif path.is_dir():
            pairs = [(source, source.relative_to(path)) for source in search.pictures_below(path)]
        else:
            pairs = [(path, Path(path.name))]
        for source, relative in pairs:
            found.setdefault(source, relative)
    search.passed_over -= found.keys()
    search.tell_passed_over()
    if not found:
        raise UsageError(f"no pictures in {', '.join(repr(text) for text in texts)}")
    return list(found.items())


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is no one's work: hidden, or what NAS, macOS and Windows leave in folders.

    Synology's `@eaDir` and macOS's `__MACOSX` hold small pictures under the names of the real ones.
    """
    return name.startswith(".") or name.lower() in _SYSTEM


def exists(path: Path) -> bool:
    """`Path.exists`, but False where that raises: for names that are too long, folders that are locked."""
    try:
        return path.exists()
    except OSError:
        return False


def as_stored(path: Path) -> Path:
    """The path under which a file is there: a name may be composed (NFC) in one place and decomposed (NFD) in another.

    macOS and the archives made there decompose what others compose: é is one character or two. Returns `path` itself
    where there is no such file.
    """
    spellings = (path, *(Path(normalize(form, str(path))) for form in ("NFC", "NFD")))
    return next((spelled for spelled in spellings if exists(spelled)), path)


def in_home(text: str) -> Path:
    """The path that `text` names. A `~/` that the shell left alone, as in `--output=~/large`, is the home folder."""
    path = Path(text)
    at_home = text == "~" or text.startswith("~/")
    if not at_home or exists(path):
        return path
    try:
        return Path.home() / text[2:]
    except RuntimeError:  # as some containers run
        raise UsageError(f"'{text}' is in your home folder, but there is none: give another path") from None


class _Search:
    """Looks for pictures in folders and by patterns, and keeps in mind what it passed over."""

    def __init__(self, leave_out: Path | None, on_unread: OnUnread | None) -> None:
        self._output = leave_out.resolve() if leave_out else None
        self._on_unread = on_unread
        self._wanted: dict[tuple[Path, Path, bool], bool] = {}
        self.passed_over: set[Path] = set()

    def matches(self, pattern: Path) -> Iterator[tuple[Path, Path]]:
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
            if any(is_hidden(name) and name not in pattern.parts for name in Path(match).parts):
                continue
            if not path.is_file() or not self._is_wanted(path.parent, base, deep="**" in parts):
                continue
            if not parts[-1].endswith("*") or self._is_picture(path):
                yield path, Path(match)

    def pictures_below(self, top: Path) -> Iterator[Path]:
        """Pictures of the tree in order of their names; hidden files and the output folder are left out."""
        for root, folders, files in os.walk(top, onerror=self._unread, followlinks=True):
            here = Path(root)
            folders[:] = [name for name in sorted(folders) if self._is_searched(here / name, top)]
            for name in sorted(files):
                if not is_hidden(name) and self._is_picture(here / name):
                    yield here / name

    def tell_passed_over(self) -> None:
        """Say in one line how many pictures there are of formats that are not read."""
        if self.passed_over:
            count, suffixes = len(self.passed_over), sorted({path.suffix.lower() for path in self.passed_over})
            files, are = "file" if count == 1 else "files", "is" if len(suffixes) == 1 else "are"
            logger.warning("%d %s passed over: %s %s not read", count, files, ", ".join(suffixes), are)

    def _is_picture(self, path: Path) -> bool:
        if path.suffix.lower() in OTHER_PICTURES:
            self.passed_over.add(path)
        return path.suffix.lower() in PICTURE_SUFFIXES

    def _is_searched(self, folder: Path, top: Path) -> bool:
        return not is_hidden(folder.name) and self._is_wanted(folder, top)

    def _is_wanted(self, folder: Path, top: Path, *, deep: bool = True) -> bool:
        """Looked up once a folder below `top`, however many files there are. deep: links that lead back are not."""
        known = self._wanted.get((folder, top, deep))
        if known is None:
            known = not self._is_of_results(folder, top) and not (deep and _turns_back(folder, top))
            self._wanted[folder, top, deep] = known
        return known

    def _is_of_results(self, folder: Path, top: Path) -> bool:
        """Whether a folder found below `top` is, or lies in, the output folder, and `top` does not."""
        if self._output is None or top.resolve().is_relative_to(self._output):
            return False
        return folder.resolve().is_relative_to(self._output)

    def _unread(self, error: OSError) -> None:
        logger.warning("left out '%s': %s", error.filename, error.strerror)
        if self._on_unread is not None:
            self._on_unread(error)


def _turns_back(folder: Path, top: Path) -> bool:
    """Whether a link on the way from `top` to `folder` leads to where the way has been already."""
    way = [path.resolve() for path in (folder, *folder.parents) if path.is_relative_to(top)]
    return len(set(way)) < len(way)
