"""The precision of a training run: bf16 where it pays, the same in all processes, and another in the next run."""

from pathlib import Path
from typing import Any

import pytest
import torch

from iqsr.training.sr.loop import Training
from iqsr.training.sr.run import train
from support.tiny_runs import tiny


@pytest.mark.parametrize("changes", [True, False])
def test_a_run_that_goes_on_in_another_precision_says_so(
    changes: bool, sets: Path, tmp_path: Path, monkeypatch, caplog
) -> None:
    recipe = tiny("ablation/cpu-origins", "steps=1", "bf16=true")
    for pays in (False, changes):
        monkeypatch.setattr("iqsr.training.engine.precision.bf16_pays", lambda device, pays=pays: pays)
        train(recipe, sets, tmp_path / "run", resume=(tmp_path / "run").exists())
    assert ("in another precision" in caplog.text) == changes


def test_the_averaged_network_does_not_lend_its_weights(sets: Path, tmp_path: Path, monkeypatch) -> None:
    """Autocast remembers weights that it has rounded: those of the average must not be taken for the network's own."""
    monkeypatch.setattr("iqsr.training.engine.precision.bf16_pays", lambda device: True)
    training = Training(tiny("paper/realesrgan-upos", "objective.ldl=1.0", "bf16=true"), sets, tmp_path / "run")
    training.average.values = {name: torch.zeros_like(value) for name, value in training.average.values.items()}
    terms, seen = training.objective.terms, []

    def spied(output: torch.Tensor, *rest: Any, averaged: torch.Tensor, **more: Any) -> dict[str, torch.Tensor]:
        seen.append((output.detach(), averaged))
        return terms(output, *rest, averaged=averaged, **more)

    monkeypatch.setattr(training.objective, "terms", spied)
    assert training.discriminator
    computed: dict[str, list[torch.dtype]] = {"model": [], "discriminator": []}
    for name, module in (("model", training.module), ("discriminator", training.discriminator.module)):
        layer = next(layer for layer in module.modules() if isinstance(layer, torch.nn.Conv2d))

        def remember(_: object, given: object, made: torch.Tensor, name: str = name) -> None:
            computed[name].append(made.dtype)

        layer.register_forward_hook(remember)
    training.step(training.draw())
    ((output, averaged),) = seen
    assert float(averaged.abs().max()) == 0
    assert float(output.abs().max()) > 0.05
    assert computed == {"model": 2 * [torch.bfloat16], "discriminator": 3 * [torch.bfloat16]}


def test_all_processes_compute_in_the_precision_of_the_first(sets: Path, tmp_path: Path, monkeypatch) -> None:
    monkeypatch.setattr("iqsr.training.engine.precision.bf16_pays", lambda device: True)
    monkeypatch.setattr("iqsr.training.engine.processes.broadcast_object_list", lambda told: ["fp32"])
    assert Training(tiny("ablation/cpu-origins", "bf16=true"), sets, tmp_path / "run").precision == "fp32"
