"""Files and names of others: names that lead out of a folder, links that do, and files that never end are refused."""

import errno
import os
import stat
from pathlib import Path

from iqsr.errors import IqsrError

_NO_LINKS = getattr(os, "O_NOFOLLOW", 0)  # Windows has neither, and no pipes in folders
_NO_WAITING = getattr(os, "O_NONBLOCK", 0)


def is_file_name(text: str) -> bool:
    """Whether a text can be the name of one file or folder: no path, no `..`."""
    return text not in ("", ".", "..") and not {"/", "\\", "\0"} & {*text}


def place_below(folder: Path, name: str) -> Path:
    """The place that a relative path from a file of others has in `folder`. IqsrError if it leads out of the folder."""
    inside = Path(os.path.normpath(name))
    if inside.anchor or inside.parts[:1] in ((), ("..",)):
        raise IqsrError(f"'{name}' leads out of '{folder}': nothing was written; ask whoever made the folder")
    return folder / inside


def check_leads_inside(path: Path, folder: Path) -> None:
    """IqsrError if a link on the way from `folder` to `path` leads out of the folder."""
    if not path.resolve().is_relative_to(folder.resolve()):
        raise IqsrError(f"'{path}' is a link that leads out of '{folder}': put the file itself there")


def check_is_file(path: Path) -> None:
    """OSError for what is no file, or is not there: for readers that take a path."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise OSError(errno.EINVAL, "it is not a file", str(path))


def read_whole(path: Path) -> bytes:
    """The content of a file. OSError for what is no file: a pipe may wait for ever, a device may never end."""
    descriptor = os.open(path, os.O_RDONLY | _NO_WAITING | getattr(os, "O_BINARY", 0))
    with os.fdopen(descriptor, "rb") as file:
        if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
            raise OSError(errno.EINVAL, "it is not a file", str(path))
        return file.read()


def open_own(path: Path, flags: int) -> int:
    """Open a file that iqsr made, or make it, to change it in place. OSError for a link, which would change another
    file, and for what is no file.
    """
    try:
        descriptor = os.open(path, flags | os.O_CREAT | _NO_LINKS | _NO_WAITING, 0o666)
    except OSError as error:
        if not path.is_symlink():
            raise
        raise OSError(error.errno, "it is a link to another file: remove it", str(path)) from None
    if not stat.S_ISREG(os.fstat(descriptor).st_mode):
        os.close(descriptor)
        raise OSError(errno.EINVAL, "it is not a file", str(path))
    return descriptor
