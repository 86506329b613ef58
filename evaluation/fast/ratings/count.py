"""How often raters preferred iqsr-compact-x4 to each other method.

    python evaluation/fast/ratings/count.py

key.json says for each part and pair: the other method, the picture, and whether iqsr-compact-x4 was on the left.
A rater's answers are in `PART-RATER.csv`.
"""

import csv
import json
import random
from collections import defaultdict
from pathlib import Path

HERE = Path(__file__).parent
DRAWS = 10_000


def answers() -> dict[str, dict[str, list[bool]]]:
    """By method and picture: whether iqsr-compact-x4 was chosen, once for each rater."""
    key = json.loads((HERE / "key.json").read_text())
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(HERE.glob("*.csv")):
        pairs = key[path.stem.split("-")[0]]
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                pair = pairs[f"{int(row['pair']):02}"]
                chosen = (row["choice"].strip() == "LEFT") == pair["left"]
                found[pair["method"]][pair["picture"]].append(chosen)
    return found


def share(pictures: dict[str, list[bool]]) -> tuple[float, float, float]:
    """The share of answers, and its 95 % interval: bootstrap over pictures."""
    rng, each = random.Random(0), list(pictures.values())

    def of(some: list[list[bool]]) -> float:
        return sum(map(sum, some)) / sum(map(len, some))

    drawn = sorted(of(rng.choices(each, k=len(each))) for _ in range(DRAWS))
    return of(each), drawn[DRAWS // 40], drawn[-DRAWS // 40]


def table() -> str:
    """Markdown."""
    lines = ["| iqsr-compact-x4 against | preferred | 95 % | mild damage | hard damage | pictures | answers |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for method, pictures in sorted(answers().items()):
        whole, low, high = share(pictures)
        kinds = [{name: of for name, of in pictures.items() if name.startswith(kind)} for kind in ("mild", "hard")]
        mild, hard = (f"{share(kind)[0]:.0%}" if kind else "" for kind in kinds)
        count = sum(map(len, pictures.values()))
        lines.append(
            f"| {method} | {whole:.1%} | {low:.0%} to {high:.0%} | {mild} | {hard} | {len(pictures)} | {count} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table())
