"""What a step of `iqsr train` costs: by sampler, with adapters or without, and against a plain loop.

    python benchmarks/training.py                     # writes benchmarks/results/training.md and .json
    python benchmarks/training.py --photos FOLDER     # of these, in the place of scikit-image's
    python benchmarks/training.py --only samplers     # one part anew; --help lists them
    python benchmarks/training.py --quick --out /tmp/quick

Contenders take turns; ratios are taken within a round. The plain loop (plain_loop.py) starts from the same adapters and
learns from the same batches, and its losses have to be ours. Needs `pip install 'iqsr[bench,toolbox,train]'` and a
machine that does nothing else.
"""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path

import torch
from torch import Tensor, nn

from iqsr.memory import keep_freed_memory
from iqsr.metrics import load_metric
from iqsr.models.lora import load_lora_state, lora_state
from iqsr.recipes import read_recipe
from iqsr.training.sr.data import Batch, Batches
from iqsr.training.sr.loop import Training
from iqsr.training.sr.networks import start
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.sets import Sets
from measure import Spread, Work, alternate
from photo_sets import write_sets
from plain_loop import PlainLoop, random_musiq
from setting import Result, environment, measured, options, write
from training_page import markdown

PACKAGES = ("torch", "peft", "pyiqa", "iqsr")
RECIPE = Path(__file__).with_suffix(".toml")
UPOS = ("sampling.sampler=upos", "data.sets=positive")
ONLINE = ("sampling.grid=0",)
GRID = ("sampling.grid=32",)
PAPERS_RANK = "lora.rank=24"
MUSIQ = ("sampling.metric=musiq-paq2piq", "objective.quality.musiq-paq2piq=1", "objective.quality.srq=0")
SAME = 1e-3
"""Relative difference of two losses that rounding may make, after some steps."""
LARGER = ("batch=4",)
PARTS = ("samplers", "adapters", "plain", "plain-4", "plain-rank-24", "plain-musiq", "plain-musiq-4", "memory")


@dataclass(frozen=True)
class Load:
    """What is trained, on what, how often."""

    changes: tuple[str, ...]
    """Of the recipe."""
    photos: int
    rounds: dict[str, int]
    """By part."""


ROUNDS = {
    "samplers": 13,
    "adapters": 7,
    "plain": 7,
    "plain-4": 5,
    "plain-rank-24": 4,
    "plain-musiq": 4,
    "plain-musiq-4": 4,
}
FULL = Load((), 4, ROUNDS)
TINY = ("model.start=new:rrdbnet-tiny", "objective.perceptual_features=lpips-st-alex")
QUICK = Load((*TINY, "data.source=96", "data.patch=64"), 1, dict.fromkeys(FULL.rounds, 2))


@dataclass(frozen=True)
class Bench:
    """Makes contenders; `folder` holds the sets they learn from, and their runs."""

    load: Load
    folder: Path
    threads: int

    def recipe(self, *changes: str) -> TrainRecipe:
        return read_recipe(RECIPE, TrainRecipe, [*self.load.changes, *changes])

    def batches(self, *changes: str) -> Batches:
        """Without scores."""
        recipe = self.recipe(*changes)
        return Batches(Sets(self.sets, recipe.data), recipe.data, batch=recipe.batch, seed=recipe.seed)

    def training(self, *changes: str) -> Training:
        return self._training(self.recipe(*changes))

    def full_training(self, *changes: str) -> Training:
        """Every weight learns."""
        return self._training(without_adapters(self.recipe(*changes)))

    def plain_loop(self, *changes: str, metric: nn.Module | None = None) -> PlainLoop:
        """metric: srq by default."""
        recipe = self.recipe(*changes)
        assert recipe.lora is not None
        return PlainLoop(
            start(without_adapters(recipe), self.folder).module,
            metric or load_metric("srq"),
            rank=recipe.lora.rank,
            trunk="alex" if recipe.objective.perceptual_features == "lpips-st-alex" else "vgg",
            lambda_q=recipe.objective.lambda_q,
            lr=recipe.optimiser.lr,
        )

    @property
    def sets(self) -> Path:
        return self.folder / "sets"

    def _training(self, recipe: TrainRecipe) -> Training:
        return Training(recipe, self.sets, Path(tempfile.mkdtemp(dir=self.folder)))


class Contender:
    """A step a call; keeps the losses."""

    def __init__(self, step: Callable[[Batch], float], draw: Callable[[], Batch]) -> None:
        self.step, self.draw = step, draw
        self.losses: list[float] = []

    @classmethod
    def of(cls, run: Training, draw: Callable[[], Batch] | None = None) -> Contender:
        """draw: where batches come from; made by the run itself, as a part of the step, by default."""
        return cls(lambda batch: sum(run.step(batch).values()), draw or run.draw)

    def __call__(self) -> Tensor:
        with torch.inference_mode(mode=False), torch.enable_grad():
            self.losses.append(self.step(self.draw()))
        return torch.tensor(self.losses[-1])


def without_adapters(recipe: TrainRecipe) -> TrainRecipe:
    return recipe.model_copy(update={"lora": None})


