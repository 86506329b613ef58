"""Which precision is the faster one: measured, where the CPU has instructions for both."""

import pytest
import torch

from iqsr import Upscaler, device
from iqsr.device import bf16_gain, bf16_pays, fastest_dtype
from iqsr.engines import choice, openvino
from iqsr.engines.streaming import compile_rows
from iqsr.models import load_model

CPU = torch.device("cpu")
RRDBNET, COMPACT = "realesrgan-x4plus-anime", "realesr-animevideov3-x4"


@pytest.fixture
def gains(monkeypatch: pytest.MonkeyPatch):
    """Sets what the CPU is measured to gain."""

    def gains(value: float) -> None:
        monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": True})
        monkeypatch.setattr(device, "_measured_bf16_gain", lambda: value)

    return gains


def test_a_cpu_without_bf16_is_not_asked(monkeypatch: pytest.MonkeyPatch) -> None:
    """Emulated, the little measurement would take long."""
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx2": True})
    monkeypatch.setattr(device, "_measured_bf16_gain", lambda: pytest.fail("was measured"))
    assert bf16_gain(CPU) == 0
    assert not bf16_pays(CPU)


def test_what_is_measured_is_the_time_in_fp32_over_that_in_bf16(monkeypatch: pytest.MonkeyPatch) -> None:
    clock = [0.0]

    def convolve(x: torch.Tensor, *rest: object, **more: object) -> torch.Tensor:
        clock[0] += 3 if x.dtype == torch.float32 else 2
        return x

    monkeypatch.setattr(torch, "conv2d", convolve)
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock[0])
    assert device._measured_bf16_gain.__wrapped__() == 1.5


@pytest.mark.parametrize(
    ("seconds", "settled"),
    [([1.0, 1.05, 1.1], True), ([9.0, 1.1, 1.0, 5.0, 1.05], True), ([1.0, 1.0, 1.2], False), ([1.0, 2.0, 3.0], False)],
)
def test_three_shortest_times_that_hardly_differ_are_no_chance(seconds: list[float], settled: bool) -> None:
    assert device._settled(seconds) == settled


def test_what_else_the_machine_does_is_not_measured(monkeypatch: pytest.MonkeyPatch) -> None:
    """Each time is one that another process made longer but for every tenth one; fp32's and bf16's at other turns."""
    clock, turn = [0.0], [0]

    def convolve(x: torch.Tensor, *rest: object, **more: object) -> torch.Tensor:
        turn[0] += 1
        clock[0] += (3 if x.dtype == torch.float32 else 2) + (turn[0] % 10 > 1) * (turn[0] + 3)
        return x

    monkeypatch.setattr(torch, "conv2d", convolve)
    monkeypatch.setattr(device.time, "perf_counter", lambda: clock[0])
    assert device._measured_bf16_gain.__wrapped__() == 1.5
    assert turn[0] < 60


def test_the_measurement_leaves_the_number_of_threads_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    before, used = torch.get_num_threads(), set()
    convolve = torch.conv2d
    monkeypatch.setattr(torch, "conv2d", lambda *a, **k: (used.add(torch.get_num_threads()), convolve(*a, **k))[1])
    torch.set_num_threads(2)
    try:
        device._measured_bf16_gain.__wrapped__()
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)
    assert used == {1}


def test_the_measurement_ends_in_a_plausible_number() -> None:
    """Where bf16 is emulated, it is a hundredth or so."""
    assert 1e-4 < device._measured_bf16_gain.__wrapped__() < 100


@pytest.mark.parametrize(("gain", "dtype"), [(0.5, torch.float32), (1.1, torch.float32), (1.3, torch.bfloat16)])
def test_bf16_pays_where_it_is_clearly_faster(gain: float, dtype: torch.dtype, gains) -> None:
    gains(gain)
    assert fastest_dtype(CPU) == dtype


@pytest.mark.parametrize(
    ("gain", "dense", "other"),
    [(0.5, "fp32", "fp32"), (1.25, "fp32", "fp32"), (1.5, "fp32", "bf16"), (2.1, "bf16", "bf16")],
)
def test_auto_knows_that_winograds_convolutions_are_fast_in_fp32(
    gain: float, dense: str, other: str, gains, monkeypatch
) -> None:
    monkeypatch.setattr("iqsr.engines.streaming.engine.has_winograd", lambda device, dtype: dtype == torch.float32)
    gains(gain)
    assert Upscaler(RRDBNET, device="cpu").describe() == f"exact streaming, {dense}, cpu"
    assert Upscaler(COMPACT, device="cpu").describe() == f"exact streaming, {other}, cpu"


@pytest.mark.parametrize(("gain", "has", "expected"), [(0.5, True, "fp32"), (2.0, True, "bf16"), (2.0, False, "fp32")])
def test_openvinos_auto_goes_by_it_too(gain: float, has: bool, expected: str, gains, monkeypatch) -> None:
    gains(gain)
    monkeypatch.setattr(openvino, "has_bf16", lambda: has)
    assert choice.choose_precision("auto", CPU, "openvino") == expected


def test_a_precision_that_is_asked_for_is_taken(gains) -> None:
    gains(0.5)
    program = compile_rows(load_model(COMPACT).module)
    assert choice.choose_precision("bf16", CPU, "torch", program) == "bf16"
