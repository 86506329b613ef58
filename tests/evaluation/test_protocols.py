"""Protocols: PSNR and SSIM under each equal what independent programs give for the same pictures, to 4 digits."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from skimage.color import rgb2ycbcr
from skimage.metrics import peak_signal_noise_ratio, structural_similarity

import iqsr
from iqsr.errors import UnknownNameError
from iqsr.evaluation import Protocol, protocol, protocol_names
from iqsr.io.weights import locate
from iqsr.metrics import card
from support.evaluation_samples import pairs, save, smooth

SKIMAGE = {"gaussian_weights": True, "sigma": 1.5, "use_sample_covariance": False}


def distorted(seed: int) -> np.ndarray:
    noise = np.random.default_rng(seed + 50).normal(0, 12, (32, 32, 3))
    return np.clip(smooth(seed).astype(float) + noise, 0, 255).round().astype(np.uint8)


@pytest.fixture
def values(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    """PSNR and SSIM, or other metrics, of two pictures under a protocol, as iqsr evaluate has them."""
    monkeypatch.chdir(tmp_path)
    pairs(Path("set"))
    for seed, name in enumerate("ab"):
        save(Path(f"ours/{name}.png"), distorted(seed))

    def measured(name: str, *metrics: str) -> dict[str, list[float]]:
        wanted = metrics or ("psnr", "ssim")
        found = iqsr.evaluate("set", ["ours"], wanted, protocol=name, out=name)
        assert found.problems == ()
        return {m: found.scores[found.scores["metric"] == m]["score"].tolist() for m in wanted}

    return measured


def by_skimage(x: np.ndarray, y: np.ndarray, shave: int, *, luma: bool) -> tuple[float, float]:
    if luma:
        x, y = rgb2ycbcr(x)[..., 0], rgb2ycbcr(y)[..., 0]
    x, y = (p[shave : len(p) - shave, shave : p.shape[1] - shave] for p in (x, y))
    psnr = peak_signal_noise_ratio(y, x, data_range=255)
    options: dict[str, Any] = {**SKIMAGE, "data_range": 255, "channel_axis": None if luma else 2}
    found: Any = structural_similarity(x, y, full=True, **options)
    _, full = found
    return psnr, float(full[5:-5, 5:-5].mean())


@pytest.mark.parametrize(("name", "shave", "luma"), [("rgb", 0, False), ("hggt", 4, False), ("luma-shave4", 4, True)])
def test_psnr_and_ssim_are_those_of_scikit_image(values, name: str, shave: int, luma: bool) -> None:
    found = values(name)
    expected = [by_skimage(distorted(seed), smooth(seed), shave, luma=luma) for seed in (0, 1)]
    assert found["psnr"] == pytest.approx([psnr for psnr, _ in expected], abs=5e-5)
    assert found["ssim"] == pytest.approx([ssim for _, ssim in expected], abs=5e-5)


@pytest.mark.parametrize("name", ["osediff", "ntire2026"])
def test_psnr_and_ssim_are_those_of_iqa_pytorch(values, name: str) -> None:
    pyiqa = pytest.importorskip("pyiqa")
    found = values(name)
    for metric in ("psnr", "ssim"):
        theirs = pyiqa.create_metric(metric, test_y_channel=True, color_space="ycbcr", device=torch.device("cpu"))
        x, y = (
            torch.from_numpy(np.stack([make(seed) for seed in (0, 1)])).permute(0, 3, 1, 2) / 255
            for make in (distorted, smooth)
        )
        expected = theirs(x, y).flatten().tolist()
        # IQA-PyTorch adds 1e-8 to the mean squared error: 0.00006 dB here.
        assert found[metric] == pytest.approx(expected, abs=1e-4 if metric == "psnr" else 5e-5)


@pytest.mark.parametrize("name", protocol_names())
@pytest.mark.parametrize(("metric", "trunk"), [("stlpips", "alex"), ("stlpips-vgg", "vgg")])
def test_lpips_st_is_that_of_iqa_pytorch(values, name: str, metric: str, trunk: str) -> None:
    """The border of the protocol is left out of every metric that compares."""
    arch = pytest.importorskip("pyiqa.archs.stlpips_arch")
    theirs = arch.STLPIPS(net=trunk, pretrained_model_path=str(locate(f"lpips-st-{trunk}"))).eval()
    border = protocol(name).crop_border
    x, y = (
        torch.from_numpy(np.stack([make(seed) for seed in (0, 1)])).permute(0, 3, 1, 2)[
            :, :, border : 32 - border, border : 32 - border
        ]
        / 255
        for make in (distorted, smooth)
    )
    with torch.no_grad():
        expected = theirs(x, y).flatten().tolist()
    assert values(name, metric)[metric] == pytest.approx(expected, abs=5e-5)


def test_luma_is_about_1_3_db_above_rgb_on_gray_noise(values) -> None:
    """Noise that is alike in all channels: BT.601 luma has 219 / 255 of its range."""
    for seed, name in enumerate("ab"):
        noise = np.random.default_rng(seed).integers(-9, 10, (32, 32, 1))
        save(Path(f"ours/{name}.png"), np.clip(smooth(seed) + noise, 0, 255).astype(np.uint8))
    differences = np.subtract(values("osediff")["psnr"], values("rgb")["psnr"])
    assert differences == pytest.approx(20 * np.log10(255 / 219), abs=0.02)


def test_maniqa_is_another_network_in_each() -> None:
    assert protocol("osediff").variant("maniqa") == "maniqa-pipal"
    assert protocol("ntire2026").variant("maniqa") == "maniqa"
    assert protocol("rgb").variant("musiq") == "musiq"


@pytest.mark.parametrize("name", protocol_names())
def test_a_protocol_names_metrics_that_exist(name: str) -> None:
    one: Protocol = protocol(name)
    assert one.documentation
    assert one.title
    for metric in one.metrics:
        card(one.variant(metric))
    assert all(term.metric in one.metrics for derived in one.derived for term in derived.terms)
    assert (one.colour == "luma") == one.variant("psnr").startswith("psnr-y")


def test_the_score_of_ntire_by_hand() -> None:
    (score,) = protocol("ntire2026").derived
    means = {"lpips": 0.2, "dists": 0.1, "clipiqa": 0.6, "maniqa": 0.4, "musiq": 65.0, "niqe": 4.0}
    assert score.value(means) == (pytest.approx(0.8 + 0.9 + 0.6 + 0.4 + 0.65 + 0.6), ())
    assert score.value({**means, "niqe": 12.0})[0] == pytest.approx(0.8 + 0.9 + 0.6 + 0.4 + 0.65)
    del means["maniqa"]
    assert score.value(means) == (pytest.approx(3.55), ("maniqa",))
    assert np.isnan(score.value({})[0])


def test_an_unknown_protocol_lists_the_known_ones() -> None:
    with pytest.raises(UnknownNameError, match="unknown protocol 'luma-shave'; known: luma-shave4"):
        protocol("luma-shave")
