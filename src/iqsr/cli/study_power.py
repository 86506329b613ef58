"""`iqsr study power`: how many raters and pairs a study needs."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import json_option
from iqsr.errors import UsageError

if TYPE_CHECKING:
    from iqsr.study.power import Assumptions, Power

_ENOUGH = 0.8
_MOST_DESIGNS = 200

HELP = """Simulate studies, and say how often they find a preference that is there.

The test is a one-sided t-test of the raters' shares above 50 %. --raters and
--pairs take lists (6,12) and ranges (6-24:6): the table has a line for each
combination. With --effect 0.5 the power is the rate of false alarms.

[bold]Examples[/bold]

  iqsr study power --effect 0.6 --raters 12 --pairs 25

  iqsr study power --effect 0.55 --raters 6-24:6 --pairs 10,25,50

  iqsr study power --effect 0.6 --raters 12 --pairs 20 --scenes 40 --json
"""


def command(
    raters: Annotated[str, typer.Option(metavar="N", help="How many people rate: N, A,B or FROM-TO:STEP.")],
    pairs: Annotated[str, typer.Option(metavar="N", help="Pairs of pictures for each rater: N, A,B or FROM-TO:STEP.")],
    effect: Annotated[float, typer.Option(metavar="SHARE", help="Share of votes for the better method.")] = 0.6,
    scenes: Annotated[int, typer.Option(min=1, metavar="N", help="Take so many scenes.")] = 100,
    rater_sd: Annotated[
        float, typer.Option(min=0, metavar="X", help="Standard deviation between raters, in probits.")
    ] = 0.25,
    picture_sd: Annotated[
        float, typer.Option(min=0, metavar="X", help="Standard deviation between pictures, in probits.")
    ] = 0.5,
    level: Annotated[float, typer.Option(metavar="X", help="Of the test, known as alpha.")] = 0.05,
    simulations: Annotated[int, typer.Option(min=100, metavar="N", help="Studies that are simulated.")] = 2000,
    seed: Annotated[int, typer.Option(min=0, metavar="N", help="Makes the same again.")] = 0,
    as_json: Annotated[bool, json_option("the table.")] = False,
) -> None:
    """Print a table of designs (see HELP)."""
    import json
    from dataclasses import asdict

    from iqsr.study.power import Assumptions, simulate_power

    given = Assumptions(effect, scenes, rater_sd, picture_sd, level)
    designs = [(n, m) for n in _numbers("--raters", raters) for m in _numbers("--pairs", pairs)]
    if len(designs) > _MOST_DESIGNS:
        raise UsageError(f"{len(designs)} designs are too many for a table: name at most {_MOST_DESIGNS}")
    rows = [simulate_power(n, m, given, simulations=simulations, seed=seed) for n, m in designs]
    if as_json:
        document = {"assumptions": asdict(given), "simulations": simulations, "seed": seed}
        typer.echo(json.dumps(document | {"designs": [asdict(row) for row in rows]}, indent=2))
    else:
        _print_table(rows, given, simulations)


def _numbers(option: str, text: str) -> list[int]:
    """The numbers of `6`, `6,12` or `6-24:6`."""
    numbers: list[int] = []
    for part in text.split(","):
        found = re.fullmatch(r"\s*(\d+)(?:-(\d+)(?::(\d+))?)?\s*", part)
        if found is None or found[3] == "0":
            raise UsageError(f"{option} takes a number, a list (6,12) or a range (6-24:6), not '{text}'")
        first, last, step = int(found[1]), int(found[2] or found[1]), int(found[3] or 1)
        numbers += range(first, last + 1, step)
    if not numbers:
        raise UsageError(f"{option}: there is no number in '{text}'")
    return list(dict.fromkeys(numbers))


def _print_table(rows: list[Power], given: Assumptions, simulations: int) -> None:
    typer.echo(
        f"Votes for the better method {given.effect:.1%}; {given.pictures} pictures; standard deviation between raters "
        f"{given.rater_sd:g}, between pictures {given.picture_sd:g} probits.\n"
        f"One-sided t-test over raters, level {given.level:g}; {simulations} simulated studies a line.\n"
    )
    typer.echo("| raters | pairs | votes | votes a picture | power (%) | 95 % interval |")
    typer.echo("| -----: | ----: | ----: | --------------: | --------: | ------------: |")
    for row in rows:
        interval = f"[{row.low * 100:.1f}, {row.high * 100:.1f}]"
        typer.echo(
            f"| {row.raters:>6} | {row.pairs:>5} | {row.votes:>5} | {row.votes_per_picture:>15.2f} | "
            f"{row.power * 100:>9.1f} | {interval:>13} |"
        )
    if len(rows) > 1 and given.effect > 0.5:
        enough = [row for row in rows if row.power >= _ENOUGH and row.votes % given.pictures == 0]
        best = min(enough, key=lambda row: (row.votes, row.raters), default=None)
        found = f"{best.raters} raters x {best.pairs} pairs" if best else "none of these"
        typer.echo(f"\nFewest votes with a power of {_ENOUGH:.0%}, each picture equally often: {found}")
