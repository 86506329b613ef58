"""Files that were given as weights and are none, or are broken: the reason is told, and what to do."""

import random
import re
from io import BytesIO
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save, save_file

from iqsr.errors import IqsrError, ModelError, UsageError, WeightsError
from iqsr.finite import not_finite
from iqsr.metrics.musiq import Musiq
from iqsr.metrics.srq import load_srq
from iqsr.models import load_model
from iqsr.models.interpolate import interpolate
from iqsr.preparation.enhance import load_enhancer
from support.cli_pictures import picture
from support.commands import Run
from support.model_samples import CUT, FOREIGN, OPENVINO, OTHER, PAGE, PARAM, flipped, saved, weights, with_value, write

AGAIN = "damaged, or its training failed; fetch it again, or take an earlier one"


def told(path: Path) -> str:
    """What is said of a file, after its name."""
    with pytest.raises(ModelError) as error:
        load_model(path)
    text = str(error.value)
    assert text.startswith(f"{path}: ")
    assert "\n" not in text
    return text.removeprefix(f"{path}: ")


@pytest.mark.parametrize("name", FOREIGN)
def test_what_a_file_is_is_told(name: str, tmp_path: Path) -> None:
    make, expected = FOREIGN[name]
    text = told(write(tmp_path, name, make()))
    assert text.startswith(expected) or expected in text
    assert "damaged" not in text


@pytest.mark.parametrize(
    ("description", "engine"), [(("net.param", PARAM), "ncnn"), (("net.xml", OPENVINO), "OpenVINO")]
)
def test_weights_without_a_mark_of_their_own_go_by_what_lies_beside(
    description: tuple[str, bytes], engine: str, tmp_path: Path
) -> None:
    write(tmp_path, *description)
    assert told(write(tmp_path, "net.bin", bytes(40))).startswith(f"weights for {engine}; ")


def test_weights_of_pytorch_called_bin_are_read(tmp_path: Path) -> None:
    assert load_model(write(tmp_path, "pytorch_model.bin", saved(weights()))).scale == 2


@pytest.mark.parametrize("kind", OTHER)
def test_what_a_checkpoint_holds_instead_is_told(kind: str, tmp_path: Path) -> None:
    make, expected = OTHER[kind]
    assert expected in told(write(tmp_path, "other.pth", saved(make())))


@pytest.mark.parametrize("name", CUT)
def test_a_cut_or_lengthened_file_is_damaged(name: str, tmp_path: Path) -> None:
    assert re.match(
        r"damaged, (its end is missing|it has \d+ bytes instead of \d+)[:;] ", told(write(tmp_path, name, CUT[name]()))
    )


def test_a_folder_is_no_checkpoint(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"a folder, not a checkpoint \(iqsr merge makes one of a run's\)"):
        load_model(tmp_path)


# Values that are no numbers


def test_every_kind_of_broken_number_is_found() -> None:
    for dtype in (torch.float16, torch.bfloat16, torch.float32, torch.float64, torch.float8_e4m3fn):
        value = torch.tensor([1, float("nan"), 2]).to(dtype)
        assert not_finite([("a", torch.ones(2, dtype=dtype)), ("b", value)]) == "b holds NaN (1 of 3 values)"
    assert not_finite([("a", torch.tensor([float("-inf"), 1.0]))]) == "a holds infinite values (1 of 2 values)"
    assert not_finite([("a", torch.tensor([2**40])), ("b", torch.empty(0))]) is None


@pytest.mark.parametrize("value", [float("nan"), float("inf"), float("-inf")])
@pytest.mark.parametrize("form", ["pth", "safetensors", "nested", "half"])
def test_weights_that_are_no_numbers_are_named(value: float, form: str, tmp_path: Path) -> None:
    state = with_value(value, torch.float16 if form == "half" else torch.float32)
    content = save(state) if form == "safetensors" else saved({"params_ema": state} if form == "nested" else state)
    kind = "NaN" if value != value else "infinite values"
    path = write(tmp_path, f"net.{'safetensors' if form == 'safetensors' else 'pth'}", content)
    assert told(path) == f"body.1.weight holds {kind} (1 of 8 values): {AGAIN}"
    with pytest.raises(ModelError, match=r"body\.1\.weight holds"):
        load_enhancer(str(path))


def test_double_precision_that_float32_cannot_hold_is_named(tmp_path: Path) -> None:
    path = write(tmp_path, "net.pth", saved(with_value(1e300, torch.float64)))
    assert told(path) == f"body.1.weight holds infinite values (1 of 8 values) in float32: {AGAIN}"


def test_what_is_not_used_may_be_broken(tmp_path: Path) -> None:
    content = saved({"params": with_value(float("nan")), "params_ema": weights()})
    module = load_model(write(tmp_path, "net.pth", content)).module
    assert all(torch.equal(module.state_dict()[name], value) for name, value in weights().items())


