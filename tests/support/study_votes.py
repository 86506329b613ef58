"""Studies for tests of the analysis: synthetic raters with known tastes, and pictures to rate."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from iqsr.study.design import ATTENTION, Design, Kind, Seat, Trial, write_design
from iqsr.study.votes import Vote, write_votes


def raters_with_shares(wins: Sequence[int], pairs: int = 25, pictures: int = 100) -> list[Vote]:
    """A rater for each number of wins: so many of the rater's votes are for `ours`, the others for `theirs`."""
    votes: list[Vote] = []
    for rater, count in enumerate(wins):
        for pair in range(pairs):
            shown = ("ours", "theirs") if (rater + pair) % 2 else ("theirs", "ours")
            chosen = "ours" if pair < count else "theirs"
            picture = f"p{(rater * pairs + pair) % pictures:03}"
            votes.append(Vote(f"r{rater:02}", f"r{rater:02}-{pair:02}", picture, shown, chosen, seconds=2.0 + pair % 3))
    return votes


def check(vote: Vote, number: int, chosen: str, kind: Kind = "attention") -> Vote:
    """An attention check of that vote's rater."""
    shown = (vote.shown[0], ATTENTION)
    return Vote(vote.rater, f"{vote.rater}-c{number}", vote.picture, shown, chosen, kind)


def save_study(folder: Path, votes: Sequence[Vote], side: int = 64) -> Design:
    """A folder with the votes, their design and pictures: `ours` is sharper than `theirs`."""
    names = tuple(dict.fromkeys(vote.picture for vote in votes))
    methods = tuple(sorted({method for vote in votes for method in vote.shown if method != ATTENTION}))
    by_rater: dict[str, list[Trial]] = {}
    for vote in votes:
        by_rater.setdefault(vote.rater, []).append(Trial(vote.trial, vote.picture, vote.shown, vote.kind))
    seats = tuple(Seat(name, tuple(trials)) for name, trials in by_rater.items())
    files = {name: {m: f"{place:03}{k}.png" for k, m in enumerate(methods)} for place, name in enumerate(names)}
    (folder / "pictures").mkdir(parents=True)
    rng = np.random.default_rng(0)
    for by_method in files.values():
        noise = rng.integers(0, 256, (side, side, 3), dtype=np.uint8)
        for k, file in enumerate(by_method.values()):
            image = Image.fromarray(noise).resize((side, side), Image.Resampling.BOX)
            image = image.reduce(2 * k).resize((side, side), Image.Resampling.BICUBIC) if k else image
            image.save(folder / "pictures" / file)
    design = Design(0, "slider", "balanced", methods, names, len(seats[0].trials), seats, files)
    write_design(design, folder)
    write_votes(votes, folder / "votes.csv")
    return design
