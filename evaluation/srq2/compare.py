"""How often srq-2 agrees with raters and people, with the method that is judged left out; beside other metrics.

    python evaluation/srq2/compare.py STATISTICS VOTES.csv [--biq SCORES.csv] [--gan JUDGEMENTS.csv]

STATISTICS is a folder of files made by measure.py: rated, ladders and votes (learned from), with
`--metrics srq,laplacian,piqe`; and where there, laddertest (ladders.py --judge), empty, biqtest (BIQ2021's official
test split) and gan (gan-image-database). Writes srq-2.md and srq-2.json beside this file.
"""

import argparse
import csv
import json
from pathlib import Path

import numpy as np
from scipy.stats import spearmanr

from heads import DefectSpace, Head, learn_sharpness, scores
from learn import RATINGS
from pairs import FOLDS, SAME_DEFECT, Pairs, ladder_pairs, rated_pairs, voted_pairs

RESULTS = Path(__file__).parent
METRICS = ("srq", "piqe", "laplacian")
TWIN = {"RealESRGAN": "x4plus", "x4plus": "RealESRGAN"}
"""The same network in votes and ratings."""


class Judged:
    """Pairs that were asked, whether the answer was right, and the method that was left out."""

    def __init__(self) -> None:
        self.rows: list[tuple[bool, str, str, str]] = []

    def ask(self, values: np.ndarray, pairs: Pairs, method: str = "") -> None:
        right = (values[pairs.first] > values[pairs.second]) == (pairs.share > 0.5)
        self.rows += list(zip(right, pairs.scene, pairs.kind, [method] * len(right), strict=True))

    def share(self, *kinds: str, method: str | None = None) -> dict[str, float]:
        """In per cent, with the 95 % interval by bootstrap over scenes."""
        chosen = [r for r in self.rows if (not kinds or r[2] in kinds) and method in (None, r[3])]
        right, scene = np.array([r[0] for r in chosen], float), np.array([r[1] for r in chosen])
        names, index = np.unique(scene, return_inverse=True)
        sums, counts = np.bincount(index, right), np.bincount(index)
        drawn = np.random.default_rng(0).integers(0, len(names), (1000, len(names)))
        low, high = np.quantile(sums[drawn].sum(1) / counts[drawn].sum(1), (0.025, 0.975))
        return {"share": 100 * right.mean(), "low": 100 * low, "high": 100 * high, "n": len(right)}


class Study:
    def __init__(self, statistics: Path, votes: Path) -> None:
        self.sets = {path.stem: dict(np.load(path)) for path in sorted(statistics.glob("*.npz"))}
        self.rated = rated_pairs(self.sets["rated"]["names"], RATINGS)
        self.ladders = ladder_pairs(self.sets["ladders"]["names"])
        self.votes = voted_pairs(self.sets["votes"]["names"], votes)
        self.space = DefectSpace(self.sets["rated"]["deep"], self.sets["ladders"]["deep"])
        self.deviation = self.sets["rated"]["sharp"].std(0)

    def sharpness(self, chosen: np.ndarray) -> Head:
        return learn_sharpness(self.sets["votes"]["sharp"], self.votes.where(chosen), self.deviation)

    def scores(self, name: str, defects: Head, sharpness: Head) -> np.ndarray:
        return scores(self.sets[name]["deep"], self.sets[name]["sharp"], defects, sharpness)

    def ladders_without(self, method: str) -> Pairs:
        if method == "original":
            return self.ladders.where(self.ladders.first_method != "clean")
        return self.ladders.where(self.ladders.second_method != SAME_DEFECT.get(method, ""))

    def rated_left_out(self) -> Judged:
        """Each method and each fold of scenes left out in turn, with the ladder of the same defect."""
        found, fold, pairs = Judged(), self.rated.fold, self.rated
        for method in pairs.methods:
            sharpness, start = self.sharpness(~self.votes.has(TWIN.get(method, ""))), None
            for number in range(FOLDS):
                asked = pairs.has(method) & (fold == number) & (pairs.kind == "agreed")
                if asked.any():
                    learned = pairs.where(~pairs.has(method) & (fold != number))
                    defects, start = self.space.learn(learned, self.ladders_without(method), start)
                    found.ask(self.scores("rated", defects, sharpness), pairs.where(asked), method)
        return found

    def votes_left_out(self) -> Judged:
        found, fold, pairs = Judged(), self.votes.fold, self.votes
        for method in pairs.methods:
            defects, _ = self.space.learn(self.rated.where(~self.rated.has(TWIN.get(method, ""))), self.ladders)
            for number in range(FOLDS):
                asked = pairs.has(method) & (fold == number) & (pairs.share != 0.5)
                if asked.any():
                    sharpness = self.sharpness(~pairs.has(method) & (fold != number))
                    found.ask(self.scores("votes", defects, sharpness), pairs.where(asked), method)
        return found


def liked_best(pairs: Pairs) -> Judged:
    """Always the method that other scenes prefer."""
    found = Judged()
    for row in np.flatnonzero(pairs.share != 0.5):
        other = pairs.where(pairs.scene != pairs.scene[row])

        def liking(method: str, other: Pairs = other) -> float:
            first, second = other.first_method == method, other.second_method == method
            return float(np.concatenate([other.share[first], 1 - other.share[second]]).mean())

        order = liking(pairs.first_method[row]) > liking(pairs.second_method[row])
        right = order == (pairs.share[row] > 0.5)
        found.rows.append((bool(right), pairs.scene[row], pairs.kind[row], ""))
    return found