def main() -> None:
    parser = options(__doc__, PARTS, "one part anew; the others stay as they are in the results")
    parser.add_argument("--photos", type=Path, help="folder of photos to learn from; scikit-image's by default")
    args = parser.parse_args()
    torch.set_num_threads(args.threads)
    keep_freed_memory()  # as `iqsr train` does; here the plain loop has it, too
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(QUICK if args.quick else FULL, Path(folder), args.threads)
        write_sets(bench.sets, args.photos, count=bench.load.photos, side=bench.recipe().data.source)
        works: dict[str, Callable[[], Result]] = {
            "samplers": partial(samplers, bench),
            "adapters": partial(adapters, bench),
            "plain": partial(plain, bench, "plain"),
            "plain-4": partial(plain, bench, "plain-4", *LARGER),
            "plain-rank-24": partial(plain, bench, "plain-rank-24", PAPERS_RANK),
            "plain-musiq": partial(plain_with_musiq, bench, "plain-musiq"),
            "plain-musiq-4": partial(plain_with_musiq, bench, "plain-musiq-4", *LARGER),
            "memory": partial(memory, bench),
        }
        parts = measured(args, "training", works)
    results = {"environment": environment(args, PACKAGES), "recipe": bench.recipe().model_dump(), "parts": parts}
    write(results, markdown(results), args.out, "training")


def samplers(bench: Bench) -> Result:
    """A step begins with its batch: looking up scores is a part of making one."""
    runs = {"UPos": bench.training(*UPOS), "AMO, grid": bench.training(*GRID), "AMO, online": bench.training(*ONLINE)}
    began = time.perf_counter()
    runs["AMO, grid"].batches()
    scoring = {"sets": len(runs["AMO, grid"].sets), "seconds": time.perf_counter() - began}
    return compared(bench, "samplers", {name: Contender.of(run) for name, run in runs.items()}) | {"scoring": scoring}


def adapters(bench: Bench) -> Result:
    runs = {"LoRA": bench.training(*UPOS), "every weight": bench.full_training(*UPOS)}
    return compared(bench, "adapters", {name: Contender.of(run) for name, run in runs.items()})


def plain(bench: Bench, part: str, *changes: str, metric: nn.Module | None = None) -> Result:
    """From the same adapters, on batches that are there. SystemExit where the losses are not the same.

    metric: of the plain loop, srq by default.
    """
    online, grid = bench.training(*ONLINE, *changes), bench.training(*GRID, *changes)
    loop = bench.plain_loop(*changes, metric=metric)
    load_lora_state(loop.network, lora_state(online.module))
    steps = range(bench.load.rounds[part] + 1)
    given, scored = ([made[n] for n in steps] for made in (bench.batches(*changes), grid.batches()))
    contenders = {
        "iqsr, AMO online": Contender.of(online, iter(given).__next__),
        "iqsr, AMO, grid": Contender.of(grid, iter(scored).__next__),
        "plain loop, AMO online": Contender(loop.step, iter(given).__next__),
    }
    found = compared(bench, part, contenders)
    ours, theirs = (torch.tensor(contenders[name].losses) for name in ("iqsr, AMO online", "plain loop, AMO online"))
    difference = float(((ours - theirs) / theirs).abs().max())
    if not difference < SAME:
        raise SystemExit(f"the plain loop learns something else: {theirs.tolist()} instead of {ours.tolist()}")
    return found | {"rank": bench.recipe(*changes).lora.rank, "largest_difference_of_losses": difference}


def plain_with_musiq(bench: Bench, part: str, *changes: str) -> Result:
    """The paper's predictor chooses the ground truth and is what is optimised."""
    with random_musiq() as metric:
        return plain(bench, part, *MUSIQ, *changes, metric=metric)


def compared(bench: Bench, part: str, contenders: dict[str, Contender]) -> Result:
    """Seconds of each by round, and how many times the first one's they are. A round before them warms up."""
    works: dict[str, Work] = dict(contenders)
    alternate(works, 1)
    seconds = alternate(works, bench.load.rounds[part])
    first = next(iter(seconds.values()))
    rows = [
        {"name": name, "seconds": values, "times_the_first": Spread.of_ratios(values, first).plain()}
        for name, values in seconds.items()
    ]
    return {"contenders": rows}


def memory(bench: Bench) -> Result:
    """Peak of a process that does nothing else; all sample by AMO online.

    The processes are forks of a small one. One that was started from here would count what this one ever held: its
    memory is the new process's own until the program is exchanged.
    """
    found: Result = {}
    for kind in ("LoRA", "every weight", "plain loop"):
        with ProcessPoolExecutor(1, mp_context=get_context("forkserver")) as pool:
            found[kind] = pool.submit(peak, bench, kind).result()
    return {"peak_gb": found}


def peak(bench: Bench, kind: str) -> float:
    """Of three steps, in GB."""
    torch.set_num_threads(bench.threads)
    if kind != "plain loop":
        keep_freed_memory()
    batches = bench.batches()
    made: dict[str, Callable[[], Contender]] = {
        "LoRA": lambda: Contender.of(bench.training(*ONLINE), draw),
        "every weight": lambda: Contender.of(bench.full_training(*ONLINE), draw),
        "plain loop": lambda: Contender(bench.plain_loop().step, draw),
    }
    draw = map(batches.__getitem__, range(3)).__next__
    contender = made[kind]()
    for _ in range(3):
        contender()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024 / 1e9


if __name__ == "__main__":
    main()
