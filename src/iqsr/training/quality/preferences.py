"""A predictor from people's preferences between two pictures (Bradley & Terry, Biometrika 1952)."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import torch
from safetensors.torch import save_file
from torch import Tensor

from iqsr.agreement.pairs import Pairs, read_pairs
from iqsr.errors import PictureError, UsageError
from iqsr.images import read_rgb
from iqsr.quality.srq import SMALLEST, Srq, load_srq
from iqsr.training.quality.objective import preference_loss
from iqsr.training.quality.recipe import PreferenceRecipe
from iqsr.training.quality.sources import is_held_out
from iqsr.training.quality.train import new_predictor

Progress = Callable[[str, int, int, dict[str, float]], None]


def train_on_pairs(
    recipe: PreferenceRecipe,
    pairs: Path,
    out: Path,
    on_progress: Progress,
    *,
    start: Path | None = None,
    scratch: bool = False,
) -> Path:
    """Fit srq to the pairs of a CSV file and return the path of the weights (fp16 safetensors) in `out`.

    start: weights to begin with, else the shipped srq; scratch: begin with ImageNet's features instead. UsageError
    where the file is no table of pairs or leaves none to learn from; PictureError for pictures that cannot be a pair.
    """
    table = read_pairs(pairs)
    held = [is_held_out(path.name, recipe.held_out) for path in table.first]
    learn = [i for i, out_ in enumerate(held) if not out_]
    check = [i for i, out_ in enumerate(held) if out_]
    if not learn:
        raise UsageError(f"'{pairs}' leaves no pair to learn from: {len(check)} are held out; lower held_out")
    model = new_predictor("srq") if scratch else load_srq(start)
    model.requires_grad_(True)
    average = {k: v.detach().clone() for k, v in model.state_dict().items()}
    optimizer = torch.optim.AdamW(model.parameters(), lr=recipe.lr)
    generator = torch.Generator().manual_seed(recipe.seed)
    out.mkdir(parents=True, exist_ok=True)
    for step in range(1, recipe.steps + 1):
        loss = _step_loss(model, table, learn, recipe, generator)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        optimizer.step()
        decay = min(recipe.ema, step / (10 + step))
        for name, value in model.state_dict().items():
            average[name].lerp_(value, 1 - decay)
        figures = {"loss": float(loss.detach())}
        if check and (step % recipe.check_every == 0 or step == recipe.steps):
            figures["accuracy"] = _accuracy(average, table, check)
        _log(out, step, figures)
        on_progress("preferences", step, recipe.steps, figures)
    return _saved(average, out)


def _step_loss(
    model: torch.nn.Module, table: Pairs, learn: list[int], recipe: PreferenceRecipe, generator: torch.Generator
) -> Tensor:
    """Of one batch; pairs of different sizes are scored apart."""
    chosen = [learn[int(i)] for i in torch.randint(len(learn), (recipe.pairs,), generator=generator)]
    couples = [_couple(table, i, recipe.crop, generator) for i in chosen]
    scores = torch.stack([model(couple) for couple in couples])
    shares = torch.tensor(table.share_first[chosen], dtype=torch.float32)
    return preference_loss(scores[:, 0], scores[:, 1], shares, softness=recipe.softness)


def _couple(table: Pairs, index: int, crop: int | None, generator: torch.Generator) -> Tensor:
    """(2, 3, H, W): both pictures of a pair, cut alike."""
    first, second = read_rgb(table.first[index]), read_rgb(table.second[index])
    if first.shape != second.shape or min(first.shape[2:]) < SMALLEST:
        sizes = " and ".join(f"{x.shape[3]}x{x.shape[2]}" for x in (first, second))
        raise PictureError(
            f"'{table.first[index]}' and '{table.second[index]}' are {sizes}: a pair needs one size, "
            f"{SMALLEST} px a side or more"
        )
    both = torch.cat([first, second])
    if crop is None:
        return both
    for side in (2, 3):
        spare = both.shape[side] - crop
        if spare > 0:
            both = both.narrow(side, int(torch.randint(spare + 1, (), generator=generator)), crop)
    return both


@torch.inference_mode()
def _accuracy(average: dict[str, Tensor], table: Pairs, check: list[int]) -> float:
    """Share of held-out pairs that the averaged weights order as most people do; ties among people are left out."""
    judge = Srq()
    judge.load_state_dict(average)
    generator = torch.Generator()
    decided = [i for i in check if table.share_first[i] != 0.5]
    right = 0
    for i in decided:
        first, second = judge(_couple(table, i, None, generator)).tolist()
        right += (first > second) == (table.share_first[i] > 0.5)
    return right / max(1, len(decided))


def _saved(average: dict[str, Tensor], out: Path) -> Path:
    path, part = out / "weights.safetensors", out / f".weights.{os.getpid()}.part"
    save_file({k: v.half().contiguous() for k, v in average.items()}, part)
    part.replace(path)
    return path


def _log(out: Path, step: int, figures: dict[str, float]) -> None:
    with (out / "log.jsonl").open("a") as log:
        log.write(json.dumps({"step": step} | {k: round(v, 6) for k, v in figures.items()}) + "\n")
