"""MUSIQ against IQA-PyTorch's network with the same random weights, and what only ours does."""

import copy
import json
import subprocess
import sys
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.metrics.musiq import Musiq, tokens
from support.musiq_networks import network
from support.textured_pictures import picture

pytest.importorskip("pyiqa")

SIZES = {
    "odd": (2, 97, 131),
    "square": (1, 256, 256),
    "portrait": (1, 309, 61),
    "landscape": (1, 65, 417),
    "small": (3, 40, 51),
    "smaller than a patch": (1, 9, 20),
}


def gradient(metric: nn.Module, x: Tensor) -> Tensor:
    x = x.clone().requires_grad_()
    return torch.autograd.grad(metric(x).sum(), x)[0]


@pytest.mark.parametrize("size", SIZES.values(), ids=SIZES)
def test_scores_equal_iqa_pytorchs(musiq, iqa_musiq, size):
    x = picture(*size)
    with torch.inference_mode():
        expected = iqa_musiq(x)[:, 0]
        torch.testing.assert_close(musiq(x), expected, atol=1e-5, rtol=0)
        assert (musiq(1 - x) - expected).abs().min() > 1e-3, "a score that ignores the picture would prove nothing"


@pytest.mark.parametrize("size", [(1, 97, 131), (1, 150, 40), (1, 33, 51)], ids=["odd", "portrait", "small"])
def test_input_gradients_equal_iqa_pytorchs(musiq, iqa_musiq, tmp_path, size):
    x = picture(*size)
    reference = copy.deepcopy(iqa_musiq).double()
    torch.save(reference.state_dict(), tmp_path / "double.pth")
    expected = gradient(reference, x.double())
    assert expected.abs().max() > 1e-3
    exact = gradient(Musiq().double().load(tmp_path / "double.pth"), x.double())
    torch.testing.assert_close(exact, expected, atol=1e-9, rtol=0)
    # In float32 a max-pool with two nearly equal values sends the gradient of a patch either way, in both networks.
    single, their_single = gradient(musiq, x), gradient(iqa_musiq, x)
    assert ((single - their_single).abs() < 1e-5).double().mean() > 0.97
    assert (single - expected).norm() < 2 * (their_single - expected).norm() < 0.02 * expected.norm()


def test_ava_is_the_mean_of_a_distribution_over_ten_ratings(tmp_path):
    reference = network(10)
    torch.save(reference.state_dict(), tmp_path / "ava.pth")
    metric = Musiq("ava").load(tmp_path / "ava.pth")
    x = picture(2, 97, 64)
    with torch.inference_mode():
        score = metric(x)
        torch.testing.assert_close(score, reference(x)[:, 0], atol=1e-5, rtol=0)
    assert ((score > 1) & (score < 10)).all()


def test_sizes_can_be_mixed_in_one_call(musiq):
    pictures = [picture(1, 64, 90, 1)[0], picture(2, 200, 131, 2), picture(1, 33, 300, 3), picture(1, 64, 90, 4)]
    with torch.inference_mode():
        alone = torch.cat([musiq(p if p.ndim == 4 else p[None]) for p in pictures])
        torch.testing.assert_close(musiq(pictures), alone, atol=1e-5, rtol=0)
    assert alone.shape == (5,)
    assert len(alone.unique()) == 5


def test_a_picture_in_a_mixed_batch_does_not_see_the_others(musiq):
    small, large = picture(1, 40, 40, 1).requires_grad_(), picture(1, 160, 200, 2).requires_grad_()
    musiq([small, large])[0].backward()
    assert small.grad is not None
    assert small.grad.abs().max() > 0
    assert large.grad is not None
    assert large.grad.abs().max() == 0


def test_a_training_step_moves_the_picture_and_not_the_metric(musiq):
    before = {name: value.clone() for name, value in musiq.state_dict().items()}
    model = nn.Conv2d(3, 3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=0.01)
    x = picture(1, 64, 64)
    scores = []
    for _ in range(3):
        score = musiq.train()(model(x).sigmoid())
        optimizer.zero_grad()
        (-score.mean()).backward()
        optimizer.step()
        scores.append(score.item())
    assert scores == sorted(scores)
    assert scores[-1] > scores[0]
    assert all(torch.equal(value, before[name]) for name, value in musiq.state_dict().items())
    assert not any(parameter.requires_grad for parameter in musiq.parameters())


