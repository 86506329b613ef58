"""Training of generators: what is learned, what is left alone, and that stopping a run changes nothing."""

import os
import signal
import subprocess
import sys
import time
from contextlib import nullcontext
from pathlib import Path

import pytest
import torch

from iqsr.errors import IqsrError, UsageError
from iqsr.kernels.dense_block import DenseBlock
from iqsr.models import load_model
from iqsr.models.lora import LoraAsOneConvolution
from iqsr.models.merge import merge
from iqsr.recipes import read_recipe, resolved_toml
from iqsr.training.engine.loop import GamedError
from iqsr.training.sr.loop import Training
from iqsr.training.sr.recipe import TrainRecipe
from iqsr.training.sr.run import train
from support.commands import PATIENCE, Run
from support.counting import calls
from support.launched import LAUNCH
from support.sets import NONE_IS_BETTER, SHARPER_IS_BETTER, write_sets
from support.tiny_runs import equal, lines, sr_recipes, tiny, weights


def stopped(recipe: TrainRecipe, sets: Path, photos: Path, out: Path, after: int) -> None:
    """A run that SIGTERM ends after some steps."""
    training = Training(recipe, sets, out, validation=photos)

    def stop(stage: str, done: int, total: int, figures: object) -> None:
        if stage == "training" and done == after:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(KeyboardInterrupt):
        training.run(stop)


def seen_in(run: Path, step: int) -> dict[str, torch.Tensor]:
    """The scores in a checkpoint of patches that were drawn."""
    return torch.load(run / "checkpoints" / f"step-{step:08d}-rank0.ckpt", weights_only=True)["patch scores"] or {}


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("ablation/cpu-amo-ft", ()),
        ("ablation/cpu-amo-ft", ("sampling.grid=0", "data.workers=1")),
        ("ablation/cpu-amo-ft", ("sampling.grid=64",)),
        ("paper/realesrgan-upos", ()),
        ("paper/swinir-amo-ft", ("model.start=new:swinir-tiny", "objective.ldl=1.0")),
    ],
)
def test_a_run_that_was_stopped_equals_one_that_was_not(
    name: str, changes: tuple[str, ...], sets: Path, photos: Path, tmp_path: Path
) -> None:
    recipe = tiny(name, *changes)
    train(recipe, sets, tmp_path / "whole", validation=photos)
    stopped(recipe, sets, photos, tmp_path / "parts", after=3)
    train(recipe, sets, tmp_path / "parts", validation=photos, resume=True)
    assert equal(tmp_path / "whole", tmp_path / "parts")
    assert lines(tmp_path / "whole") == lines(tmp_path / "parts")
    whole, parts = (seen_in(tmp_path / name, recipe.steps) for name in ("whole", "parts"))
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)


