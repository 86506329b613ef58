"""pyiqa's metrics behind our cards: directions, real values, gradients, and what a machine without internet sees.

PIQE holds the values of ResultsCalibra (5 pictures of TID2013, shipped with the pyiqa package), official first.
"""

import importlib.util
import inspect
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
import torchvision
from PIL import Image
from torch import Tensor, nn

from iqsr.errors import ModelError, UsageError, WeightsError
from iqsr.io import download
from iqsr.metrics import card, load_metric, metric_names
from iqsr.metrics.toolbox import ToolboxMetric, check_direction
from support.pickles import Payload

OF_PYIQA = [name for name in metric_names() if card(name).provider == "pyiqa"]
PIQE = {"I03": 100.0, "I04": 21.62, "I06": 35.86, "I08": 41.15, "I19": 76.95}


@pytest.fixture(scope="module")
def piqe():
    return load_metric("piqe")


def random_picture(height: int, width: int, count: int = 1) -> Tensor:
    return torch.rand(count, 3, height, width, generator=torch.Generator().manual_seed(0))


def calibration_picture(name: str) -> Tensor:
    spec = importlib.util.find_spec("ResultsCalibra")
    folder = Path(next(iter(spec.submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    picture = torch.from_numpy(np.array(Image.open(folder / "dist_dir" / f"{name}.bmp")))
    return picture.permute(2, 0, 1)[None] / 255


# What pyiqa says


@pytest.mark.parametrize("name", metric_names())
def test_pyiqa_agrees_with_our_cards(name):
    """Also for those that iqsr computes itself under pyiqa's names."""
    from pyiqa.default_model_configs import DEFAULT_CONFIGS

    if name not in DEFAULT_CONFIGS:
        assert card(name).provider != "pyiqa"
        return
    theirs = DEFAULT_CONFIGS[name]
    assert theirs.get("lower_better", False) is not card(name).higher_is_better
    assert theirs["metric_mode"] == {"none": "NR", "full": "FR", "set": "NR"}[card(name).reference]


def test_the_files_that_cards_name_are_those_that_pyiqa_asks_for():
    """Each stands in the source of one of pyiqa's modules."""
    spec = importlib.util.find_spec("pyiqa")
    folder = Path(next(iter(spec.submodule_search_locations)))  # type: ignore[union-attr,arg-type]
    source = "".join(p.read_text(encoding="utf-8") for p in (folder / "archs").glob("*.py"))
    source += inspect.getsource(torchvision.models.vgg)  # torchvision's own, which some are built on
    wanted = {file.removeprefix("hf:").removeprefix("pyiqa/") for name in OF_PYIQA for file in card(name).downloads}
    assert [file for file in wanted if file.removeprefix("clip/").removeprefix("checkpoints/") not in source] == []


def test_a_direction_that_pyiqa_denies_stops_everything():
    check_direction(card("piqe"), lower_is_better=True)
    with pytest.raises(ModelError, match="piqe: pyiqa and iqsr disagree on whether higher is better"):
        check_direction(card("piqe"), lower_is_better=False)


def test_pyiqa_is_imported_only_for_its_own_metrics():
    code = (
        "import sys; from iqsr.metrics import load_metric; load_metric('psnr'); load_metric('stlpips')\n"
        "import iqsr.metrics.toolbox; print('pyiqa' in sys.modules)"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "False\n"


# piqe, which needs no weights: for real


@pytest.mark.parametrize("name", PIQE)
def test_piqe_of_the_calibration_pictures(piqe, name):
    assert piqe(calibration_picture(name)).item() == pytest.approx(PIQE[name], abs=0.01)


def test_piqe_batch_equals_singles_at_an_odd_size(piqe):
    x = random_picture(61, 50, count=3)
    assert torch.equal(piqe(x), torch.cat([piqe(p) for p in x.split(1)]))
    assert piqe(x).shape == (3,)
    assert piqe(x).dtype == torch.float32


@pytest.mark.parametrize("level", [0.0, 0.5, 1.0])
def test_piqe_of_one_colour_is_the_worst_value_not_nan(piqe, level):
    assert piqe(torch.full((1, 3, 64, 64), level)).item() == 100


def test_a_black_picture_does_not_change_its_neighbours(piqe):
    x = random_picture(64, 64)
    assert torch.equal(piqe(torch.cat([torch.zeros_like(x), x])), torch.cat([torch.tensor([100.0]), piqe(x)]))


def test_piqe_takes_no_gradient_and_asks_for_none(piqe):
    x = random_picture(64, 64).requires_grad_()
    assert not piqe(x).requires_grad


def test_piqe_says_nothing_on_standard_output():
    code = "from iqsr.metrics import load_metric; load_metric('piqe')"
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == ""
    assert "created" not in run.stderr


# A learned one: cnniqa's network with random weights


@pytest.fixture(scope="module")
def cnniqa() -> ToolboxMetric:
    import pyiqa

    torch.manual_seed(0)
    options = {"as_loss": True, "loss_reduction": "none", "check_input_range": False, "pretrained": None}
    return ToolboxMetric(card("cnniqa"), pyiqa.create_metric("cnniqa", device=torch.device("cpu"), **options))


def test_gradients_pass_through_pyiqas_networks(cnniqa):
    x = random_picture(64, 70, count=2).requires_grad_()
    (gradient,) = torch.autograd.grad(cnniqa(x).sum(), x)
    assert gradient.isfinite().all()
    assert (gradient.flatten(1).abs().amax(1) > 0).all()


def test_no_grad_is_respected_though_pyiqa_turns_gradients_on(cnniqa):
    from iqsr.metrics.metric import Metric

    x = random_picture(64, 70).requires_grad_()
    with torch.no_grad():
        assert not Metric(card("cnniqa"), cnniqa)(x).requires_grad


def test_values_outside_0_to_1_pass_as_networks_give_them(cnniqa):
    assert cnniqa(random_picture(64, 64) * 1.1 - 0.05).isfinite().all()


class Broken(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return torch.full((len(x),), torch.nan)


def test_no_number_for_a_real_picture_is_an_error_not_a_number():
    with pytest.raises(ModelError, match="cnniqa: pyiqa found no value for a picture of 70x64"):
        ToolboxMetric(card("cnniqa"), Broken())(random_picture(64, 70))


def test_wrong_count_of_values_is_an_error():
    class Reduces(nn.Module):
        def forward(self, x: Tensor) -> Tensor:
            return x.mean()

    with pytest.raises(ModelError, match=r"cnniqa: pyiqa gave 1 values for 2 pictures"):
        ToolboxMetric(card("cnniqa"), Reduces())(random_picture(64, 70, count=2))


# No internet


@pytest.fixture
def offline(tmp_path, monkeypatch) -> Path:
    """Empty caches, and a hub where nobody answers."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    monkeypatch.setenv("HF_ENDPOINT", "http://127.0.0.1:9")
    return tmp_path


@pytest.mark.parametrize("name", ["nima", "niqe_matlab", "arniqa-tid", "pi"])
def test_without_internet_one_line_says_what_is_missing(offline, name):
    with pytest.raises(
        WeightsError, match=f"^{name}: pyiqa has to download .*, but http://127.0.0.1:9 cannot"
    ) as error:
        load_metric(name)
    assert "\n" not in str(error.value)
    assert str(offline / "torch" / "hub") in str(error.value)


def test_a_host_that_answers_anything_is_reachable(tmp_path):
    from http.server import BaseHTTPRequestHandler, HTTPServer
    from threading import Thread

    server = HTTPServer(("127.0.0.1", 0), type("Refuses", (BaseHTTPRequestHandler,), {"log_message": lambda *_: None}))
    Thread(target=server.serve_forever, daemon=True).start()
    try:
        download.check_reachable(f"http://127.0.0.1:{server.server_port}")
    finally:
        server.shutdown()


def test_a_damaged_file_in_pyiqas_cache_is_one_line(offline, monkeypatch):
    import pyiqa.utils.download_util

    folder = offline / "torch" / "hub" / "pyiqa"
    monkeypatch.setattr(pyiqa.utils.download_util, "DEFAULT_CACHE_DIR", str(folder))
    folder.mkdir(parents=True)
    (folder / "CNNIQA_koniq10k-e6f14c91.pth").write_bytes(b"not weights")
    with pytest.raises(ModelError, match=r"^cnniqa: pyiqa could not load it") as error:
        load_metric("cnniqa")
    assert "\n" not in str(error.value)


def test_a_package_that_pyiqa_forgets_is_named(monkeypatch):
    monkeypatch.setattr("iqsr.metrics.requirements.find_spec", lambda name: None if name == "icecream" else True)
    with pytest.raises(UsageError, match=r"'qalign' is not here; run: pip install 'icecream' \(pyiqa needs it"):
        load_metric("qalign")


def test_a_weight_file_of_pyiqa_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """pyiqa itself would run it: it loads this file with `weights_only=False`."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setattr("pyiqa.utils.download_util.DEFAULT_CACHE_DIR", str(tmp_path / "hub" / "pyiqa"), raising=False)
    (name,) = card("cnniqa").downloads
    file = tmp_path / "hub" / name
    file.parent.mkdir(parents=True)
    torch.save({"params": Payload(tmp_path / "payload ran")}, file)
    with pytest.raises(WeightsError, match="could run code"):
        load_metric("cnniqa")
    assert not (tmp_path / "payload ran").exists()
    assert "TORCH_FORCE_WEIGHTS_ONLY_LOAD" not in os.environ
