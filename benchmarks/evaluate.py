"""How fast `iqsr evaluate` measures pictures made elsewhere, against a loop that calls IQA-PyTorch.

    python benchmarks/evaluate.py [--pictures 100] [--models 4] [--side 256] [--rounds 3]

Both read the same PNG files and compute the same six metrics: the loop metric by metric and picture by picture, as
IQA-PyTorch's command does; iqsr as one evaluation without the report and without a cache. Contenders take turns; ratios
are taken within a round. Their means have to agree. Writes benchmarks/results/evaluate.md and evaluate.json. Needs
`pip install 'iqsr[bench,toolbox]'` and an idle machine.
"""

from __future__ import annotations

import tempfile
import time
from argparse import ArgumentParser, Namespace
from collections.abc import Callable
from itertools import count
from pathlib import Path
from typing import Any

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from iqsr.evaluation.recipe import checked
from iqsr.evaluation.run import Setting, run
from iqsr.io.weights import locate
from measure import Spread, Work, alternate
from score import pictures
from setting import RESULTS, Result, cores, described, environment, write

PACKAGES = ("torch", "pyiqa", "iqsr")
METRICS: dict[str, tuple[str, dict[str, Any]]] = {
    "psnr": ("psnr", {}),
    "psnr-y": ("psnr", {"test_y_channel": True, "color_space": "ycbcr"}),
    "ssim": ("ssimc", {}),
    "ms_ssim": ("ms_ssim", {"test_y_channel": False}),
    "stlpips": ("stlpips", {}),
    "piqe": ("piqe", {}),
}
"""By iqsr's name: IQA-PyTorch's, and what makes the two the same. iqsr has piqe from IQA-PyTorch."""
_TOLERANCE = 2e-3
"""Of means, relative: IQA-PyTorch counts places of negative structure as 0."""
LOOP, OURS = "IQA-PyTorch, metric by metric", "iqsr evaluate"


def main() -> None:
    parser = ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--pictures", type=int, default=100)
    parser.add_argument("--models", type=int, default=4)
    parser.add_argument("--side", type=int, default=256)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--metrics", default=",".join(METRICS), help="some of the six")
    parser.add_argument("--threads", type=int, default=cores(), help="all cores by default")
    parser.add_argument("--out", type=Path, default=RESULTS, help="folder")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    names = args.metrics.split(",")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        models = sets(folder, args.pictures, args.models, args.side)
        loop = Loop(names)
        of_processor: dict[str, list[float]] = {LOOP: [], OURS: []}
        works = {
            LOOP: timed(lambda: loop(folder / "HR", models), of_processor[LOOP]),
            OURS: timed(ours(folder, models, names), of_processor[OURS]),
        }
        means: dict[str, Tensor] = {}
        seconds = alternate(works, args.rounds, on_output=means.__setitem__)
    torch.testing.assert_close(means[OURS], means[LOOP], rtol=_TOLERANCE, atol=_TOLERANCE)
    found = {
        "environment": environment(Namespace(quick=False, threads=args.threads), PACKAGES),
        **{key: getattr(args, key) for key in ("pictures", "models", "side", "rounds")},
        "metrics": names,
        "seconds": seconds,
        "loop / iqsr": Spread.of_ratios(seconds[LOOP], seconds[OURS]).plain(),
        "processor seconds": of_processor,
        "loop / iqsr, processor": Spread.of_ratios(of_processor[LOOP], of_processor[OURS]).plain(),
        "seconds of the loop by metric": loop.seconds,
    }
    write(found, markdown(found), args.out, "evaluate")


def timed(work: Work, seconds: list[float]) -> Work:
    """The work, which also notes its seconds of processor time: other programs change them less than the clock's."""

    def noted() -> Tensor:
        started = time.process_time()
        out = work()
        seconds.append(time.process_time() - started)
        return out

    return noted


