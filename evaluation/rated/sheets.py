"""Blind sheets of the rated set for one rater, and the raters' answers back as one table.

    python evaluation/rated/sheets.py make OUT RATER
    python evaluation/rated/sheets.py collect OUT TABLE.csv

`make` writes OUT/sheets/RATER/NNNN.png, three pairs a sheet, and the key to OUT/keys, of scenes that are complete and
have no sheet yet. `collect` reads all OUT/answers/RATER*.csv, lines of `pair,choice,strength`.

Each rater sees the pairs in another order, sides drawn by lot. A choice is LEFT or RIGHT, a strength 1 (barely), 2
(clearly) or 3 (strongly).
"""

import csv
import json
import random
import sys
from pathlib import Path

from PIL import Image, ImageDraw

PER_SHEET, GAP, HEAD = 3, 16, 20


def make(out: Path, rater: str) -> None:
    path = out / "keys" / f"{rater}.json"
    key: dict[str, dict[str, str]] = json.loads(path.read_text()) if path.exists() else {}
    before, rng = len(key), random.Random(f"{rater}{len(key)}")
    pairs = to_rate(out, {pair["scene"] for pair in key.values()})
    rng.shuffle(pairs)
    folder = out / "sheets" / rater
    folder.mkdir(parents=True, exist_ok=True)
    for start in range(0, len(pairs), PER_SHEET):
        rows = []
        for number, pair in enumerate(pairs[start : start + PER_SHEET], before + start + 1):
            left, right = ("first", "second") if rng.random() < 0.5 else ("second", "first")
            key[f"{number:04}"] = {"scene": pair["scene"], "left": pair[left], "right": pair[right]}
            rows.append((f"{number:04}", [picture(out, pair["scene"], pair[side]) for side in (left, right)]))
        sheet(rows).save(folder / f"{int(rows[0][0]):04}.png")
    path.parent.mkdir(exist_ok=True)
    path.write_text(json.dumps(key, indent=0))
    print(f"{len(pairs)} more pairs in {folder}")


def to_rate(out: Path, rated: set[str]) -> list[dict[str, str]]:
    """Pairs of the scenes all of whose pictures are there, without those that have been rated."""
    pairs = [pair for pair in csv.DictReader((out / "pairs.csv").open()) if pair["scene"] not in rated]

    def is_there(pair: dict[str, str]) -> bool:
        folder = out / "pictures" / pair["scene"]
        return all((folder / f"{pair[side]}.png").exists() for side in ("first", "second"))

    missing = {pair["scene"] for pair in pairs if not is_there(pair)}
    return [pair for pair in pairs if pair["scene"] not in missing]


def picture(out: Path, scene: str, method: str) -> Image.Image:
    return Image.open(out / "pictures" / scene / f"{method}.png").convert("RGB")


def sheet(rows: list[tuple[str, list[Image.Image]]]) -> Image.Image:
    side = rows[0][1][0].width
    image = Image.new("RGB", (2 * side + GAP, len(rows) * (side + HEAD)), "white")
    draw = ImageDraw.Draw(image)
    for row, (number, (left, right)) in enumerate(rows):
        top = row * (side + HEAD)
        draw.text((4, top + 4), f"pair {number}   LEFT", fill="black")
        draw.text((side + GAP + 4, top + 4), f"pair {number}   RIGHT", fill="black")
        image.paste(left, (0, top + HEAD))
        image.paste(right, (side + GAP, top + HEAD))
    return image


def collect(out: Path, table: Path) -> None:
    found: dict[tuple[str, str, str], tuple[str, int]] = {}
    for path in sorted((out / "answers").glob("*.csv")):
        rater = path.stem.split("-")[0]
        key = json.loads((out / "keys" / f"{rater}.json").read_text())
        for row in csv.reader(path.open()):
            if len(row) < 2 or row[1].strip().upper() not in ("LEFT", "RIGHT"):
                continue
            pair = key[row[0].strip().zfill(4)]
            first, second = sorted((pair["left"], pair["right"]))
            strength = int(row[2]) if len(row) > 2 and row[2].strip() in ("1", "2", "3") else 2
            found[pair["scene"], f"{first},{second}", rater] = (pair[row[1].strip().lower()], strength)
    with table.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["scene", "first", "second", "rater", "preferred", "strength"])
        for (scene, methods, rater), (preferred, strength) in sorted(found.items()):
            rows.writerow([scene, *methods.split(","), rater, preferred, strength])
    print(f"{len(found)} ratings in {table}")


if __name__ == "__main__":
    task, first, second = sys.argv[1:]
    make(Path(first), second) if task == "make" else collect(Path(first), Path(second))