def shares(rated: Judged, votes: Judged) -> dict[str, dict[str, float]]:
    return {
        "rated": rated.share("agreed"),
        "ordered": votes.share("open", "clear"),
        "clear": votes.share("clear"),
        "laboratory": votes.share("laboratory"),
    }


def ladder_shares(values: np.ndarray, pairs: Pairs) -> dict[str, float]:
    falls = values[pairs.first] > values[pairs.second]
    found = {kind: 100 * float(falls[pairs.kind == kind].mean()) for kind in ("step", "clean", "far")}
    steps = pairs.kind == "step"
    return found | {
        d: 100 * float(falls[steps & (pairs.second_method == d)].mean()) for d in pairs.methods if d != "clean"
    }


def biq(values: np.ndarray, names: np.ndarray, table: Path) -> dict[str, float]:
    """Rank correlation with mean opinion scores, whole and for each subset."""
    mean = {row["Image Name"]: float(row["MOS"]) for row in csv.DictReader(table.open())}
    files = [Path(name).name for name in names]
    scored, subset = np.array([mean[file] for file in files]), np.array([file[:4] for file in files])
    found = {"all": float(spearmanr(scored, values).statistic)}
    return found | {s: float(spearmanr(scored[subset == s], values[subset == s]).statistic) for s in np.unique(subset)}


def gan(values: np.ndarray, names: np.ndarray, table: Path) -> Judged:
    """Pairs of one picture's versions; 1 in the table means that the second was chosen."""
    place: dict[tuple[int, str, str], int] = {}
    for row, name in enumerate(names):
        number, model, *quality = Path(name).stem.split("_")
        place[int(number), model, quality[0] if quality else ""] = row
    found = Judged()
    for row in csv.DictReader(table.open(encoding="utf-8-sig")):
        first, second = ((int(row[f"Image_{s}"]), row[f"Model_{s}"], row[f"Quality_{s}"]) for s in "AB")
        answers = [int(value) for key, value in row.items() if key.isdigit() and value]
        chosen = float(np.mean(answers))
        if first[0] == second[0] and chosen != 0.5 and first in place and second in place:
            right = (values[place[second]] > values[place[first]]) == (chosen > 0.5)
            found.rows.append((bool(right), str(first[0]), "same", ""))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("statistics", type=Path)
    parser.add_argument("votes", type=Path)
    parser.add_argument("--biq", type=Path, help="BIQ2021's table of its test split")
    parser.add_argument("--gan", type=Path, help="gan-image-database's results/jdg.csv")
    options = parser.parse_args()
    study = Study(options.statistics, options.votes)
    found = measured(study, options.biq, options.gan)
    (RESULTS / "srq-2.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "srq-2.md").write_text(markdown(found))
    print(markdown(found))


def measured(study: Study, biq_table: Path | None, gan_table: Path | None) -> dict:
    rated, votes = study.rated_left_out(), study.votes_left_out()
    people = {"srq-2, method left out": shares(rated, votes)}
    by_method = {m: rated.share(method=m) for m in study.rated.methods}
    by_method |= {f"{m} (votes)": votes.share("open", "clear", method=m) for m in study.votes.methods}
    for metric in METRICS:
        plain = Judged(), Judged()
        plain[0].ask(study.sets["rated"][metric], study.rated.where(study.rated.kind == "agreed"))
        plain[1].ask(study.sets["votes"][metric], study.votes.where(study.votes.share != 0.5))
        people[metric] = shares(*plain)
    laboratory = study.votes.kind == "laboratory"
    best = liked_best(study.votes.where(~laboratory))
    best.rows += liked_best(study.votes.where(laboratory)).rows
    people["the method liked best"] = shares(liked_best(study.rated.where(study.rated.kind == "agreed")), best)
    everything = np.ones(len(study.votes.first), bool)
    heads = study.space.learn(study.rated, study.ladders)[0], study.sharpness(everything)
    found: dict = {"people": people, "by method": by_method}
    if "laddertest" in study.sets:
        pairs = ladder_pairs(study.sets["laddertest"]["names"])
        found["ladders"] = ladder_shares(study.scores("laddertest", *heads), pairs)
    if biq_table:
        names = study.sets["biqtest"]["names"]
        found["biq"] = biq(study.scores("biqtest", *heads), names, biq_table)
    if gan_table:
        found["gan"] = gan(study.scores("gan", *heads), study.sets["gan"]["names"], gan_table).share()
    return found


def markdown(found: dict) -> str:
    lines = ["| judge | rated set | votes, ordered | votes, clear | votes, laboratory |", "|---|--:|--:|--:|--:|"]
    lines += [f"| {name} | {' | '.join(map(interval, row.values()))} |" for name, row in found["people"].items()]
    lines += ["", "| method left out | agreed |", "|---|--:|"]
    order = sorted(found["by method"].items(), key=lambda item: item[1]["share"])
    lines += [f"| {name} | {interval(row)} |" for name, row in order]
    for key, title in (("ladders", "Ladders, %"), ("biq", "BIQ2021's test split, SROCC")):
        if key in found:
            form = ".1f" if key == "ladders" else ".3f"
            lines += [
                "",
                f"{title}: " + ", ".join(f"{name} {value:{form}}" for name, value in found[key].items()) + ".",
            ]
    if "gan" in found:
        lines += ["", f"gan-image-database, pairs of the same picture: {interval(found['gan'])}."]
    return "\n".join(lines) + "\n"


def interval(row: dict[str, float]) -> str:
    return f"{row['share']:.1f} % ({row['low']:.0f} to {row['high']:.0f}; {row['n']})"


if __name__ == "__main__":
    main()
