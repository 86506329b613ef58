"""Blind sheets of two folders of pictures for several raters, and their answers in the form of `ratings.py`.

    python evaluation/sharpened/blind.py make TESTED OTHER SHEETS KEY.json --raters r1 r2 r3
    python evaluation/sharpened/blind.py keep SHEETS KEY.json... OUT

`make` pairs pictures of the same name; the folders' names are the methods'. SHEETS/RATER/sheets gets a rater's sheets,
three pairs each, in an order and with sides of the rater's own. A rater adds SHEETS/RATER/answers.csv, lines of
`pair,choice,strength,reason`, choice LEFT or RIGHT. `keep` writes OUT-KIND for each kind of picture (what is before the
first `-` of its name) and prints the tables. It joins several keys of one tested method; each has raters of its own.
"""

import argparse
import csv
import json
import random
import sys
from collections import Counter
from pathlib import Path

from PIL import Image

sys.path.insert(0, str(Path(__file__).parents[1]))  # ratings
sys.path.insert(0, str(Path(__file__).parents[1] / "rated"))  # sheets

from ratings import table
from sheets import PER_SHEET, sheet

COLUMNS = ["pair", "choice", "strength", "reason"]
Pair = dict[str, str | bool]
"""The other method, the picture's name, and whether the tested method is on the left."""
Part = dict[str, Pair]
"""A rater's pairs by number."""


def make(tested: Path, other: Path, out: Path, key_path: Path, raters: list[str]) -> None:
    names = sorted({path.name for path in tested.glob("*.png")} & {path.name for path in other.glob("*.png")})
    parts: dict[str, Part] = {}
    for rater in raters:
        rng, part = random.Random(rater), {}
        rows = []
        for number, name in enumerate(rng.sample(names, len(names))):
            left = rng.random() < 0.5
            part[f"{number:02}"] = {"method": other.name, "picture": Path(name).stem, "left": left}
            folders = (tested, other) if left else (other, tested)
            rows.append((f"{number:02}", [Image.open(folder / name).convert("RGB") for folder in folders]))
        (out / rater / "sheets").mkdir(parents=True, exist_ok=True)
        for start in range(0, len(rows), PER_SHEET):
            shown = sheet(rows[start : start + PER_SHEET])
            shown.save(out / rater / "sheets" / f"sheet{start // PER_SHEET:02}.png")
        parts[rater] = part
    key_path.parent.mkdir(parents=True, exist_ok=True)
    key_path.write_text(json.dumps({"tested": tested.name, "parts": parts}, indent=0))
    print(f"{len(names)} pairs for each of {len(raters)} raters in {out}; keep {key_path} from them")


def keep(sheets: Path, key_paths: list[Path], out: Path) -> None:
    tested, joined = join(key_paths)
    answers = {rater: read_answers(sheets / rater / "answers.csv", part) for rater, part in joined.items()}
    for kind in sorted({kind_of(pair) for part in joined.values() for pair in part.values()}):
        folder = out.with_name(f"{out.name}-{kind}")
        folder.mkdir(parents=True, exist_ok=True)
        of_kind = {
            rater: {number: pair for number, pair in part.items() if kind_of(pair) == kind}
            for rater, part in joined.items()
        }
        parts = {rater: part for rater, part in of_kind.items() if part}
        (folder / "key.json").write_text(json.dumps({"tested": tested, "parts": parts}, indent=0))
        for rater, part in parts.items():
            with (folder / f"{rater}-answers.csv").open("w", newline="") as file:
                writer = csv.DictWriter(file, COLUMNS, extrasaction="ignore", lineterminator="\n")
                writer.writeheader()
                writer.writerows(answers[rater][number] for number in part)
        print(f"{kind}\n\n{table(folder)}\n")


def join(key_paths: list[Path]) -> tuple[str, dict[str, Part]]:
    """The tested method, and the pairs of every rater. Ends the program if the keys do not belong together."""
    keys = [json.loads(path.read_text()) for path in key_paths]
    if len({key["tested"] for key in keys}) > 1:
        raise SystemExit("the keys test different methods: keep them apart")
    counts = Counter(rater for key in keys for rater in key["parts"])
    if again := sorted(rater for rater, count in counts.items() if count > 1):
        raise SystemExit(f"{', '.join(again)}: in two keys; give each key raters of its own")
    return keys[0]["tested"], {rater: part for key in keys for rater, part in key["parts"].items()}


def kind_of(pair: Pair) -> str:
    return str(pair["picture"]).split("-")[0]


def read_answers(path: Path, part: Part) -> dict[str, dict[str, str]]:
    """A rater's line for each pair. Ends the program if one is missing, there twice, or no choice."""
    found: dict[str, dict[str, str]] = {}
    with path.open(newline="") as file:
        for row in csv.DictReader(file):
            number = f"{int(row['pair']):02}"
            row |= {"pair": number, "choice": row["choice"].strip()}
            if number in found or number not in part or row["choice"] not in ("LEFT", "RIGHT"):
                raise SystemExit(f"{path}: pair {number} is there twice, or unknown, or not LEFT or RIGHT")
            found[number] = row
    if missing := sorted(part.keys() - found.keys()):
        raise SystemExit(f"{path}: no answer to {', '.join(missing)}")
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    making = commands.add_parser("make")
    for name in ("tested", "other", "sheets", "key"):
        making.add_argument(name, type=Path)
    making.add_argument("--raters", nargs="+", required=True)
    keeping = commands.add_parser("keep")
    keeping.add_argument("sheets", type=Path)
    keeping.add_argument("keys", type=Path, nargs="+")
    keeping.add_argument("out", type=Path)
    options = parser.parse_args()
    if options.command == "make":
        make(options.tested, options.other, options.sheets, options.key, options.raters)
    else:
        keep(options.sheets, options.keys, options.out)


if __name__ == "__main__":
    main()
