"""How arguments are read: options given twice, options that became commands, and what an option's text means."""

from pathlib import Path
from shlex import quote
from typing import Any

import typer
from typer.core import TyperCommand, TyperOption

from iqsr.errors import UsageError
from iqsr.io.stores import STORES, WEB, copy_line, without_wildcards
from iqsr.io.urls import is_url, scheme_of

_NEW_COMMANDS = {
    "iqsr prepare": ("iqsr check-sets DIR", ("--check", "--deep", "--headers")),
    "iqsr agree": ("iqsr agree-labels DIR", ("--hggt",)),
}
"""By command, the command that does now what these options of it did."""
_WITH_URLS = {"iqsr upscale", "iqsr score", "iqsr prepare", "iqsr agree", "iqsr run-shards", "iqsr merge-shards"}
"""Commands that read and write files in stores."""


class Command(TyperCommand):
    """A command that takes each option once, unless the option says that it takes several values."""

    def parse_args(self, ctx: Any, args: list[str]) -> list[str]:
        """Raise UsageError for an option given twice, one that is a command of its own now, and a URL of no use."""
        if ctx.command_path not in _WITH_URLS:
            for before, text in zip(["", *args], args, strict=False):
                option, _, value = text.partition("=") if text.startswith("--") else (before, "", text)
                _refuse_url(value, ctx.command_path, is_output=option in ("-o", "--output"))
        try:
            _, _, given = self.make_parser(ctx).parse_args(list(args))
        except typer.TyperException as error:
            _explain_new_command(ctx.command_path, getattr(error, "option_name", None))
            raise
        options = [option for option in given if isinstance(option, TyperOption)]
        for option in options:
            if options.count(option) > 1 and not (option.multiple or option.is_flag):
                raise UsageError(f"{'/'.join(option.opts)} is given {options.count(option)} times; it takes one value")
        return super().parse_args(ctx, args)


def _explain_new_command(command: str, option: str | None) -> None:
    """UsageError that names the command which took the place of an option, where one did."""
    successor, options = _NEW_COMMANDS.get(command, ("", ()))
    if option in options:
        raise UsageError(f"`{command} {option}` is a command of its own: {successor}")


def _refuse_url(text: str, command: str, *, is_output: bool) -> None:
    """UsageError for the URL of a store, where a command works on files of this machine alone; it says how to copy."""
    if not is_url(text) or scheme_of(text) not in STORES:
        return
    name = without_wildcards(text).rstrip("/").rpartition("/")[2] or "data"
    if is_output and scheme_of(text) in WEB:
        raise UsageError(f"cannot write '{text}': such a URL is only read; name a file or folder of this machine")
    if scheme_of(text) == "file":
        raise UsageError(f"`{command}` takes no URLs: name '{text.removeprefix('file://')}'")
    if is_output:
        raise UsageError(f"`{command}` writes to a disk: give -o {quote(name)}, and then {copy_line(name, text)}")
    raise UsageError(f"`{command}` takes no URLs: first {copy_line(text, name)}, then name {quote(name)}")


def output_path(text: str | Path) -> Path:
    """The path that an option names, as a parser for typer. `~/` that the shell left alone is the home folder.

    Raises UsageError for `-`, which elsewhere is standard output, and for a URL.
    """
    if is_url(text):
        raise UsageError(f"cannot write to '{text}': name a file or folder of this machine")
    return output_place(text)


def output_place(text: str | Path) -> Path:
    """`output_path`, or the place of a URL."""
    from iqsr.images.find import in_home

    if str(text) == "-":
        raise UsageError("cannot write to standard output ('-'): name a file or folder")
    return in_home(str(text))


def input_place(text: str | Path) -> Path:
    """The path that an option names, or the place of a URL, as a parser for typer."""
    from iqsr.images.find import in_home

    return in_home(str(text))


def metric_names(text: str | None) -> list[str] | None:
    """The names in a list with commas; None for none given, which means the default metric."""
    return None if text is None else [name.strip() for name in text.split(",") if name.strip()]


def score_cache(cache: Path | None, no_cache: bool) -> Path | None:
    """The file that remembers scores: the one that is named, or the default. None with --no-cache."""
    if cache is not None and no_cache:
        raise UsageError("--cache and --no-cache exclude each other")
    from iqsr.scoring import writable_default_cache

    return None if no_cache else cache or writable_default_cache()
