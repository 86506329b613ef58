"""How often raters preferred one method to others.

    python evaluation/ratings.py FOLDER

FOLDER/key.json names the method that is tested and says for each part and pair: the other method, the picture, and
whether the tested one was on the left. A rater's answers are in `FOLDER/PART-RATER.csv`.
"""

import csv
import json
import random
import sys
from collections import defaultdict
from pathlib import Path

DRAWS = 10_000


def answers(folder: Path) -> tuple[str, dict[str, dict[str, list[bool]]]]:
    """The tested method; by other method and picture: whether the tested one was chosen, once for each rater."""
    key = json.loads((folder / "key.json").read_text())
    found: dict[str, dict[str, list[bool]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted(folder.glob("*.csv")):
        pairs = key["parts"][path.stem.split("-")[0]]
        with path.open(newline="") as file:
            for row in csv.DictReader(file):
                pair = pairs[f"{int(row['pair']):02}"]
                chosen = (row["choice"].strip() == "LEFT") == pair["left"]
                found[pair["method"]][pair["picture"]].append(chosen)
    return key["tested"], found


def share(pictures: dict[str, list[bool]]) -> tuple[float, float, float]:
    """The share of answers, and its 95 % interval: bootstrap over pictures."""
    rng, each = random.Random(0), list(pictures.values())

    def of(some: list[list[bool]]) -> float:
        return sum(map(sum, some)) / sum(map(len, some))

    drawn = sorted(of(rng.choices(each, k=len(each))) for _ in range(DRAWS))
    return of(each), drawn[DRAWS // 40], drawn[-DRAWS // 40]


def table(folder: Path) -> str:
    """Markdown."""
    tested, others = answers(folder)
    lines = [f"| {tested} against | preferred | 95 % | mild damage | hard damage | pictures | answers |"]
    lines.append("|---|--:|--:|--:|--:|--:|--:|")
    for method, pictures in sorted(others.items()):
        whole, low, high = share(pictures)
        kinds = [{name: of for name, of in pictures.items() if name.startswith(kind)} for kind in ("mild", "hard")]
        mild, hard = (f"{share(kind)[0]:.0%}" if kind else "" for kind in kinds)
        count = sum(map(len, pictures.values()))
        lines.append(
            f"| {method} | {whole:.1%} | {low:.0%} to {high:.0%} | {mild} | {hard} | {len(pictures)} | {count} |"
        )
    return "\n".join(lines)


if __name__ == "__main__":
    print(table(Path(sys.argv[1])))
