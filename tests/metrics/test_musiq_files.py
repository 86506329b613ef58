"""MUSIQ's weights in both file layouts: the same scores from either, and one line for files that are others."""

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from iqsr.errors import UnknownNameError, WeightsError
from iqsr.metrics.musiq import Musiq, load_musiq
from support.textured_pictures import picture

pytest.importorskip("pyiqa")


def flax_arrays(state: dict[str, Tensor]) -> dict[str, np.ndarray]:
    """The same weights in Google's layout: written from the names and shapes of its published model code."""
    arrays = {}

    def put(name: str, value: Any) -> None:
        arrays[f"opt/target/{name}"] = value.numpy()

    for theirs in ("conv_root", *(f"block1.{name}" for name in ("conv1", "conv2", "conv3", "conv_proj"))):
        flax = theirs.replace("block1.", "block1/unit1/")
        put(f"{flax}/kernel", state[f"{theirs}.weight"].permute(2, 3, 1, 0))
    for theirs in ("gn_root", *(f"block1.{name}" for name in ("gn1", "gn2", "gn3", "gn_proj"))):
        flax = theirs.replace("block1.", "block1/unit1/")
        put(f"{flax}/scale", state[f"{theirs}.weight"].view(1, 1, 1, -1))
        put(f"{flax}/bias", state[f"{theirs}.bias"].view(1, 1, 1, -1))
    for name in ("embedding", "head"):
        put(f"{name}/kernel", state[f"{name}.weight"].T)
        put(f"{name}/bias", state[f"{name}.bias"])
    encoder = "transformer_encoder"
    put("Transformer/cls", state[f"{encoder}.cls"])
    put("Transformer/posembed_input/pos_embedding", state[f"{encoder}.posembed_input.position_emb"])
    put("Transformer/scaleembed_input/scale_embedding", state[f"{encoder}.scaleembed_input.scale_emb"][None])
    put("Transformer/encoder_norm/scale", state[f"{encoder}.encoder_norm.weight"])
    put("Transformer/encoder_norm/bias", state[f"{encoder}.encoder_norm.bias"])
    for number in range(14):
        block, flax = f"{encoder}.transformer.encoderblock_{number}", f"Transformer/encoderblock_{number}"
        for norm, place in (("norm1", 0), ("norm2", 2)):
            put(f"{flax}/LayerNorm_{place}/scale", state[f"{block}.{norm}.weight"])
            put(f"{flax}/LayerNorm_{place}/bias", state[f"{block}.{norm}.bias"])
        attention = f"{flax}/MultiHeadDotProductAttention_1"
        for name in ("query", "key", "value"):
            put(f"{attention}/{name}/kernel", state[f"{block}.attention.{name}.weight"].T.reshape(384, 6, 64))
            put(f"{attention}/{name}/bias", state[f"{block}.attention.{name}.bias"].view(6, 64))
        put(f"{attention}/out/kernel", state[f"{block}.attention.out.weight"].T.reshape(6, 64, 384))
        put(f"{attention}/out/bias", state[f"{block}.attention.out.bias"])
        for dense, name in enumerate(("fc1", "fc2")):
            put(f"{flax}/MlpBlock_3/Dense_{dense}/kernel", state[f"{block}.mlp.{name}.weight"].T)
            put(f"{flax}/MlpBlock_3/Dense_{dense}/bias", state[f"{block}.mlp.{name}.bias"])
    return arrays


@pytest.fixture(scope="module")
def google_file(iqa_musiq, tmp_path_factory) -> Path:
    """As Google's: with the optimizer's state in a type that NumPy does not know (bfloat16 arrives as 2 raw bytes)."""
    path = tmp_path_factory.mktemp("google") / "koniq_ckpt.npz"
    moments = {"opt/state/step": np.int32(7), "opt/state/param_states/head/kernel/momentum": np.zeros((384, 1), "V2")}
    np.savez(path, **flax_arrays(iqa_musiq.state_dict()), **moments)
    return path


def test_googles_layout_gives_the_same_weights(musiq, google_file):
    loaded = Musiq().load(google_file)
    for name, value in musiq.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], value), name


