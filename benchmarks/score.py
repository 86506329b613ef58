"""How fast `iqsr score --metrics srq` is, against IQA-PyTorch's NIMA with random weights, on 512-px pictures.

    python benchmarks/score.py [--pictures 24] [--rounds 5]

Both read the same PNG files; IQA-PyTorch as its command does it, one picture at a time. Contenders take turns;
ratios are taken within a round. Random weights say all about speed and nothing about quality. Writes
benchmarks/results/score.md and score.json. Needs `pip install 'iqsr[bench,toolbox]'` and an idle machine.
"""

from __future__ import annotations

import tempfile
from argparse import ArgumentParser, Namespace
from pathlib import Path
from typing import Any

import numpy as np
import timm
import torch
from PIL import Image
from torch import Tensor, nn

from iqsr.device import bf16_pays
from iqsr.metrics import load_metric
from iqsr.scoring import score_files
from measure import Spread, Work, alternate
from setting import RESULTS, Result, cores, described, environment, write

SIDE = 512
PACKAGES = ("torch", "pyiqa", "timm", "iqsr")


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=24)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    args = parser.parse_args()
    torch.set_num_threads(cores())
    with tempfile.TemporaryDirectory() as folder:
        paths = pictures(Path(folder), args.pictures)
        seconds = alternate(contenders(paths), args.rounds)
    names = list(seconds)
    ratios = {n: Spread.of_ratios(seconds[names[0]], seconds[n]).plain() for n in names[1:]}
    ran_on = environment(Namespace(quick=False, threads=cores()), PACKAGES)
    found = {"environment": ran_on, "pictures": args.pictures, "side": SIDE, "times as fast as NIMA": ratios}
    write(found, markdown(found), args.out, "score")


def contenders(paths: list[Path]) -> dict[str, Work]:
    """IQA-PyTorch's NIMA first; then the files through iqsr, in each precision that the machine computes in."""
    nima = random_nima()

    def one_by_one() -> Tensor:
        return torch.cat([nima(read(path)).flatten() for path in paths])

    def scored(precision: str) -> Work:
        load_metric("srq", precision=precision)  # type: ignore[arg-type]
        return lambda: torch.tensor(score_files(paths, ["srq"], precision=precision)["srq"].to_numpy())

    found = {"NIMA, IQA-PyTorch": one_by_one, "srq, fp32": scored("fp32")}
    return found | ({"srq, bf16": scored("bf16")} if bf16_pays(torch.device("cpu")) else {})


def random_nima() -> nn.Module:
    """The default variant (Inception-ResNet v2), which IQA-PyTorch builds only with downloaded features."""
    from pyiqa.archs import nima_arch

    create = timm.create_model

    def without_download(*args: Any, **settings: Any) -> nn.Module:
        return create(*args, **(settings | {"pretrained": False}))

    nima_arch.timm.create_model = without_download
    try:
        return nima_arch.NIMA("inception_resnet_v2", pretrained=False).eval()
    finally:
        nima_arch.timm.create_model = create


def read(path: Path) -> Tensor:
    pixels = np.array(Image.open(path).convert("RGB"))
    return torch.from_numpy(pixels).permute(2, 0, 1)[None].float() / 255


def pictures(folder: Path, count: int) -> list[Path]:
    """Crops of scikit-image's astronaut and coffee, enlarged to hold 512 x 512, as PNG."""
    from skimage import data

    photos = [Image.fromarray(photo) for photo in (data.astronaut(), data.coffee())]
    large = [photo.resize((900, 900), Image.Resampling.LANCZOS) for photo in photos]
    paths: list[Path] = []
    for number in range(count):
        left, top = 13 * number % 388, 29 * number % 388
        crop = large[number % 2].crop((left, top, left + SIDE, top + SIDE))
        paths.append(folder / f"{number}.png")
        crop.save(paths[-1])
    return paths


def markdown(found: Result) -> str:
    lines = [
        "To reproduce, on a machine that does nothing else: `pip install 'iqsr[bench,toolbox]' && "
        "python benchmarks/score.py`",
        "",
        "# Scoring speed",
        "",
        described(found["environment"]),
        "",
        f"{found['pictures']} PNG pictures of {found['side']} x {found['side']}. Times as fast as "
        "IQA-PyTorch's NIMA (random weights, one picture at a time), median and range over the rounds.",
        "",
        "| contender | times as fast |",
        "|---|--:|",
    ]
    for name, ratio in found["times as fast as NIMA"].items():
        lines.append(f"| {name} | {ratio['median']:.2f} ({ratio['min']:.2f} to {ratio['max']:.2f}) |")
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
