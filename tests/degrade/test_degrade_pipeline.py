"""Whole degradations: determinism, order, one picture against its batch, what is refused; and where they are named."""

import contextlib
import inspect
import io
import math
import re
from dataclasses import replace
from pathlib import Path
from typing import get_type_hints

import pytest
import torch
from torch import Tensor

from iqsr.cli.evaluate import command
from iqsr.degrade import OneStage, OneStageParameters, TwoStage, TwoStageParameters, degrade, pipeline, pipeline_names
from iqsr.degrade.jpeg import jpeg
from iqsr.degrade.kernels import blur, blur_kernels
from iqsr.degrade.noise import add_noise
from iqsr.degrade.pipeline import resize, resize_by
from iqsr.degrade.presets import presets_table
from iqsr.errors import UsageError
from iqsr.evaluation.api import evaluate
from support.degrade_samples import pulses, sincs, still

DOCS = Path(__file__).parents[2] / "docs"
DOC = DOCS / "reference" / "degradations.md"


def pictures(n: int = 3, height: int = 96, width: int = 128) -> Tensor:
    coarse = torch.rand(n, 3, height // 8, width // 8, generator=torch.Generator().manual_seed(0))
    return torch.nn.functional.interpolate(coarse, (height, width), mode="bicubic").clamp(0, 1)


def seeded(seed: int) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


@pytest.mark.parametrize("name", pipeline_names())
def test_results_are_quarter_size_eight_bit_and_the_input_is_untouched(name: str) -> None:
    x = pictures()
    before = x.clone()
    for seed in range(8):
        y = degrade(x, pipeline(name).draw(3, 96, 128, seeded(seed)))
        assert y.shape == (3, 3, 24, 32)
        assert y.min() >= 0
        assert y.max() <= 1
        torch.testing.assert_close(y * 255, (y * 255).round(), atol=1e-4, rtol=0)
    assert torch.equal(x, before)


@pytest.mark.parametrize("name", pipeline_names())
def test_the_same_generator_state_gives_the_same_bits(name: str) -> None:
    x = pictures()
    rng = seeded(5)
    state = rng.get_state()
    first = [degrade(x, pipeline(name).draw(3, 96, 128, rng)) for _ in range(4)]
    rng.set_state(state)
    torch.manual_seed(123)  # the global state has no part in it
    again = [degrade(x, pipeline(name).draw(3, 96, 128, rng)) for _ in range(4)]
    assert all(torch.equal(a, b) for a, b in zip(first, again, strict=True))
    assert not torch.equal(first[0], first[1])


def test_applying_leaves_the_global_random_state_alone() -> None:
    before = torch.get_rng_state()
    degrade(pictures(), pipeline("real-esrgan").draw(3, 96, 128, seeded(0)))
    assert torch.equal(before, torch.get_rng_state())


@pytest.mark.parametrize("name", pipeline_names())
def test_a_picture_by_itself_is_degraded_as_in_its_batch(name: str) -> None:
    """But for coefficients of JPEG that lie between two steps to within float32, and fall either way."""
    x = pictures(4)
    for seed in range(6):
        drawn = pipeline(name).draw(4, 96, 128, seeded(seed))
        together = degrade(x, drawn)
        apart = torch.cat([degrade(x[i : i + 1], drawn[i : i + 1]) for i in range(4)])
        assert (together != apart).float().mean() < 0.02
        assert (together - apart).abs().mean() < 1e-4


def test_one_stage_is_its_operations_in_order_and_reuses_the_interpolation() -> None:
    x = pictures()
    for seed in range(6):
        drawn = pipeline("hggt-one-stage").draw(3, 96, 128, seeded(seed))
        assert isinstance(drawn, OneStageParameters)
        stage = drawn.stage
        assert stage.blur is not None
        y = add_noise(resize_by(blur(x, blur_kernels(stage.blur)), stage.resize), stage.noise)
        y = resize(jpeg(y, stage.quality), (24, 32), stage.resize.mode)
        assert torch.equal(degrade(x, drawn), (y * 255).round().clamp(0, 255) / 255)


def test_the_coin_decides_whether_jpeg_or_the_final_resize_and_sinc_come_last() -> None:
    x = pictures(2)
    quality = torch.full((2,), 40.0)
    drawn = TwoStageParameters(96, 128, 24, 32, still(2), still(2, 40.0, 1.1), "area", sincs(2), jpeg_last=True)
    start = resize(jpeg(x, torch.full((2,), 100.0)), (26, 35), "bicubic").clamp(0, 1)
    kernels = blur_kernels(drawn.sinc)
    last = jpeg(blur(resize(start, (24, 32), "area"), kernels).clamp(0, 1), quality)
    first = blur(resize(jpeg(start, quality), (24, 32), "area"), kernels)
    assert torch.equal(degrade(x, drawn), (last * 255).round().clamp(0, 255) / 255)
    assert torch.equal(degrade(x, replace(drawn, jpeg_last=False)), (first * 255).round().clamp(0, 255) / 255)
    assert not torch.equal(degrade(x, drawn), degrade(x, replace(drawn, jpeg_last=False)))


def test_a_batch_without_second_blur_leaves_it_out() -> None:
    x = pictures(2)
    without = TwoStageParameters(96, 128, 24, 32, still(2), still(2), "area", pulses(2), jpeg_last=True)
    pulse = replace(without, second=replace(without.second, blur=pulses(2)))
    blurred = replace(without, second=replace(without.second, blur=sincs(2)))
    assert torch.equal(degrade(x, without), degrade(x, pulse))
    assert not torch.equal(degrade(x, without), degrade(x, blurred))


def test_the_noise_of_each_of_two_stages_is_applied() -> None:
    x = torch.full((2, 3, 96, 128), 0.5)
    without = TwoStageParameters(96, 128, 24, 32, still(2), still(2), "area", pulses(2), jpeg_last=True)
    noise = replace(without.first.noise, strength=torch.full((2,), 20 / 255))
    first = replace(without, first=replace(without.first, noise=noise))
    second = replace(without, second=replace(without.second, noise=noise))
    assert degrade(x, without).std() < 1 / 255
    assert (degrade(x, first) - degrade(x, without)).std() > 2 / 255  # the resize to 1/4 averages most of it away
    added = degrade(x, second) - degrade(x, without)
    luma = (added * torch.tensor([0.299, 0.587, 0.114])[:, None, None]).sum(1)  # JPEG halves the chroma
    assert luma.std() * 255 == pytest.approx(20 * math.sqrt(0.299**2 + 0.587**2 + 0.114**2), rel=0.1)


def test_a_stage_that_does_nothing_is_a_resize() -> None:
    x = pictures(2)[:, :1].expand(-1, 3, -1, -1)  # gray: JPEG would halve the chroma of colours
    drawn = OneStageParameters(96, 128, 24, 32, still(2))
    error = degrade(x, drawn) - resize(x, (24, 32), "bicubic").clamp(0, 1)
    assert error.abs().max() < 1 / 255


def test_names_are_in_the_order_of_what_is_lost() -> None:
    x = pictures(4)
    small = resize(x, (24, 32), "area")
    errors = {}
    for name in pipeline_names():
        found = [degrade(x, pipeline(name).draw(4, 96, 128, seeded(seed))) - small for seed in range(8)]
        errors[name] = torch.stack(found).square().mean().item()
    assert sorted(errors, key=errors.__getitem__) == pipeline_names()
    assert errors["real-esrgan"] > 2 * max(errors["hggt-one-stage"], errors["hggt-two-stage"])


@pytest.mark.parametrize("name", pipeline_names())
def test_the_smallest_size_always_works_and_smaller_ones_are_refused(name: str) -> None:
    definition = pipeline(name)
    side = definition.minimum_size
    x = torch.rand(1, 3, side, side, generator=seeded(0))
    draws = [definition.draw(1, side, side, seeded(seed)) for seed in range(300)]
    first = [draw.stage if isinstance(draw, OneStageParameters) else draw.first for draw in draws]
    for worst in sorted(range(300), key=lambda i: first[i].resize.factor)[:5]:
        degrade(x, draws[worst])
    with pytest.raises(UsageError, match=f"at least {side} px; got {side - 4}x{side}"):
        definition.draw(1, side, side - 4, seeded(0))


def test_sizes_and_shapes_that_cannot_be_are_refused() -> None:
    definition = pipeline("hggt-one-stage")
    with pytest.raises(UsageError, match="sides that 4 divides"):
        definition.draw(2, 98, 128, seeded(0))
    drawn = definition.draw(2, 96, 128, seeded(0))
    for wrong in (pictures(3), pictures(2).transpose(2, 3), pictures(2)[:, :1], (pictures(2) * 255).byte()):
        with pytest.raises(UsageError, match=r"drawn for floats of shape \(2, 3, 96, 128\)"):
            degrade(wrong, drawn)


def test_scale_is_a_field() -> None:
    definition = pipeline("hggt-two-stage")
    assert isinstance(definition, TwoStage)
    assert degrade(pictures(), replace(definition, scale=2).draw(3, 96, 128, seeded(0))).shape == (3, 3, 48, 64)
    one = pipeline("hggt-one-stage")
    assert isinstance(one, OneStage)
    assert degrade(pictures(), replace(one, scale=1).draw(3, 96, 128, seeded(0))).shape == (3, 3, 96, 128)


def test_the_page_holds_the_table_of_the_definitions_and_the_command_that_prints_it() -> None:
    page = DOC.read_text(encoding="utf-8")
    assert presets_table() in page, "the command in the comment above the table prints what belongs there"
    printing = re.search(r"""<!-- .*: python -c "(.*)" -->""", page)
    assert printing is not None
    printed = io.StringIO()
    with contextlib.redirect_stdout(printed):
        exec(printing[1], {})
    assert printed.getvalue() == presets_table()


def test_every_page_and_help_that_lists_degradations_names_all() -> None:
    help_of_option = get_type_hints(command, include_extras=True)["degradation"].__metadata__[0].help
    row = re.search(r"^\| `hr` .*$", (DOCS / "guides" / "evaluate.md").read_text(encoding="utf-8"), re.MULTILINE)
    pipelines = re.findall(r"^\| `([^`]+)` \|", DOC.read_text(encoding="utf-8"), re.MULTILINE)
    assert row is not None
    assert pipelines == pipeline_names()
    for text in (help_of_option, inspect.getdoc(evaluate) or "", row[0]):
        assert [name for name in pipeline_names() if name not in text] == []


def test_the_example_of_the_page_runs() -> None:
    examples = re.findall(r"```python\n(.*?)```", DOC.read_text(encoding="utf-8"), re.DOTALL)
    names: dict[str, Tensor] = {}
    exec("\n".join(examples), names)
    assert names["lr"].shape == (8, 3, 64, 64)
    assert (names["one"][0] != names["lr"][3]).float().mean() < 0.02