def sets(folder: Path, number: int, models: int, side: int) -> list[Path]:
    """Originals in HR, inputs in LR, and a folder of outputs a model: originals with noise, the first with least."""
    rng = np.random.default_rng(0)
    found = [folder / f"model{k}" for k in range(models)]
    for place in (folder / "HR", folder / "LR", *found):
        place.mkdir()
    (folder / "whole").mkdir()
    for path in pictures(folder / "whole", number):
        original = Image.open(path).crop((0, 0, side, side))
        original.save(folder / "HR" / path.name)
        original.resize((side // 4, side // 4), Image.Resampling.BICUBIC).save(folder / "LR" / path.name)
        for k, place in enumerate(found):
            noise = rng.normal(0, 2 + 2 * k, (side, side, 3))
            values = np.clip(np.asarray(original) + noise, 0, 255).round().astype(np.uint8)
            Image.fromarray(values).save(place / path.name)
    return found


def ours(folder: Path, models: list[Path], names: list[str]) -> Work:
    """One evaluation, in a new folder each time, to the means of each model by each metric."""
    recipe = checked(
        {
            "data": {"path": str(folder)},
            "models": [{"model": str(place)} for place in models],
            "metrics": names,
            "gold_standard": False,
        }
    )
    number = count()

    def work() -> Tensor:
        found = run(recipe, folder / f"results{next(number)}", Setting(device="cpu"))
        return torch.tensor(found.means()[names].to_numpy())

    return work


class Loop:
    """What people write: for each metric, for each model, for each picture, one call with the names of two files."""

    def __init__(self, names: list[str]) -> None:
        self.seconds: dict[str, float] = dict.fromkeys(names, 0.0)
        """By metric, all rounds together."""
        self._metrics: dict[str, Callable[..., Tensor]] = {name: self._made(name) for name in names}

    def __call__(self, originals: Path, models: list[Path]) -> Tensor:
        """The means, a row a model."""
        columns: list[list[float]] = []
        for name, metric in self._metrics.items():
            started = time.perf_counter()
            columns.append([self._mean(name, metric, originals, place) for place in models])
            self.seconds[name] += time.perf_counter() - started
        return torch.tensor(columns, dtype=torch.float64).T

    @staticmethod
    def _mean(name: str, metric: Callable[..., Tensor], originals: Path, place: Path) -> float:
        files = sorted(place.iterdir())
        alone = name == "piqe"
        values = [
            float(metric(str(file)) if alone else metric(str(file), str(originals / file.name))) for file in files
        ]
        return sum(values) / len(values)

    @staticmethod
    def _made(name: str) -> Callable[..., Tensor]:
        import pyiqa

        theirs, settings = METRICS[name]
        if name == "stlpips":
            settings = {"pretrained_model_path": str(locate("lpips-st-alex"))}
        return pyiqa.create_metric(theirs, device=torch.device("cpu"), **settings)


def markdown(found: Result) -> str:
    ratio, seconds = found["loop / iqsr"], found["seconds"]
    processor, of_processor = found["loop / iqsr, processor"], found["processor seconds"]
    lines = [
        "To reproduce, on a machine that does nothing else: `pip install 'iqsr[bench,toolbox]' && "
        "python benchmarks/evaluate.py`",
        "",
        "# Speed of an evaluation",
        "",
        described(found["environment"]),
        "",
        f"{found['pictures']} PNG pictures of {found['side']} x {found['side']}, {found['models']} models, by "
        f"{', '.join(f'`{name}`' for name in found['metrics'])}. Both compute the same means.",
        "",
        f"A loop over IQA-PyTorch takes **{ratio['median']:.2f} times** as long as `iqsr evaluate` "
        f"({ratio['min']:.2f} to {ratio['max']:.2f} over {found['rounds']} rounds), and **{processor['median']:.2f} "
        f"times** its processor time ({processor['min']:.2f} to {processor['max']:.2f}), which other programs on the "
        "machine change less." + (_BUSY if _was_busy(found) else ""),
        "",
        "| contender | s, by round | s of processor time, by round |",
        "|---|---|---|",
        *(f"| {name} | {_listed(seconds[name])} | {_listed(of_processor[name])} |" for name in seconds),
    ]
    return "\n".join(lines) + "\n"


_BUSY = " Other programs had most of the machine's time during this run."


def _was_busy(found: Result) -> bool:
    """Whether the loop, which never waits, had less than half of its threads' time."""
    given = sum(found["processor seconds"][LOOP]) / found["environment"]["threads"]
    return given < 0.5 * sum(found["seconds"][LOOP])


def _listed(seconds: list[float]) -> str:
    return ", ".join(f"{s:.1f}" for s in seconds)


if __name__ == "__main__":
    main()
