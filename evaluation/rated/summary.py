"""What raters preferred: python evaluation/rated/summary.py [TABLE.csv], as Markdown.

Share of ratings that a method wins (95 % interval by bootstrap over scenes), agreement of raters, pairs of interest.
"""

import csv
import sys
from collections import defaultdict
from itertools import combinations
from pathlib import Path

import numpy as np

PAIRS_OF_INTEREST = (("x4plus", "iqsr-x4"), ("unsharp", "x4plus"), ("unsharp-light", "x4plus"), ("original", "x4plus"))


def main() -> None:
    table = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("ratings.csv")
    rows = list(csv.DictReader(table.open()))
    scenes = sorted({row["scene"] for row in rows})
    draws = np.random.default_rng(0).integers(0, len(scenes), (2000, len(scenes)))
    print(f"{len(rows)} ratings of {len(set(map(pair_of, rows)))} pairs, {len(scenes)} scenes.\n")
    print(agreement(rows), "\n")
    print("| method | preferred (95 % over scenes) | ratings |\n|---|--:|--:|")
    methods = {row[side] for row in rows for side in ("first", "second")}
    shares = {m: share([row for row in rows if m in pair_of(row)[1:]], m, scenes, draws) for m in methods}
    for method in sorted(methods, key=lambda m: -shares[m][0]):
        print(f"| {method} | {text(shares[method])} | {shares[method][3]} |")
    print("\n| pair | first preferred (95 % over scenes) | ratings |\n|---|--:|--:|")
    for first, second in PAIRS_OF_INTEREST:
        found = share([row for row in rows if {first, second} == set(pair_of(row)[1:])], first, scenes, draws)
        print(f"| {first} over {second} | {text(found)} | {found[3]} |")


def pair_of(row: dict[str, str]) -> tuple[str, str, str]:
    return row["scene"], row["first"], row["second"]


def share(
    rows: list[dict[str, str]], method: str, scenes: list[str], draws: np.ndarray
) -> tuple[float, float, float, int]:
    """Share of the ratings that the method wins, its interval, and their number."""
    won, asked = np.zeros(len(scenes)), np.zeros(len(scenes))
    for row in rows:
        won[scenes.index(row["scene"])] += row["preferred"] == method
        asked[scenes.index(row["scene"])] += 1
    sums = asked[draws].sum(1)
    low, high = np.quantile((won[draws].sum(1) / np.maximum(sums, 1))[sums > 0], [0.025, 0.975])
    return float(won.sum() / asked.sum()), float(low), float(high), int(asked.sum())


def text(found: tuple[float, float, float, int]) -> str:
    return f"{found[0]:.0%} ({found[1]:.0%} to {found[2]:.0%})"


def agreement(rows: list[dict[str, str]]) -> str:
    """How often two raters prefer the same, and all of them."""
    answers: dict[tuple[str, str, str], dict[str, str]] = defaultdict(dict)
    for row in rows:
        answers[pair_of(row)][row["rater"]] = row["preferred"]
    raters = sorted({row["rater"] for row in rows})
    lines = []
    for a, b in combinations(raters, 2):
        both = [found for found in answers.values() if a in found and b in found]
        lines.append(f"{a} and {b} {np.mean([found[a] == found[b] for found in both]):.1%}")
    whole = [found for found in answers.values() if len(found) == len(raters)]
    same = np.mean([len(set(found.values())) == 1 for found in whole])
    return f"Two raters agree: {', '.join(lines)}. All {len(raters)}: {same:.1%} of {len(whole)} pairs."


if __name__ == "__main__":
    main()