def test_scoring_first_does_not_stand_in_the_way_of_training(musiq):
    x = picture(1, 50, 50)
    with torch.inference_mode():
        scored = musiq(x)
    assert gradient(musiq, x).abs().max() > 0
    torch.testing.assert_close(musiq.train()(x), musiq.eval()(x), atol=0, rtol=0)
    torch.testing.assert_close(scored.clone(), musiq(x), atol=1e-6, rtol=0)


def test_bf16_is_close_and_returns_float32(musiq, musiq_file):
    fast = Musiq(precision="bf16").load(musiq_file)
    pictures = [picture(1, 64 + 8 * seed, 100, seed) for seed in range(4)]
    with torch.inference_mode():
        exact, quick = musiq(pictures), fast(pictures)
        with torch.autocast("cpu", torch.bfloat16):
            automatic = musiq(pictures)
    assert quick.dtype == automatic.dtype == torch.float32
    for rounded in (quick, automatic):
        error = (rounded - exact).square().mean().sqrt()
        assert 0 < error < 0.1 * exact.std(), "as docs/reference/musiq.md says"


def test_never_scores_without_weights():
    with pytest.raises(WeightsError, match=r"no weights yet; load them"):
        Musiq()(picture(1, 32, 32))


@pytest.mark.parametrize(
    ("bad", "message"),
    [
        (torch.rand(1, 1, 64, 64), r"\(N, 3, H, W\) or \(3, H, W\), got \(1, 1, 64, 64\)"),
        (torch.rand(64, 64), r"got \(1, 64, 64\)"),
        (torch.rand(1, 3, 0, 64), r"got \(1, 3, 0, 64\)"),
        (torch.zeros(1, 3, 64, 64, dtype=torch.uint8), "floats .* got torch.uint8"),
        (torch.rand(1, 3, 1, 999), "of 999x1: its small scales"),
        ([], "at least one picture"),
    ],
)
def test_pictures_that_cannot_be_right(musiq, bad, message):
    with pytest.raises(UsageError, match=message):
        musiq(bad)


@pytest.mark.slow
def test_the_benchmark_measures_all_and_finds_the_same_scores(tmp_path):
    pytest.importorskip("openvino")
    script = Path(__file__).parents[2] / "benchmarks" / "musiq.py"
    command = [sys.executable, str(script), "--quick", "--threads", "1", "--out", str(tmp_path)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    results = json.loads((tmp_path / "musiq.json").read_text())
    assert results["parts"].keys() == {"crops", "gradient", "picture"}
    for part in results["parts"].values():
        rows = {row["name"]: row for row in part["contenders"]}
        assert rows.keys() == {"pyiqa", "iqsr fp32", "iqsr bf16"}
        assert all(min(row["seconds"]) > 0 for row in rows.values())
        assert (
            rows["iqsr fp32"]["largest_difference_of_scores"] < 1e-5 < rows["iqsr bf16"]["largest_difference_of_scores"]
        )
    assert "A quick run" in (tmp_path / "musiq.md").read_text()


def test_unknown_variant_and_precision():
    with pytest.raises(UnknownNameError, match="koniq"):
        Musiq("konik")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UnknownNameError, match="bf16"):
        Musiq(precision="fp16")  # pyright: ignore[reportArgumentType]


def test_patches_are_counted_and_hashed_as_the_paper_says():
    read = tokens(torch.rand(2, 3, 96, 160))  # resized to 134 x 224 and 230 x 384
    counts = [5 * 7, 8 * 12, 3 * 5]
    assert read.patches.shape == (2, sum(counts), 3, 32, 32)
    assert read.scales.tolist() == [0] * counts[0] + [1] * counts[1] + [2] * counts[2]
    # Eq. 1: i * 10 / count, rounded down: rows 0, 3, 6 and columns 0, 2, 4, 6, 8.
    assert read.positions[-15:].tolist() == [10 * row + column for row in (0, 3, 6) for column in (0, 2, 4, 6, 8)]


def test_padding_is_gray_and_on_both_sides():
    x = torch.ones(1, 3, 30, 61)
    own = tokens(x).patches[0, -2:]  # 32 x 64: a row above and below, one column left, two right
    assert (own[0, :, 1:31, 1:] == 1).all()
    assert (own[1, :, 1:31, :30] == 1).all()
    assert own.sum() == 3 * 30 * 61