def test_a_damaged_last_checkpoint_costs_steps_and_nothing_else(sets: Path, photos: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-amo-ft", "checkpoint_every=1")
    train(recipe, sets, tmp_path / "whole", validation=photos)
    parts = tmp_path / "parts"
    stopped(recipe, sets, photos, parts, after=3)
    last = parts / "checkpoints" / "step-00000003-rank0.ckpt"
    last.write_bytes(last.read_bytes()[:-1000])
    train(recipe, sets, parts, validation=photos, resume=True)
    assert equal(tmp_path / "whole", parts)


def test_steps_taken_one_by_one_are_those_of_a_run(sets: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-amo-ft")
    train(recipe, sets, tmp_path / "run")
    training = Training(recipe, sets, tmp_path / "steps")
    terms = [training.step(training.draw()) for _ in range(recipe.steps)]
    training.keep()
    assert training.done == recipe.steps
    assert equal(tmp_path / "run", tmp_path / "steps")
    for term, line in zip(terms, lines(tmp_path / "run"), strict=True):
        assert term == {name: pytest.approx(line[name], rel=1e-5) for name in term}


@torch.no_grad()
def objective_of(training: Training) -> float:
    """Over four batches, with originals as targets."""
    made, total = training.batches(), 0.0
    for step in range(4):
        batch = made[step]
        terms = training.objective.terms(training.module(batch["lr"]), batch["gts"][:, 0].float() / 255, batch)
        total += sum(float(term) for term in terms.values())
    return total


def test_only_adapters_learn_and_the_objective_falls(sets: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-first", "steps=30", "optimiser.lr=5e-3", "optimiser.warmup=10", "validation.every=100")
    training = Training(recipe, sets, tmp_path / "run")
    before = {n: p.detach().clone() for n, p in training.module.named_parameters()}
    at_start = objective_of(training)
    training.run()
    for name, parameter in training.module.named_parameters():
        assert torch.equal(parameter, before[name]) != (".lora_" in name), name
    assert objective_of(training) < 0.97 * at_start


def test_learning_by_composed_adapters_is_learning_by_pefts(
    sets: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tiny("ablation/cpu-amo-ft", "optimiser.lr=5e-3")
    blocks = calls(monkeypatch, DenseBlock, "forward")
    train(recipe, sets, tmp_path / "composed")
    assert len(blocks) == 4 * 3
    monkeypatch.setattr(LoraAsOneConvolution, "applied", lambda self: nullcontext())
    train(recipe, sets, tmp_path / "peft")
    assert len(blocks) == 4 * 3
    found, wanted = (weights(tmp_path / kind) for kind in ("composed", "peft"))
    for name in wanted:
        assert (found[name] - wanted[name]).norm() < 0.02 * wanted[name].norm(), name


@pytest.mark.slow
@pytest.mark.parametrize("name", sr_recipes())
def test_every_recipe_takes_two_steps(name: str, sets: Path, tmp_path: Path) -> None:
    start = "new:swinir-tiny" if "/swinir" in name else "new:rrdbnet-tiny"
    recipe = tiny(name, "steps=2", f"model.start={start}")
    kept = train(recipe, sets, tmp_path / "run")
    assert kept.name == ("adapter.safetensors" if recipe.lora else "weights.safetensors")
    written = lines(tmp_path / "run")
    terms = {"l1", "perceptual", "gan", "quality", "consistency", "flat"}
    asked = {t for t in terms if getattr(recipe.objective, "lambda_q" if t == "quality" else t)}
    assert [terms & line.keys() for line in written] == [asked, asked]
    if recipe.lora is None:
        assert load_model(kept).scale == 4
    assert read_recipe(tmp_path / "run" / "recipe.toml", TrainRecipe) == recipe


def test_hggts_pos_and_neg_learns_from_the_original_where_nothing_is_better(tmp_path: Path) -> None:
    mixed = write_sets(tmp_path / "sets", count=2, labelled=True, said=(SHARPER_IS_BETTER, NONE_IS_BETTER))
    recipe = tiny("paper/realesrgan-upos", "data.sets=verdict", "objective.negative=1.0", "steps=2")
    train(recipe, mixed, tmp_path / "run")
    for line in lines(tmp_path / "run"):  # a batch has one set of each kind
        assert line["original chosen"] == 0.5
        assert line["negative"] != 0


def test_the_guard_ends_a_run_and_what_was_reached_is_kept(sets: Path, photos: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-amo-ft", "guard.margin=-1000.0", "guard.on=true")
    with pytest.raises(GamedError, match=r"stopped at step 2: outputs score .* points above"):
        train(recipe, sets, tmp_path / "run", validation=photos)
    assert (tmp_path / "run" / "adapter.safetensors").exists()
    train(tiny("ablation/cpu-amo-ft", "guard.margin=-1000.0"), sets, tmp_path / "free", validation=photos)


def test_a_folder_with_a_run_is_not_overwritten(sets: Path, tmp_path: Path) -> None:
    train(tiny("ablation/cpu-amo", "steps=1"), sets, tmp_path / "run")
    with pytest.raises(IqsrError, match="add --resume"):
        train(tiny("ablation/cpu-amo", "steps=1"), sets, tmp_path / "run")
    with pytest.raises(UsageError, match=r"another recipe \(optimiser\.lr: 0\.5 here, 0\.0002 in the run\)"):
        train(tiny("ablation/cpu-amo", "steps=1", "optimiser.lr=0.5"), sets, tmp_path / "run", resume=True)


def test_a_run_learns_from_several_folders(sets: Path, tmp_path: Path) -> None:
    """Of their sets together, scored patch by patch; one of the folders alone is other data."""
    more, run, recipe = (
        write_sets(tmp_path / "more", count=2, labelled=True, prefix="more"),
        tmp_path / "run",
        tiny("ablation/cpu-amo", "steps=2"),
    )
    training = Training(recipe, [sets, more], run)
    assert len(training.sets) == 6 + 2
    training.run()
    assert not equal(run, train(recipe, sets, tmp_path / "alone").parent)
    with pytest.raises(IqsrError, match="holds a run on other data"):
        train(recipe, sets, run, resume=True)


def test_an_adapter_on_random_weights_is_merged_by_itself(sets: Path, tmp_path: Path) -> None:
    train(tiny("ablation/cpu-first", "steps=1"), sets, tmp_path / "run")
    assert merge(tmp_path / "run", tmp_path / "merged.safetensors").difference <= 1e-5


@pytest.mark.parametrize("made", [True, False])
def test_there_is_nothing_to_resume_where_no_run_was(sets: Path, tmp_path: Path, made: bool) -> None:
    run = tmp_path / "run"
    if made:
        run.mkdir()
    with pytest.raises(UsageError, match="holds no run to go on with: leave --resume out"):
        train(tiny("ablation/cpu-amo"), sets, run, resume=True)
    assert not made or not list(run.iterdir())


def test_a_run_without_a_checkpoint_is_resumed_from_its_start(sets: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-origins", "steps=1")
    Training(recipe, sets, tmp_path / "run", validation=None, resume=False)
    assert train(recipe, sets, tmp_path / "run", resume=True).exists()


def test_an_objective_that_is_not_finite_is_told(sets: Path, tmp_path: Path) -> None:
    recipe = tiny("ablation/cpu-origins", "optimiser.lr=1e30", "lora.targets=all-convs", "optimiser.clip=0.0")
    with pytest.raises(IqsrError, match=r"not finite at step \d: lower optimiser.lr"):
        train(recipe, sets, tmp_path / "run")


def test_the_command_trains_merges_and_upscales(
    iqsr: Run, sets: Path, photos: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(resolved_toml(tiny("paper/swinir-amo", "model.start=new:swinir-tiny", "steps=2")))
    base = tmp_path / "base"
    assert iqsr("train", str(recipe), "--data", str(sets), "-o", str(base)).code == 0
    fine = tmp_path / "fine.toml"
    changed = tiny("paper/swinir-amo-ft", f"model.start={base / 'weights.safetensors'}", "steps=2", "optimiser.lr=0.01")
    fine.write_text(resolved_toml(changed))
    run = tmp_path / "ft"
    ended = iqsr("train", str(fine), "--data", str(sets), "--validation", str(photos), "-o", str(run))
    assert ended.code == 0, ended.err
    merged = tmp_path / "merged.safetensors"
    ended = iqsr("merge", str(run), "-o", str(merged))
    assert ended.code == 0, ended.err
    photo = next(photos.iterdir())
    ended = iqsr("upscale", str(photo), "-o", str(tmp_path / "large.png"), "--model", str(merged))
    assert ended.code == 0, ended.err
    assert (run / "validation" / "step-00000002" / "00.png").exists()


@pytest.mark.slow
def test_a_kill_by_sigterm_from_outside_resumes_to_the_same_result(sets: Path, tmp_path: Path) -> None:
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(resolved_toml(tiny("ablation/cpu-amo-ft", "steps=12", "checkpoint_every=100", "data.workers=1")))
    environment = os.environ | {"OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-m", "iqsr", "train", str(recipe), "--data", str(sets)]
    subprocess.run([*command, "-o", str(tmp_path / "whole")], check=True, env=environment)
    run = tmp_path / "parts"
    process = subprocess.Popen(
        [*command, "-o", str(run)], env=environment, stderr=subprocess.PIPE, text=True, start_new_session=True
    )
    while not (run / "log.jsonl").exists() or len((run / "log.jsonl").read_text().splitlines()) < 3:
        time.sleep(0.05)
        assert process.poll() is None
    os.killpg(process.pid, signal.SIGTERM)  # as schedulers do: the processes that make batches get it, too
    _, said = process.communicate(timeout=PATIENCE)
    assert process.returncode == 130
    assert "--resume goes on" in said
    subprocess.run([*command, "-o", str(run), "--resume"], check=True, env=environment)
    assert equal(tmp_path / "whole", run)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("name", "changes"),
    [
        ("paper/realesrgan-origins-only", ()),
        ("ablation/cpu-amo-ft", ()),
        ("ablation/cpu-amo-ft", ("sampling.grid=64",)),
    ],
)
def test_two_processes_learn_together(name: str, changes: tuple[str, ...], sets: Path, tmp_path: Path) -> None:
    """Patches of cpu-amo-ft's grid are scored when they are drawn, those of the wider one beforehand."""
    recipe = tmp_path / "tiny.toml"
    recipe.write_text(resolved_toml(tiny(name, "steps=3", *changes)))
    launch = [*LAUNCH, "2", "-m", "iqsr", "train", str(recipe), "--data", str(sets), "-o", str(tmp_path / "run")]
    subprocess.run(launch, check=True, env=os.environ | {"OMP_NUM_THREADS": "1"}, timeout=PATIENCE)
    found = [torch.load(p, weights_only=True) for p in sorted((tmp_path / "run" / "checkpoints").glob("*3-rank*.ckpt"))]
    assert len(found) == 2
    assert not torch.equal(found[0]["pool"]["samples"]["lr"], found[1]["pool"]["samples"]["lr"])
    assert len(lines(tmp_path / "run")) == 3
    assert (tmp_path / "run" / "patch-scores").exists() == bool(changes)