def test_is_loaded_by_the_metrics_name_from_the_weights_folder(google_file, musiq_file, musiq, tmp_path, monkeypatch):
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path))
    with pytest.raises(
        WeightsError, match=r"'musiq-koniq' are not on this machine; run: iqsr weights fetch musiq-koniq"
    ):
        load_musiq("musiq")
    with pytest.raises(WeightsError, match=r"gresearch/musiq/paq2piq_ckpt\.npz and save it as .*musiq-paq2piq\.npz"):
        load_musiq("musiq-paq2piq")
    (tmp_path / "musiq-koniq.npz").write_bytes(google_file.read_bytes())
    (tmp_path / "musiq-paq2piq.pth").write_bytes(musiq_file.read_bytes())
    x = picture(1, 48, 64)
    assert torch.equal(load_musiq("musiq")(x), musiq(x))
    assert torch.equal(load_musiq("musiq-paq2piq")(x), musiq(x))
    with pytest.raises(UnknownNameError, match="musiq-spaq"):
        load_musiq("musiq-spak")


WRAPPED = {
    "params": lambda state: {"params": state},
    "params_ema first": lambda state: {"params": {}, "params_ema": state},
    "state_dict of a training": lambda state: {"epoch": 3, "state_dict": {f"net.{k}": v for k, v in state.items()}},
    "model, twice": lambda state: {"model": {"state_dict": {f"module.{k}": v for k, v in state.items()}}},
    "module.": lambda state: {f"module.{name}": value for name, value in state.items()},
    "beside a loss": lambda state: {f"musiq.{k}": v for k, v in state.items()} | {"loss.weight": torch.ones(1)},
    "half": lambda state: {"params": {name: value.half() for name, value in state.items()}},
}


@pytest.mark.parametrize("wrapped", WRAPPED)
@pytest.mark.parametrize("whose", ["IQA-PyTorch's", "ours"])
def test_what_trainings_wrap_around_weights_is_taken_off(musiq, iqa_musiq, tmp_path, wrapped: str, whose: str):
    state = iqa_musiq.state_dict() if whose == "IQA-PyTorch's" else musiq.state_dict()
    torch.save(WRAPPED[wrapped](state), tmp_path / "wrapped.pth")
    loaded, tolerance = Musiq().load(tmp_path / "wrapped.pth").state_dict(), 1e-2 if wrapped == "half" else 0
    for name, value in musiq.state_dict().items():
        assert torch.allclose(loaded[name], value, rtol=tolerance, atol=tolerance), name


class Bomb:
    """Raises an exception of its own when it is unpickled by a loader that runs code."""

    def __reduce__(self) -> tuple[Any, ...]:
        return exec, ("raise SystemExit('code from a weight file was run')",)


def test_files_that_are_not_musiqs_weights(musiq_file, google_file, tmp_path):
    state = torch.load(musiq_file, weights_only=True)
    torch.save({"head.weight": torch.zeros(1, 384), "x": Bomb()}, tmp_path / "bomb.pth")
    torch.save({"conv.weight": torch.zeros(3)}, tmp_path / "other.pth")
    torch.save([1, 2], tmp_path / "list.pth")
    torch.save({k: v for k, v in state.items() if k != "gn_root.bias"}, tmp_path / "incomplete.pth")
    torch.save(state | {"embedding.bias": torch.zeros(7)}, tmp_path / "shape.pth")
    (tmp_path / "cut.pth").write_bytes(musiq_file.read_bytes()[:100_000])
    (tmp_path / "cut.npz").write_bytes(google_file.read_bytes()[:100_000])
    (tmp_path / "empty.npz").write_bytes(b"")
    np.savez(tmp_path / "other.npz", a=np.zeros(3))
    pickled: dict[str, Any] = {"opt/target/head/kernel": np.array([Bomb()], dtype=object)}
    np.savez(tmp_path / "pickled.npz", **pickled)
    (tmp_path / "old.pth").write_bytes(pickle.dumps({"head.weight": Bomb()}, protocol=2))
    for path in sorted(tmp_path.iterdir()):
        with pytest.raises(WeightsError, match=path.name) as error:
            Musiq().load(path)
        assert "\n" not in str(error.value)
    with pytest.raises(WeightsError, match="cannot be read: No such file"):
        Musiq().load(tmp_path / "nothing.npz")
    with pytest.raises(WeightsError, match=r"predicts one score, not a distribution over 10 .* another variant"):
        Musiq("ava").load(musiq_file)
