"""The metrics by reference and level: the groups of `iqsr metrics` and the tables of docs/guides/metrics.md."""

from iqsr.metrics.card import MetricCard, cards

_REFERENCES = {
    "full": "Full reference",
    "input": "Reference: the input",
    "set": "Set against set",
    "none": "No reference",
}
_LEVELS = {
    "low": "low level: colours, edges",
    "mid": "mid level: textures, local structure",
    "high": "high level: meaning, the picture as a whole",
}


def groups() -> dict[str, list[MetricCard]]:
    """Every metric under its group's title, in the order of the taxonomy."""
    found: dict[str, list[MetricCard]] = {}
    for card in cards().values():
        found.setdefault(f"{_REFERENCES[card.reference]}, {_LEVELS[card.level]}", []).append(card)
    return found


def better(card: MetricCard) -> str:
    """The direction in a word."""
    return "higher" if card.higher_is_better else "lower"


def span(card: MetricCard) -> str:
    """The range in words."""
    low, high = card.range
    return f"{low:g} to {high:g}" if high != float("inf") else f"from {low:g}"


def identifier(card: MetricCard) -> str:
    """The paper's DOI or arXiv number, or where else to read about the metric."""
    return card.source.rpartition(", ")[2].removeprefix("doi:")


def markdown() -> str:
    """The groups as Markdown tables, which docs/hooks.py puts into docs/guides/metrics.md."""
    lines: list[str] = []
    for title, members in groups().items():
        lines += [
            f"### {title}",
            "",
            "| metric | what | better | range | loss | licence | source |",
            "|---|---|" + "---|" * 5,
        ]
        for c in members:
            loss = "yes" if c.differentiable else "no"
            lines.append(f"| `{c.name}` | {c.title} | {better(c)} | {span(c)} | {loss} | {c.licence} | {c.source} |")
        lines.append("")
    return "\n".join(lines)
