"""`iqsr study create`: who sees which pictures, and the pictures without what would tell their origin."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import PRINTING, json_option, output_option
from iqsr.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from iqsr.study.design import Design

_MODES = ("slider", "side", "flicker", "best-of-n")
_PAIRINGS = ("balanced", "asap")

HELP = """Make a study: who sees which pictures in which order, and the pictures themselves.

Every picture comes equally often, every method as often on the left as on the
right. Each method is a folder; pictures of a scene have the same name, or
names that begin alike. What is written tells nothing of the methods but their
pixels. If the numbers do not fit, the message has the nearest that do.

[bold]Examples[/bold]

  iqsr study create --a bicubic/ --b mine/ --raters 12 --pairs 25 -o study/

  iqsr study create --a a/ --b b/ --raters 12 --pairs 25 -o study/ --dry-run

  iqsr study create --a a/ --b b/ --more c/ --raters 9 --pairs 40 -o study/

  iqsr study create --a x=a/ --b y=b/ --raters 9 --pairs 20 --checks 2 -o s/
"""


def command(
    a: Annotated[str, typer.Option("--a", metavar="DIR", help="Folder of the first method, or NAME=DIR.")],
    b: Annotated[str, typer.Option("--b", metavar="DIR", help="Folder of the second method, or NAME=DIR.")],
    raters: Annotated[int, typer.Option(min=1, metavar="N", help="How many people rate.")],
    pairs: Annotated[int, typer.Option(min=1, metavar="N", help="Pairs of pictures for each rater.")],
    output: Annotated[Path, output_option("Folder of the study; it must not exist, or be empty.", metavar="DIR")],
    more: Annotated[
        list[str] | None, typer.Option(metavar="NAME=DIR", help="A further method; may be given again.")
    ] = None,
    lr: Annotated[
        Path | None,
        typer.Option("--lr", metavar="DIR", help="Low-resolution pictures, for a look at what methods began with."),
    ] = None,
    scenes: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="Take so many scenes: drawn at random. Default: all.")
    ] = None,
    mode: Annotated[
        str, typer.Option(metavar="MODE", help="How pictures are shown: slider, side, flicker, best-of-n.")
    ] = "slider",
    pairing: Annotated[
        str,
        typer.Option(
            metavar="PAIRING",
            help="balanced: all pairs of methods equally often. asap: those that tell most, for five methods or more.",
        ),
    ] = "balanced",
    checks: Annotated[
        int, typer.Option(min=0, metavar="N", help="Attention checks for each rater: one side is obviously degraded.")
    ] = 0,
    repeats: Annotated[
        int, typer.Option(min=0, metavar="N", help="Pairs that each rater sees again, with sides swapped.")
    ] = 0,
    seed: Annotated[
        int | None, typer.Option(min=0, metavar="N", help="Makes the same again. Default: drawn, and stored.")
    ] = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=PRINTING)
    ] = False,
    as_json: Annotated[bool, json_option("the design.")] = False,
) -> None:
    """Make a study (see HELP)."""
    import secrets

    from iqsr.study.create import create_study, plan_study
    from iqsr.study.design import design_json
    from iqsr.study.new_folder import check_new_folder
    from iqsr.study.plan import Plan

    if mode not in _MODES:
        raise UnknownNameError("mode", mode, list(_MODES))
    if pairing not in _PAIRINGS:
        raise UnknownNameError("pairing", pairing, list(_PAIRINGS))
    plan = Plan(
        raters=raters,
        trials=pairs,
        mode=mode,
        pairing=pairing,
        attention_checks=checks,
        repeats=repeats,
        seed=secrets.randbelow(10**9) if seed is None else seed,
    )
    methods = _methods([a, b, *(more or [])])
    check_new_folder(output)
    if dry_run:
        design = plan_study(methods, plan, lr=lr, scenes=scenes)
    else:
        design = create_study(methods, output, plan, lr=lr, scenes=scenes)
    if as_json:
        typer.echo(design_json(design), nl=False)
        return
    _print_design(design)
    if dry_run:
        _print_seats(design)
    else:
        typer.echo(
            f"\n{output}: edit study.toml, then `iqsr study serve {output}` or `iqsr study sheets {output} -o DIR`"
        )


def _methods(texts: list[str]) -> dict[str, Path]:
    """Name -> folder. A name that is not given is the folder's own."""
    from iqsr.images.find import in_home

    methods: dict[str, Path] = {}
    for text in texts:
        name, equals, folder = text.partition("=")
        if not equals or not name or "/" in name or in_home(text).exists():
            name, folder = "", text
        path = in_home(folder)
        name = name or path.absolute().name
        if name in methods:
            raise UsageError(f"two methods are called '{name}': give one another name, NAME={folder}")
        methods[name] = path
    return methods


def _print_design(design: Design) -> None:
    raters, trials = len(design.seats), design.trials_per_seat
    what = "rows" if design.mode == "best-of-n" else "pairs"
    typer.echo(f"{raters} raters x {trials} {what} = {raters * trials} votes; {design.mode}, seed {design.seed}")
    typer.echo(f"{len(design.methods)} methods: {', '.join(design.methods)}")
    counts = ((design.attention_checks, "attention check"), (design.repeats, "repeat"))
    if extra := [f"{count} {name}{'s' * (count > 1)}" for count, name in counts if count]:
        typer.echo(f"and for each rater {' and '.join(extra)}")
    if design.pairing == "asap":
        typer.echo(f"{len(design.pictures)} pictures; pairs are chosen when a rater comes, after the votes so far")
        return
    each = raters * trials // len(design.pictures)
    typer.echo(f"{len(design.pictures)} pictures, each in {each} vote{'s' * (each > 1)}")
    for line in _balance(design):
        typer.echo(line)


def _balance(design: Design) -> list[str]:
    """How often each pair of methods is shown, and how often each of the two is on the left."""
    from collections import Counter
    from itertools import combinations

    if design.mode == "best-of-n":
        return []
    shown = Counter(trial.shown for seat in design.seats for trial in seat.trials if trial.kind == "vote")
    rows = [
        (f"{one} and {other}", shown[one, other] + shown[other, one], shown[one, other], one)
        for one, other in combinations(design.methods, 2)
    ]
    width = max(len(name) for name, *_ in rows)
    return [f"{name:<{width}}  {votes} votes, {one} on the left in {left}" for name, votes, left, one in rows]


def _print_seats(design: Design) -> None:
    for seat in design.seats:
        for trial in seat.trials:
            kind = "" if trial.kind == "vote" else f"  {trial.kind}"
            typer.echo(f"{trial.id}  {trial.picture}  {' | '.join(trial.shown)}{kind}")
