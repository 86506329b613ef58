"""`iqsr metrics`: which image-quality metrics exist, what they are, and which can be used here."""

from __future__ import annotations

import json
import math
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.options import json_option

if TYPE_CHECKING:
    from rich.console import Console

    from iqsr.metrics import Availability, MetricCard

HELP = """Show the image-quality metrics that iqsr knows.

Grouped by what they compare with (an original picture, or nothing) and by what
moves them (low: colours and edges; mid: textures; high: meaning). A metric that
is not here comes with the one line that makes it available. docs/guides/metrics.md
says which to use for what.

[bold]Examples[/bold]

  iqsr metrics

  iqsr metrics --available

  iqsr metrics lpips

  iqsr metrics --json
"""


def command(
    name: Annotated[str | None, typer.Argument(help="Show everything about this metric.", metavar="[NAME]")] = None,
    available: Annotated[bool, typer.Option("--available", help="Only what can be used here now.")] = False,
    as_json: Annotated[bool, json_option("the cards.")] = False,
) -> None:
    """Print the table of metrics, or one card."""
    from rich.console import Console

    from iqsr.metrics import availability, card, metric_names

    chosen = [card(known) for known in ([name] if name is not None else metric_names())]
    states = {c.name: availability(c.name) for c in chosen}
    chosen = [c for c in chosen if states[c.name].available or not available]
    if as_json:
        found = [_as_json(c, states[c.name]) for c in chosen]
        typer.echo(json.dumps(found if name is None else (found or [None])[0], indent=2, allow_nan=False))
    elif name is not None:
        _print_card(Console(), card(name), states[card(name).name])
    else:
        _print_table(Console(), {c.name for c in chosen}, states)


def _as_json(card: MetricCard, state: Availability) -> dict[str, object]:
    """The card as JSON can hold it: an open end of a range is null. How it is loaded is left out."""
    from dataclasses import asdict

    ends = [end if math.isfinite(end) else None for end in card.range]
    facts = {key: value for key, value in asdict(card).items() if key not in ("formula", "network", "variant")}
    return {**facts, "provider": card.provider, "range": ends, "here": state.available, "how": state.remedy or None}


def _print_table(console: Console, names: set[str], states: dict[str, Availability]) -> None:
    """A line a metric in less than 100 columns, and one more where it is missing."""
    from iqsr.metrics.taxonomy import groups

    console.print(
        _columns("here", "metric", "better", "range", "loss", "licence", "paper"), style="dim", soft_wrap=True
    )
    for title, members in groups().items():
        listed = [card for card in members if card.name in names]
        if listed:
            console.print(f"\n[bold]{title}[/bold]", soft_wrap=True)
        for card in listed:
            _print_row(console, card, states[card.name])
    console.print(
        f"\n{sum(states[name].available for name in names)} of {len(states)} are here. "
        "loss: gradients reach the picture.\n"
        "`iqsr metrics NAME` shows a whole card; docs/guides/metrics.md says which to use.",
        soft_wrap=True,
        highlight=False,
    )


def _print_row(console: Console, card: MetricCard, state: Availability) -> None:
    from rich.text import Text

    from iqsr.metrics.taxonomy import better, identifier, span

    loss = "yes" if card.differentiable else "no"
    row = _columns("", card.name, better(card), span(card), loss, _short(card.licence), identifier(card))
    mark = Text("yes", "green") if state.available else Text("no ", "red")
    console.print(mark + Text(row[3:]), soft_wrap=True)
    if not state.available:
        console.print(Text(f"     {state.remedy}", "dim"), soft_wrap=True)


def _columns(here: str, name: str, better: str, span: str, loss: str, licence: str, paper: str) -> str:
    return f"{here:<5}{name:<20}{better:<7}{span:<10}{loss:<5}{licence:<25}{paper}".rstrip()


def _short(licence: str) -> str:
    shorter = {
        " AND ": ", ",
        "-Clause": "",
        "Noncommercial-1.0.0": "Noncommercial",
        "-SA-4.0": "-SA",
        "LicenseRef-": "",
    }
    for long, short in shorter.items():
        licence = licence.replace(long, short)
    return licence


def _print_card(console: Console, card: MetricCard, state: Availability) -> None:
    from rich.markup import escape

    from iqsr.metrics.taxonomy import better, span

    facts = {
        "reference": {
            "full": "the original picture",
            "input": "the input it was made of",
            "set": "the set of originals; one number of all pictures together",
        }.get(card.reference, "none"),
        "level": card.level,
        "better": better(card),
        "range": span(card),
        "loss": "yes, gradients reach the picture" if card.differentiable else "no",
        "smallest picture": f"{card.minimum_size} px a side",
        "computed by": card.provider,
        "licence": card.licence,
        "source": card.source,
        "weights": ", ".join((*card.weights, *card.downloads, *filter(None, [card.package_data]))) or "none needed",
        "here": "yes" if state.available else f"no; {state.remedy}",
    }
    console.print(f"[bold]{escape(card.name)}[/bold]  {escape(card.title)}\n", soft_wrap=True, highlight=False)
    for label, fact in facts.items():
        console.print(f"{label:<17} {escape(fact)}", soft_wrap=True, highlight=False, emoji=False)
