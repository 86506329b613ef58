"""Writes data sets in HGGT's layout: tiny pictures, label files as HGGT's annotators made them."""

import json
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

P, S, N = "Positive", "Similar", "Negative"
ENHANCED = ("01", "02", "03", "04")


def picture(path: Path, size: tuple[int, int] = (6, 4)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.fromarray(np.full((size[1], size[0], 3), 128, np.uint8)).save(path)


def label_json(labels: Sequence[str], name: str = "0001-0-288") -> str:
    """As HGGT's annotators' tool writes it."""
    pictures: dict[str, object] = {"Picture_1": {"Name": f"{name}.png", "File": "original", "Label": None}}
    for i, (file, label) in enumerate(zip(ENHANCED, labels, strict=True), 2):
        pictures[f"Picture_{i}"] = {"Name": f"{name}_{file}.png", "File": file, "Label": label}
    cost = {"Start": "2022-05-01 10:00:00", "End": "2022-05-01 10:00:09", "Total": 9}
    return json.dumps({**pictures, "Time_cost": cost}, ensure_ascii=False)


def add_set(
    root: Path, name: str, labels: Sequence[Sequence[str]] | None, *, part: str = "0-20193", original: str = "original"
) -> None:
    """One set below `root` (Train or Test-100); `labels` by annotator."""
    picture(root / "images" / part / original / f"{name}.png")
    for variant in ENHANCED:
        picture(root / "images" / part / variant / f"{name}_{variant}.png")
    for annotator, said in zip("ABC", labels or [], strict=False):
        file = root / "labels" / part / annotator / f"{name}.json"
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(label_json(said, name), encoding="utf-8")


MIXED = (  # by annotator; the columns are votes PPP, PPN, PSN, NNS
    (P, P, P, N),
    (P, P, S, N),
    (P, N, N, S),
)
SIMILAR = ((S, S, S, P), (S, S, S, S), (S, S, P, N))  # votes SSS, SSS, SSP, PSN: all Similar
NEGATIVE = ((N, S, S, S), (N, S, S, S), (S, S, S, S))  # votes NNS, then SSS: nothing positive


def three_sets(root: Path) -> Path:
    add_set(root, "0001-0-288", MIXED)
    add_set(root, "0001-288-0", SIMILAR)
    add_set(root, "0002-0-0", NEGATIVE)
    return root


def label_file(train: Path) -> Path:
    return train / "labels/0-20193/B/0001-0-288.json"


def changed(**changes: object) -> str:
    return json.dumps({**json.loads(label_json(MIXED[0])), **changes})
