"""What a training step costs: samplers, adapters, and a plain loop, taking turns in one run.

    python benchmarks/training.py SETS [--rounds 7]

SETS: sets of ground truths, from iqsr prepare. Every contender trains realesrgan-x4plus on the same batches; a round
is one step of each, in turn. Writes benchmarks/results/training.md and training.json.
"""

import argparse
import json
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F

from iqsr.generators import load_generator
from iqsr.quality import load_metric
from iqsr.quality.lpips_st import LpipsSt
from iqsr.recipes import read_recipe
from iqsr.training.sr.loop import Training
from iqsr.training.sr.recipe import TrainRecipe

RESULTS = Path(__file__).parent / "results"
RECIPE = Path(__file__).parents[1] / "recipes" / "cpu-amo-ft.toml"
COMMON = ("data.workers=0", "data.pool=0", "data.patch=128", "batch=2")
CONTENDERS = {
    "origins-only (a stand-in for upos: nothing is scored)": ("sampling.sampler=origins-only",),
    "amo, grid": (),
    "amo, online": ("sampling.grid=0",),
}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("sets", type=Path)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--memory-of", choices=("lora", "full"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.memory_of:
        print(peak(options.sets, options.memory_of))
        return
    with tempfile.TemporaryDirectory() as folder:
        steps = contenders(options.sets, Path(folder))
        times: dict[str, list[float]] = {name: [] for name in steps}
        for number in range(options.rounds + 1):
            for name, step in steps.items():
                began = time.perf_counter()
                step(number)
                if number:  # the first round warms up
                    times[name].append(time.perf_counter() - began)
    command = [sys.executable, __file__, str(options.sets), "--memory-of"]
    memory = {
        kind: float(subprocess.run([*command, kind], capture_output=True, text=True, check=True).stdout)
        for kind in ("lora", "full")
    }
    found = {"rounds": options.rounds, "seconds": times, "peak_gb": memory}
    (RESULTS / "training.json").write_text(json.dumps(found, indent=1) + "\n")
    (RESULTS / "training.md").write_text(markdown(found))
    print(markdown(found))


def contenders(sets: Path, folder: Path) -> dict[str, Callable[[int], None]]:
    """A step of each, by name."""
    steps: dict[str, Callable[[int], None]] = {}
    for number, (name, changes) in enumerate(CONTENDERS.items()):
        steps[name] = stepper(training(sets, folder / str(number), *changes))
    full = training(sets, folder / "full", full=True)
    steps["amo, grid, every weight learns"] = stepper(full)
    steps["plain loop (see below)"] = PlainLoop(sets, folder / "plain").step
    return steps


def training(sets: Path, out: Path, *changes: str, full: bool = False) -> Training:
    recipe = read_recipe(RECIPE, TrainRecipe, [*COMMON, *changes])
    if full:
        recipe = recipe.model_copy(update={"lora": None})
    return Training(recipe, sets, out, validation=None, resume=False)


def stepper(run: Training) -> Callable[[int], None]:
    batches = run._batches(lambda *_: None)

    def step(number: int) -> None:
        run.step = number
        run._learn_from(batches[number])

    return step


class PlainLoop:
    """The same objective as one would write it down: eager fp32, NCHW, every weight, each patch scored alone.

    Both trunks of the perceptual term get a graph, as metrics' packages do it, and the quality term is one more pass.
    """

    def __init__(self, sets: Path, out: Path) -> None:
        self.batches = training(sets, out, "sampling.sampler=origins-only")._batches(lambda *_: None)
        self.module = load_generator("realesrgan-x4plus").module.requires_grad_(True)
        self.optimizer = torch.optim.Adam(self.module.parameters(), lr=1e-4)
        self.perceptual, self.srq = LpipsSt("vgg"), load_metric("srq")

    def step(self, number: int) -> None:
        batch = self.batches[number]
        targets = []
        for gts in batch["gts"]:
            scores = [self.srq(x[None].float() / 255).item() for x in gts]
            targets.append(gts[scores.index(max(scores))].float() / 255)
        target = torch.stack(targets)
        output = self.module(batch["lr"])
        small = F.interpolate(output, scale_factor=0.25, mode="bicubic", antialias=True)
        loss = F.l1_loss(output, target) + self.perceptual(output, target).mean() + 0.5 * F.l1_loss(small, batch["lr"])
        loss = loss - 0.001 * self.srq(output.clamp(0, 1)).mean()
        self.optimizer.zero_grad()
        loss.backward()
        self.optimizer.step()


def peak(sets: Path, kind: str) -> float:
    """Peak resident memory of two steps in a process of its own, GB."""
    with tempfile.TemporaryDirectory() as folder:
        step = stepper(training(sets, Path(folder) / "run", "sampling.sampler=origins-only", full=kind == "full"))
        for number in range(2):
            step(number)
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


def markdown(found: dict) -> str:
    base = statistics.median(found["seconds"]["amo, grid"])
    lines = [
        f"Seconds a step, {found['rounds']} rounds in turn; medians (least to most) and ratios of medians.",
        "",
        "| contender | seconds | of amo, grid |",
        "|---|--:|--:|",
    ]
    for name, times in found["seconds"].items():
        middle = statistics.median(times)
        lines.append(f"| {name} | {middle:.2f} ({min(times):.2f} to {max(times):.2f}) | {middle / base:.2f} |")
    memory = found["peak_gb"]
    lines += ["", f"Peak memory: LoRA {memory['lora']:.2f} GB, every weight {memory['full']:.2f} GB.", ""]
    lines += [PlainLoop.__doc__.replace("\n    ", " ").strip() if PlainLoop.__doc__ else ""]
    return "\n".join(lines) + "\n"


if __name__ == "__main__":
    main()
