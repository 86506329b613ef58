"""Room at the beginning of a file that is written already."""

from pathlib import Path

_BLOCK = 4 << 20


def replace_head(path: Path, length: int, head: bytes) -> None:
    """Put `head` in the place of the file's first `length` bytes; what comes behind moves. OSError."""
    with path.open("r+b") as file:
        shift = len(head) - length
        end = file.seek(0, 2)
        tops = list(range(length, end, _BLOCK))
        for at in tops if shift < 0 else reversed(tops):
            file.seek(at)
            data = file.read(min(_BLOCK, end - at))
            file.seek(at + shift)
            file.write(data)
        if shift < 0:
            file.truncate(end + shift)
        file.seek(0)
        file.write(head)