def test_every_command_that_reads_weights_names_them(
    iqsr: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    picture("a.png")
    write(tmp_path, "nan.pth", saved(with_value(float("nan"))))
    write(tmp_path, "good.pth", saved(weights()))
    for command in (
        ["upscale", "a.png", "-m", "nan.pth"],
        ["interpolate", "good.pth", "nan.pth", "-o", "o.safetensors"],
        ["export", "nan.pth", "-o", "o.safetensors"],
        ["export", "nan.pth", "-o", "o.onnx"],
    ):
        ended = iqsr(*command)
        assert (ended.code, ended.out) == (1, "")
        assert ended.err == f"iqsr: nan.pth: body.1.weight holds NaN (1 of 8 values): {AGAIN}\n"
    assert {path.name for path in tmp_path.iterdir()} == {"a.png", "nan.pth", "good.pth"}


def test_a_mean_that_overflows_is_named(tmp_path: Path) -> None:
    one, other = (write(tmp_path, f"{n}.pth", saved(with_value(sign * 3e38))) for n, sign in (("a", 1), ("b", -1)))
    with pytest.raises(ModelError, match=r"body\.1\.weight holds infinite values \(1 of 8 values\), 2 of the way"):
        interpolate(one, other, tmp_path / "o.safetensors", share=2)


# Metrics


def test_a_predictors_weights_that_are_no_numbers_are_named(tmp_path: Path) -> None:
    state = load_file(Path(__file__).parents[2] / "src" / "iqsr" / "metrics" / "srq.safetensors")
    state["head.out.bias"][0] = float("nan")
    save_file(state, tmp_path / "srq.safetensors")
    with pytest.raises(WeightsError, match=r"srq\.safetensors: head\.out\.bias holds NaN \(1 of 2 values\)"):
        load_srq(tmp_path / "srq.safetensors")
    with pytest.raises(WeightsError, match="a web page, not the file itself"):
        load_srq(write(tmp_path, "page.safetensors", PAGE))


def test_musiqs_weights_that_are_no_numbers_are_named(musiq_file: Path, tmp_path: Path) -> None:
    state = torch.load(musiq_file, weights_only=True)
    state["embedding.bias"][0] = float("inf")
    torch.save(state, tmp_path / "m.pth")
    with pytest.raises(WeightsError, match=r"m\.pth: embedding\.bias holds infinite values"):
        Musiq().load(tmp_path / "m.pth")
    for name in ("page.pth", "page.npz"):
        with pytest.raises(WeightsError, match="a web page, not the file itself"):
            Musiq().load(write(tmp_path, name, PAGE))


def test_a_flipped_bit_in_musiqs_weights_is_seen(musiq_file: Path, tmp_path: Path) -> None:
    data = musiq_file.read_bytes()
    with pytest.raises(WeightsError, match=r"the checksum of its part '.*' is wrong; fetch the file again"):
        Musiq().load(write(tmp_path, "m.pth", flipped(data, len(data) // 2, 7)))


# Flipped bits


def test_no_flipped_bit_changes_the_weights(tmp_path: Path) -> None:
    data, draw, refused = saved(weights()), random.Random(0), 0
    for _ in range(150):
        path = write(tmp_path, "net.pth", flipped(data, draw.randrange(len(data)), draw.randrange(8)))
        try:
            state = load_model(path).module.state_dict()
        except IqsrError:
            refused += 1
            continue
        assert all(torch.equal(state[name], value) for name, value in weights().items())
    assert refused > 30  # the others hit what is between the parts


def test_a_flipped_bit_in_a_weight_is_told_with_its_part(tmp_path: Path) -> None:
    data, value = saved(weights()), weights()["body.2.weight"].numpy().tobytes()
    path = write(tmp_path, "net.pth", flipped(data, data.index(value) + 3, 7))
    assert re.match(r"damaged: the checksum of its part '\w+/data/\d' is wrong; fetch it again", told(path))


def test_checkpoints_without_checksums_are_read(tmp_path: Path) -> None:
    torch.serialization.set_crc32_options(False)
    try:
        content = saved(weights())
    finally:
        torch.serialization.set_crc32_options(True)
    assert load_model(write(tmp_path, "net.pth", content)).scale == 2


def test_a_flipped_bit_in_googles_arrays_is_seen(tmp_path: Path) -> None:
    file = BytesIO()
    arrays: dict[str, Any] = {"opt/target/head/kernel": np.ones((384, 1), np.float32)}
    np.savez(file, **arrays)
    data = file.getvalue()
    with pytest.raises(WeightsError, match="Bad CRC-32"):
        Musiq().load(write(tmp_path, "m.npz", flipped(data, data.index(np.float32(1).tobytes()), 0)))
