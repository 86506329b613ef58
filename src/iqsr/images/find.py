"""Find the picture files that a user named: by files, folders with their subfolders, glob patterns."""

import errno
import glob
import logging
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from unicodedata import normalize

from iqsr.errors import UsageError
from iqsr.images.formats import OTHER_PICTURES, PICTURE_SUFFIXES
from iqsr.io import remote
from iqsr.io.urls import is_url, place_of, url_of

_SYSTEM = frozenset({"@eadir", "__macosx", "#recycle", "$recycle.bin", "system volume information", "dropped+found"})

OnUnread = Callable[[OSError], None]
"""Called with the error for each folder that cannot be searched."""

logger = logging.getLogger(__name__)


def find_pictures(
    inputs: Iterable[str | Path], *, exclude: Path | Sequence[Path] | None = None, on_unread: OnUnread | None = None
) -> list[tuple[Path, Path]]:
    """Find every picture file that the inputs name, each once.

    Args:
        inputs: Files, folders (searched with their subfolders, also through links), glob patterns; URLs of those.
        exclude: A folder of results, or several: the files in it are not taken unless an input names the folder itself.
        on_unread: Called with the error for each folder that cannot be searched; a warning names the folder, too.

    Returns:
        The path of each file, and its path relative to the input: below the folder, or below the part of a pattern
        without wildcards. The path of a URL is its place, see `iqsr.io.urls`.

    Raises:
        UsageError: An input does not exist or is empty, or there is no picture at all.
        StoreError: A store cannot be asked.
    """
    found: dict[Path, Path] = {}
    texts = [str(text) for text in inputs]
    if "" in texts:
        raise UsageError("a name is empty: a variable of the shell that was not set?")
    folders = [exclude] if isinstance(exclude, Path) else exclude or []
    search = _Search(folders, on_unread)
    for text in texts:
        path = in_home(text)
        if url_of(path) is not None:
            pairs = list(search.in_store(path))
            if not pairs and remote.kind_of(path) is None:
                raise UsageError(f"no such picture, folder or pattern: '{text}'")
        elif not exists(path):
            pairs = list(search.matches(path))
            if not pairs:
                search.warn_of_skipped()
                raise UsageError(f"no such picture, folder or pattern: '{text}'")
        elif path.is_dir():
            pairs = [(source, source.relative_to(path)) for source in search.pictures_below(path)]
        else:
            pairs = [(path, Path(path.name))]
        for source, relative in pairs:
            found.setdefault(source, relative)
    search.skipped -= found.keys()
    search.warn_of_skipped()
    if not found:
        raise UsageError(f"no pictures in {', '.join(repr(text) for text in texts)}")
    return list(found.items())


def is_hidden(name: str) -> bool:
    """Whether a file or folder of that name is hidden, or one that a NAS, macOS or Windows adds to folders.

    Synology's `@eaDir` and macOS's `__MACOSX` hold small pictures under the names of the real ones.
    """
    return name.startswith(".") or name.lower() in _SYSTEM


def exists(path: Path) -> bool:
    """Whether there is a file or folder, on a disk or in a store.

    False where `Path.exists` raises: for names that are too long, folders that are locked.
    """
    try:
        return remote.is_there(path)
    except OSError:
        return False


def is_folder(path: Path) -> bool:
    """Whether there is a folder, on a disk or in a store."""
    return path.is_dir() if url_of(path) is None else remote.kind_of(path) == "folder"


def as_stored(path: Path) -> Path:
    """The spelling of `path` under which the file exists: composed (NFC) or decomposed (NFD) Unicode.

    macOS and archives from it decompose names that others compose: é is one character or two. Returns `path` itself if
    there is no such file.
    """
    return next((spelled for spelled in spellings(path) if exists(spelled)), path)


def spellings(path: Path) -> tuple[Path, ...]:
    """The path as it is, composed (NFC) and decomposed (NFD), without those that are the same."""
    return tuple(dict.fromkeys((path, *(Path(normalize(form, str(path))) for form in ("NFC", "NFD")))))


