"""Options that several commands share are the same in all of them; what each command takes is read alike."""

import re
from collections import defaultdict
from collections.abc import Iterator

import pytest
from typer.core import TyperCommand, TyperOption

from support.command_lines import app_group
from support.commands import Run


def commands() -> dict[str, TyperCommand]:
    """Every command and subcommand, by what one types."""
    found = {}
    for name, command in app_group().commands.items():
        found[name] = command
        found |= {f"{name} {below}": sub for below, sub in getattr(command, "commands", {}).items()}
    return found


def options() -> Iterator[tuple[str, TyperOption]]:
    for name, command in commands().items():
        yield from ((name, option) for option in command.params if isinstance(option, TyperOption))


def shared() -> dict[str, dict[str, TyperOption]]:
    """By long name, then by command, the options of two commands or more."""
    found: dict[str, dict[str, TyperOption]] = defaultdict(dict)
    for command, option in options():
        (long,) = [name for name in option.opts if name.startswith("--")]
        found[long][command] = option
    return {name: by_command for name, by_command in found.items() if len(by_command) > 1}


SHARED = sorted(shared())
TWO_MEANINGS = {
    "--lr": "inputs of an evaluation; pictures that a study shows as well",
    "--pairs": "votes in a file (`train-quality`); how many pairs a rater sees (`study`)",
    "--seed": "of a degradation (`evaluate`); of a study's design",
}
"""Options of commands that stand far apart, whose users call two things by one name."""


def root(option: TyperOption) -> str:
    """The wording up to what is special in one command."""
    return re.split(r"[:.;]", option.help or "")[0]


def test_the_options_that_commands_share_are_known() -> None:
    assert [
        *("--accept-data", "--cache", "--data", "--device", "--dry-run", "--format", "--json", "--lr", "--metrics"),
        *("--model", "--models", "--no-cache", "--output", "--overwrite", "--pairs", "--port"),
        *("--precision", "--raters", "--resume", "--scale", "--scenes", "--seed", "--set", "--shard"),
    ] == SHARED


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_has_one_name_and_one_short_form(name: str) -> None:
    assert len({(tuple(sorted(option.opts)), option.is_flag) for option in shared()[name].values()}) == 1


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_has_one_metavar(name: str) -> None:
    if name in TWO_MEANINGS:
        return
    metavars = {option.metavar for option in shared()[name].values()}
    if name == "--output":
        assert metavars == {"FILE", "DIR", "OUT"}
    else:
        assert len(metavars) == 1


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_is_worded_alike(name: str) -> None:
    if name in TWO_MEANINGS:
        return
    roots = {root(option) for option in shared()[name].values()}
    if name == "--output":  # what it is, then what is in it
        assert {text.split()[0] for text in roots} == {"File", "Folder"}
    else:
        assert len(roots) == 1


@pytest.mark.parametrize("name", SHARED)
def test_a_shared_option_stands_in_one_panel_of_the_help(name: str) -> None:
    if name != "--scale" and name not in TWO_MEANINGS:  # a size in `upscale`, a fact about the data set in `evaluate`
        assert len({getattr(option, "rich_help_panel", None) for option in shared()[name].values()}) == 1


def test_output_has_a_short_form_and_a_metavar_that_says_what_it_is() -> None:
    metavars = {command: option.metavar for command, option in options() if "--output" in option.opts}
    assert metavars == {
        **dict.fromkeys(("upscale", "merge-shards"), "OUT"),
        **dict.fromkeys(("score", "export", "merge", "interpolate", "panel", "compare"), "FILE"),
        **dict.fromkeys(("agree", "agree-labels", "evaluate", "prepare", "train", "train-quality"), "DIR"),
        **dict.fromkeys(("study create", "study sheets", "study demo"), "DIR"),
        **dict.fromkeys(("study analyze", "demo"), "DIR"),
    }


def test_every_option_of_a_value_has_a_metavar() -> None:
    """Otherwise the help shows the name of a type."""
    assert [(command, option.opts) for command, option in options() if not option.is_flag and not option.metavar] == []


@pytest.mark.parametrize(
    "command", ["score", "agree", "agree-labels", "export", "merge", "interpolate", "prepare", "merge-shards"]
)
def test_no_command_writes_to_standard_output(iqsr: Run, command: str) -> None:
    ended = iqsr(command, "a", *(["b"] if command == "interpolate" else []), "-o", "-")
    line = "iqsr: cannot write to standard output ('-'): name a file or folder\n"
    assert (ended.code, ended.out, ended.err) == (2, "", line)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("score", "a.png", "-m", "psnr", "-m", "srq"), "--metrics/-m is given 2 times; it takes one value"),
        (("agree", "p.csv", "--metrics=psnr", "-m", "srq"), "--metrics/-m is given 2 times; it takes one value"),
        (("upscale", "a.png", "--tile=64", "--tile=64", "--tile", "8"), "--tile is given 3 times; it takes one value"),
        (("merge", "run", "-o", "a", "--output", "b"), "--output/-o is given 2 times; it takes one value"),
        (("prepare", "a", "-o", "b", "--workers=1", "--workers=2"), "--workers is given 2 times; it takes one value"),
    ],
)
def test_an_option_of_one_value_that_is_given_again_is_one_line(
    iqsr: Run, arguments: tuple[str, ...], message: str
) -> None:
    ended = iqsr(*arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"iqsr: {message}\n")


def test_options_of_several_values_and_flags_may_be_given_again(iqsr: Run) -> None:
    ended = iqsr("recipes", "show", "paper/swinir-l1", "--set", "batch=4", "--set", "steps=7")
    assert (ended.code, ended.err) == (0, "")
    assert "batch = 4\n" in ended.out
    assert "steps = 7\n" in ended.out
    assert iqsr("metrics", "psnr", "--json", "--json").code == 0


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        (("prepare", "--check", "x"), "`iqsr prepare --check` is a command of its own: iqsr check-sets DIR"),
        (("prepare", "--check=x", "--deep"), "`iqsr prepare --check` is a command of its own: iqsr check-sets DIR"),
        (
            ("prepare", "--headers", "--check", "x"),
            "`iqsr prepare --headers` is a command of its own: iqsr check-sets DIR",
        ),
        (("agree", "--hggt", "x", "-m", "srq"), "`iqsr agree --hggt` is a command of its own: iqsr agree-labels DIR"),
    ],
)
def test_options_that_became_commands_name_them(iqsr: Run, arguments: tuple[str, ...], line: str) -> None:
    ended = iqsr(*arguments)
    assert (ended.code, ended.out, ended.err) == (2, "", f"iqsr: {line}\n")
