"""The OpenVINO backend: a drop-in for the generator's module."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import openvino as ov
import pytest
import torch
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn

from iqsr.engines.openvino import has_bf16
from iqsr.engines.openvino_module import OpenVinoModule
from iqsr.engines.tracing import TOLERANCE
from iqsr.errors import ModelError, UsageError
from iqsr.models import SRModel, load_model
from support.openvino_networks import small_compact

needs_bf16 = pytest.mark.skipif(not has_bf16(), reason="this CPU has no bf16")


def small_rrdbnet() -> SRModel:
    torch.manual_seed(0)
    module = ESRGAN(num_filters=16, num_blocks=2).eval().requires_grad_(False)
    return SRModel("small-rrdbnet", module, 4, "ESRGAN", "CC0-1.0")


@pytest.fixture(scope="module", params=[small_rrdbnet, small_compact], ids=["rrdbnet", "compact"])
def both(request) -> tuple[SRModel, OpenVinoModule]:
    model = request.param()
    return model, OpenVinoModule(model, threads=1)


def picture(*size: int) -> Tensor:
    return torch.rand(size, generator=torch.Generator().manual_seed(1))


def test_equals_torch_at_any_size(both):
    model, network = both
    for size in ((1, 3, 17, 33), (2, 3, 30, 11), (1, 3, 1, 1), (1, 3, 17, 33)):
        x = picture(*size)
        assert torch.allclose(network(x), model.module(x), rtol=0, atol=TOLERANCE)


def test_takes_any_memory_format_and_leaves_the_input_alone(both):
    model, network = both
    x = picture(1, 3, 24, 20)
    expected = model.module(x)
    channels_last = x.contiguous(memory_format=torch.channels_last)
    cut = picture(1, 3, 48, 40)[..., 3:27, 5:25]
    before = cut.clone()
    assert torch.allclose(network(channels_last), expected, rtol=0, atol=TOLERANCE)
    assert torch.allclose(network(cut), model.module(before), rtol=0, atol=TOLERANCE)
    assert torch.equal(cut, before)


def test_results_are_kept_apart(both):
    _, network = both
    first = network(torch.zeros(1, 3, 16, 16))
    kept = first.clone()
    network(torch.ones(1, 3, 16, 16))
    assert torch.equal(first, kept)


def test_takes_the_place_of_the_module(both):
    model, network = both
    swapped = replace(model, module=network)
    assert swapped.module(picture(1, 3, 9, 10)).shape == (1, 3, 36, 40)
    assert list(network.parameters()) == []


@needs_bf16
def test_bf16_is_used_and_close_to_fp32():
    model = load_model("realesr-animevideov3")
    x = picture(1, 3, 24, 32)
    difference = (OpenVinoModule(model, precision="bf16")(x) - model.module(x)).abs()
    assert difference.max() > TOLERANCE
    assert difference.mean() < 0.01


def test_bf16_is_refused_where_the_cpu_has_none(monkeypatch):
    monkeypatch.setattr("iqsr.engines.openvino.has_bf16", lambda: False)
    with pytest.raises(UsageError, match="no bf16"):
        OpenVinoModule(small_compact(), precision="bf16")


@pytest.mark.parametrize("threads", [1, 2])
def test_thread_count_is_honoured(threads):
    network = OpenVinoModule(small_compact(), threads=threads)
    assert network.threads == threads


@pytest.mark.parametrize(
    "x", [torch.zeros(3, 8, 8), torch.zeros(1, 1, 8, 8), torch.zeros(1, 3, 8, 8, dtype=torch.float64)]
)
def test_other_input_is_refused(both, x):
    with pytest.raises(UsageError, match=r"expected float32 \(N, 3, H, W\), got"):
        both[1](x)


def test_unknown_settings_are_refused():
    with pytest.raises(UsageError, match="unknown precision 'int4' for OpenVINO; known: fp32, bf16, int8"):
        OpenVinoModule(small_compact(), precision="int4")  # pyright: ignore[reportArgumentType]
    with pytest.raises(UsageError, match="at least 1 thread, got 0"):
        OpenVinoModule(small_compact(), threads=0)


class DependsOnSize(nn.Module):
    """Python decides by the size: a trace holds one side of it."""

    def forward(self, x: Tensor) -> Tensor:
        return torch.cat([x, x], 3) if x.shape[3] > 12 else torch.cat([x, 1 - x], 3)


def test_network_that_tracing_breaks_is_refused():
    model = SRModel("tricky", DependsOnSize(), 1, "Own", "CC0-1.0")
    with pytest.raises(ModelError, match="tricky: OpenVINO differs from torch") as error:
        OpenVinoModule(model)
    assert "\n" not in str(error.value)


def test_missing_openvino_names_its_extra(monkeypatch):
    monkeypatch.setitem(sys.modules, "openvino", None)  # import fails as if it was not installed
    with pytest.raises(ModelError, match=r"pip install 'iqsr\[openvino\]'"):
        OpenVinoModule(small_compact())


ENDING = """
import gc, os, signal
signal.signal(signal.SIGINT, signal.default_int_handler)  # a parent may have it ignored
from iqsr.engines.openvino_module import OpenVinoModule
from support.openvino_networks import small_compact

first = OpenVinoModule(small_compact(), threads=1)
second = OpenVinoModule(small_compact(), threads=1)
for name in ("first", "second"):
    del globals()[name]
    gc.collect()
try:
    os.kill(os.getpid(), signal.SIGINT)
except KeyboardInterrupt:
    print("interrupted")
"""


def test_ctrl_c_is_an_interrupt_after_networks_ended_in_the_order_they_came():
    command = [sys.executable, "-c", ENDING]
    ended = subprocess.run(command, cwd=Path(__file__).parents[1], capture_output=True, text=True, check=False)
    assert (ended.returncode, ended.stdout) == (0, "interrupted\n"), ended.stderr


def test_conversion_reports_nothing_over_the_network(monkeypatch):
    telemetry = pytest.importorskip("openvino_telemetry")
    monkeypatch.setenv("CI", "true")  # it leaves no file in the home folder then
    sent = []
    monkeypatch.setattr(telemetry.Telemetry, "send_event", lambda *args, **kwargs: sent.append(args))
    monkeypatch.setattr(telemetry.Telemetry, "start_session", lambda *args, **kwargs: sent.append(args))
    OpenVinoModule(small_compact())
    assert sent == []
    with pytest.warns(FutureWarning):
        ov.convert_model(small_compact().module, example_input=picture(1, 3, 8, 8))
    assert sent  # the public converter does, so this test would notice