def in_home(text: str) -> Path:
    """The path that `text` names, with `~/` expanded: the shell leaves it as it is in `--output=~/large`.

    The path of a URL is its place. UsageError for a URL that cannot be used.
    """
    if is_url(text):
        return place_of(text)
    path = Path(text)
    at_home = text == "~" or text.startswith("~/")
    if not at_home or exists(path):
        return path
    try:
        return Path.home() / text[2:]
    except RuntimeError:  # as some containers run
        raise UsageError(f"'{text}' is in your home folder, but there is none: give another path") from None


class _Search:
    """Searches folders and patterns for pictures, and collects the files of formats that are not read."""

    def __init__(self, exclude: Sequence[Path], on_unread: OnUnread | None) -> None:
        self._outputs = [folder.resolve() for folder in exclude]
        self._on_unread = on_unread
        self._wanted: dict[tuple[Path, Path, bool], bool] = {}
        self.skipped: set[Path] = set()

    def matches(self, pattern: Path) -> Iterator[tuple[Path, Path]]:
        """Yield the files that match, with their path below the folder where wildcards begin; not those of results.

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

    def in_store(self, place: Path) -> Iterator[tuple[Path, Path]]:
        """Yield what the place of a URL names: a picture, those below a folder, those that match a pattern."""
        kind = remote.kind_of(place)
        if kind == "file":
            yield place, Path(place.name)
            return
        if kind == "folder":
            top, found = place, remote.files_below(place, self._without_place)
        else:
            top, found = remote.matches(place, self._without_place)
        for path in found:
            relative = path.relative_to(top)
            hidden = any(is_hidden(name) and name not in place.parts for name in relative.parts)
            if (
                not hidden
                and self._is_wanted(path.parent, top, deep=False)
                and (self._is_picture(path) or not (kind == "folder" or place.name.endswith("*")))
            ):
                yield path, relative

    def pictures_below(self, top: Path) -> Iterator[Path]:
        """Yield the pictures of a tree in order of their names, without hidden files and the output folder."""
        for root, folders, files in os.walk(top, onerror=self._unread, followlinks=True):
            here = Path(root)
            folders[:] = [name for name in sorted(folders) if self._is_searched(here / name, top)]
            for name in sorted(files):
                if not is_hidden(name) and self._is_picture(here / name):
                    yield here / name

    def warn_of_skipped(self) -> None:
        """Warn, in one line, how many pictures were skipped because their format is not read."""
        if self.skipped:
            count, suffixes = len(self.skipped), sorted({path.suffix.lower() for path in self.skipped})
            files, are = "file" if count == 1 else "files", "is" if len(suffixes) == 1 else "are"
            logger.warning("%d %s passed over: %s %s not read", count, files, ", ".join(suffixes), are)

    def _is_picture(self, path: Path) -> bool:
        if path.suffix.lower() in OTHER_PICTURES:
            self.skipped.add(path)
        return path.suffix.lower() in PICTURE_SUFFIXES

    def _is_searched(self, folder: Path, top: Path) -> bool:
        return not is_hidden(folder.name) and self._is_wanted(folder, top)

    def _is_wanted(self, folder: Path, top: Path, *, deep: bool = True) -> bool:
        """Whether files of a folder below `top` are taken; cached. deep: not if links make a loop of the way to it."""
        known = self._wanted.get((folder, top, deep))
        if known is None:
            known = not self._is_of_results(folder, top) and not (deep and _is_in_loop(folder, top))
            self._wanted[folder, top, deep] = known
        return known

    def _is_of_results(self, folder: Path, top: Path) -> bool:
        """Whether a folder below `top` is, or is inside, an output folder, while `top` is not."""
        if not self._outputs:
            return False
        above, below = top.resolve(), folder.resolve()
        return any(below.is_relative_to(output) and not above.is_relative_to(output) for output in self._outputs)

    def _without_place(self, url: str) -> None:
        if Path(url).suffix.lower() in PICTURE_SUFFIXES:
            self._unread(OSError(errno.EINVAL, "no file can have that name: copy it to another one", url))

    def _unread(self, error: OSError) -> None:
        logger.warning("left out '%s': %s", error.filename, error.strerror)
        if self._on_unread is not None:
            self._on_unread(error)


def _is_in_loop(folder: Path, top: Path) -> bool:
    """Whether a link between `top` and `folder` leads back to a folder on the way."""
    way = [path.resolve() for path in (folder, *folder.parents) if path.is_relative_to(top)]
    return len(set(way)) < len(way)
