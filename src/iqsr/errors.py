"""The exceptions for users. Each message is one line that says what is wrong and what to do."""


class IqsrError(Exception):
    """The base of all errors: work failed. The command line prints the message and exits with `exit_code`."""

    exit_code = 1


class UsageError(IqsrError):
    """Invalid arguments."""

    exit_code = 2


class PictureError(IqsrError):
    """A picture file that cannot be read or written."""


class WriteError(IqsrError):
    """A file that cannot be written: the disk is full, read-only or broken, or a folder has that name."""


class StoreError(IqsrError):
    """A store, such as a bucket, that cannot be asked or that refuses the user: all work with it would fail alike."""


class WeightsError(IqsrError):
    """A weight file that is missing, damaged, or not the published one."""


class ModelError(IqsrError):
    """A network that cannot be loaded, run or exported."""


_LISTED = 10


class UnknownNameError(UsageError):
    """An unknown name. The message lists the known ones, nearest first, at most ten of many."""

    def __init__(self, kind: str, name: str, known: list[str]) -> None:
        from difflib import SequenceMatcher

        def likeness(other: str) -> float:
            return SequenceMatcher(None, name.casefold(), other.casefold(), autojunk=False).ratio()

        nearest = sorted(known, key=likeness, reverse=True)  # equally near ones stay in their order
        more = f" and {len(known) - _LISTED} more" if len(known) > _LISTED + 2 else ""
        listed = ", ".join(nearest[:_LISTED] if more else nearest)
        super().__init__(f"unknown {kind} '{name}'; known: {listed}{more}")
