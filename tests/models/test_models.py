"""Generators: by name, and from checkpoints that strangers made."""

import pickle

import pytest
import torch
from safetensors.torch import save_file
from spandrel import ImageModelDescriptor, ModelLoader
from spandrel.architectures.Compact import Compact
from spandrel.architectures.DnCNN import DnCNN
from spandrel.architectures.ESRGAN import ESRGAN
from spandrel.architectures.MMRealSR import MMRealSR
from spandrel.architectures.SwinIR import SwinIR

from iqsr import Upscaler
from iqsr.errors import ModelError, UnknownNameError, UsageError, WeightsError
from iqsr.models import load_model, model_names
from iqsr.models.checkpoint_writer import official_state
from iqsr.models.real_esrgan import RRDBNet, SRVGGNetCompact
from iqsr.upscaling.upscaler import DEFAULT_MODEL
from support.pickles import Payload

PACKAGED = {
    "realesrgan-x4plus-crisp": (4, "ESRGAN", 16_697_987),
    "realesrgan-x4plus": (4, "ESRGAN", 16_697_987),
    "iqsr-compact-x4": (4, "Compact", 695_408),
    "realesrgan-x4plus-anime": (4, "ESRGAN", 4_467_779),
    "realesr-animevideov3-x2": (2, "Compact", 621_424),
    "realesr-animevideov3-x3": (3, "Compact", 621_424),
    "realesr-animevideov3-x4": (4, "Compact", 621_424),
}


def picture(height: int, width: int) -> torch.Tensor:
    return torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(0))


def one_line(error: pytest.ExceptionInfo[Exception]) -> str:
    text = str(error.value)
    assert "\n" not in text
    return text


@pytest.mark.parametrize("name", PACKAGED)
def test_named_generator_is_what_it_says(name):
    model = load_model(name)
    scale, architecture, parameters = PACKAGED[name]
    assert (model.name, model.scale, model.architecture) == (name, scale, architecture)
    assert model.licence == "BSD-3-Clause"
    assert sum(p.numel() for p in model.module.parameters()) == parameters
    assert model.module(picture(5, 7)).shape == (1, 3, 5 * scale, 7 * scale)


@pytest.mark.parametrize("name", PACKAGED)
def test_named_generator_is_ready_to_run(name):
    module = load_model(name).module
    assert not any(part.training for part in module.modules())
    tensors = [*module.parameters(), *module.buffers()]
    assert not any(tensor.requires_grad for tensor in tensors)
    assert {(tensor.dtype, tensor.device.type) for tensor in tensors} == {(torch.float32, "cpu")}
    assert not module(picture(4, 4)).requires_grad


@pytest.mark.parametrize("name", ["realesrgan-x4plus-anime", "realesr-animevideov3", "iqsr-compact-x4"])
def test_named_networks_are_spandrels(name):
    ours = load_model(name)
    theirs = ModelLoader("cpu").load_from_state_dict(official_state(ours.module, ours.architecture))
    assert (theirs.architecture.id, theirs.scale) == (ours.architecture, ours.scale)
    state = theirs.model.state_dict()
    assert list(state) == list(ours.module.state_dict())
    assert all(torch.equal(state[key], value) for key, value in ours.module.state_dict().items())
    x = picture(9, 14)
    with torch.inference_mode():
        assert torch.equal(ours.module(x), theirs.model(x))


@pytest.mark.parametrize("scale", [1, 2, 8])
def test_plain_networks_of_other_scales_are_spandrels(scale):
    for ours, theirs in (
        (RRDBNet(blocks=2, features=16, scale=scale), ESRGAN(num_filters=16, num_blocks=2, scale=scale)),
        (SRVGGNetCompact(convolutions=2, features=8, scale=scale), Compact(num_feat=8, num_conv=2, upscale=scale)),
    ):
        theirs.load_state_dict(ours.state_dict())
        with torch.inference_mode():
            assert torch.equal(ours(picture(7, 6)), theirs(picture(7, 6)))


@pytest.mark.parametrize("name", ["realesrgan-x4plus-anime", "realesr-animevideov3-x3"])
def test_smallest_picture(name):
    model = load_model(name)
    side = model.minimum_size
    assert side == 1
    assert model.module(picture(side, side)).shape[2:] == (model.scale, model.scale)


def test_animevideo_without_suffix_is_x4():
    x = picture(6, 9)
    assert torch.equal(load_model("realesr-animevideov3").module(x), load_model("realesr-animevideov3-x4").module(x))


def test_loading_leaves_the_number_of_threads_alone():
    before = torch.get_num_threads()
    load_model("realesr-animevideov3")
    assert torch.get_num_threads() == before


def test_default_comes_first_in_the_names():
    assert model_names()[0] == DEFAULT_MODEL
    assert set(PACKAGED) < set(model_names())


def test_unknown_name_lists_nearest_first():
    with pytest.raises(UnknownNameError) as error:
        load_model("realesrgan-x4plus-anim")
    assert "known: realesrgan-x4plus-anime, realesrgan-x4plus," in one_line(error)


def test_name_without_its_weights_says_what_to_run(tmp_path, monkeypatch):
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path))
    with pytest.raises(WeightsError, match="iqsr weights fetch realesrgan-x2plus"):
        load_model("realesrgan-x2plus")


@pytest.mark.parametrize("suffix", [".safetensors", ".pth", ".ckpt"])
def test_checkpoint_of_a_packaged_network_gives_the_same_output(tmp_path, suffix):
    packaged = load_model("realesr-animevideov3")
    path = tmp_path / f"my model{suffix}"
    state = packaged.module.state_dict()
    save_file(state, path) if suffix == ".safetensors" else torch.save({"params_ema": state}, path)
    loaded = load_model(str(path))
    x = picture(21, 13)
    assert torch.equal(loaded.module(x), packaged.module(x))
    assert (loaded.name, loaded.scale, loaded.licence) == ("my model", 4, "unknown")


def test_content_decides_not_the_suffix(tmp_path):
    save_file(load_model("realesr-animevideov3").module.state_dict(), tmp_path / "named_wrong.pth")
    assert load_model(tmp_path / "named_wrong.pth").architecture == "Compact"


def test_half_precision_checkpoint_runs_in_fp32(tmp_path):
    torch.save(Compact(num_feat=16, num_conv=2, upscale=2).half().state_dict(), tmp_path / "half.pth")
    model = load_model(tmp_path / "half.pth")
    assert {p.dtype for p in model.module.parameters()} == {torch.float32}
    assert not model.module.training


def test_size_requirements_are_kept(tmp_path):
    unshuffled = ESRGAN(in_nc=12, num_filters=16, num_blocks=1, scale=4, shuffle_factor=2)
    torch.save(unshuffled.state_dict(), tmp_path / "x2.pth")
    model = load_model(tmp_path / "x2.pth")
    assert (model.scale, model.size_multiple, model.minimum_size) == (2, 4, 4)
    assert model.module(picture(4, 8)).shape == (1, 3, 8, 16)


def test_transformer_loads(tmp_path):
    network = SwinIR(
        img_size=16,
        window_size=8,
        depths=[2],
        num_heads=[2],
        embed_dim=12,
        upsampler="pixelshuffledirect",
        upscale=2,
    )
    torch.save(network.state_dict(), tmp_path / "swinir.pth")
    model = load_model(tmp_path / "swinir.pth")
    assert (model.architecture, model.scale) == ("SwinIR", 2)
    side = max(model.minimum_size, model.size_multiple)
    assert model.module(picture(side, side)).shape == (1, 3, 2 * side, 2 * side)


@pytest.mark.parametrize("legacy", [True, False])
def test_malicious_pickle_is_refused_and_does_not_run(tmp_path, legacy):
    proof, path = tmp_path / "payload ran", tmp_path / "evil.pth"
    state = {"params": {"body.0.weight": torch.zeros(1), "x": Payload(proof)}}
    torch.save(state, path, _use_new_zipfile_serialization=not legacy)
    with pytest.raises(ModelError) as error:
        load_model(path)
    assert "wants to run code" in one_line(error)
    assert "system" in one_line(error)
    assert not proof.exists()


def test_the_payload_is_real(tmp_path):
    """An ordinary unpickler does run it; without this, the test above could not fail."""
    pickle.loads(pickle.dumps(Payload(tmp_path / "ran")))
    assert (tmp_path / "ran").exists()


def test_bare_malicious_pickle_is_refused(tmp_path):
    (tmp_path / "evil.pth").write_bytes(pickle.dumps(Payload(tmp_path / "ran")))
    with pytest.raises(ModelError, match=r"evil\.pth") as error:
        load_model(tmp_path / "evil.pth")
    one_line(error)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    "content",
    [
        {"a": torch.zeros(3), "b": torch.ones(2, 2)},
        {"epoch": 3, "name": "run"},
        {1: 2},
        {},
        {"state_dict": {}},
        {"body.0.weight": torch.zeros(3), "body.1.weight": torch.zeros(1)},
    ],
)
def test_other_checkpoints_are_not_networks(tmp_path, content):
    torch.save(content, tmp_path / "other.pth")
    with pytest.raises(ModelError, match="not a super-resolution network that spandrel knows") as error:
        load_model(tmp_path / "other.pth")
    one_line(error)


def test_bare_tensor_is_not_a_network(tmp_path):
    torch.save(torch.zeros(3), tmp_path / "tensor.pth")
    with pytest.raises(ModelError, match="holds a Tensor, not the weights of a network"):
        load_model(tmp_path / "tensor.pth")


@pytest.mark.parametrize("restorer", [
    DnCNN(in_nc=3, out_nc=3, nc=16, nb=4, mode="DnCNN"),
    Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2, upscale=1),
    ESRGAN(num_filters=8, num_blocks=1, scale=1),
], ids=["DnCNN", "Compact", "ESRGAN"])  # fmt: skip
def test_restorer_keeps_the_size(tmp_path, restorer):
    torch.save(restorer.state_dict(), tmp_path / "restorer.pth")
    model = load_model(tmp_path / "restorer.pth")
    x = torch.rand(1, 3, 34, 41, generator=torch.Generator().manual_seed(0))
    with torch.inference_mode():
        wanted = restorer.eval()(x).clamp(0, 1)
    assert model.scale == 1
    assert (Upscaler(model, precision="fp32").upscale(x).clamp(0, 1) - wanted).abs().max() < 1e-5


def test_network_for_another_purpose_is_refused(tmp_path, monkeypatch):
    torch.save(Compact(num_in_ch=3, num_out_ch=3, num_feat=8, num_conv=2).state_dict(), tmp_path / "face.pth")
    monkeypatch.setattr(ImageModelDescriptor, "purpose", "FaceSR")
    with pytest.raises(ModelError, match=r"a Compact network \(FaceSR\), not one for super-resolution or restoration"):
        load_model(tmp_path / "face.pth")


def test_gray_network_is_refused(tmp_path):
    torch.save(Compact(num_in_ch=1, num_out_ch=1, num_feat=8, num_conv=1).state_dict(), tmp_path / "gray.pth")
    with pytest.raises(ModelError, match="from 1 to 1 channels; only RGB"):
        load_model(tmp_path / "gray.pth")


def test_network_with_a_special_call_is_refused(tmp_path):
    network = MMRealSR(num_in_ch=3, num_out_ch=3, num_feat=8, num_block=2, num_grow_ch=4, num_feats=[8, 8, 8, 8])
    torch.save(network.state_dict(), tmp_path / "mm.pth")
    with pytest.raises(ModelError, match="MMRealSR networks need a special call"):
        load_model(tmp_path / "mm.pth")


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"hello, this is text",
        b"PK\x03\x04" + b"\0" * 64,
        b"\x80\x02}q\x00.",
        b"\0" * 8 + b"{" + b"\xff" * 64,
    ],
)
@pytest.mark.parametrize("suffix", [".pth", ".safetensors"])
def test_damaged_file_is_one_line(tmp_path, content, suffix):
    path = tmp_path / f"damaged{suffix}"
    path.write_bytes(content)
    with pytest.raises(ModelError, match=f"^{path}: ") as error:
        load_model(path)
    one_line(error)


def test_truncated_checkpoint_is_one_line(tmp_path):
    path = tmp_path / "cut.pth"
    torch.save(load_model("realesr-animevideov3").module.state_dict(), path)
    path.write_bytes(path.read_bytes()[:500_000])
    with pytest.raises(ModelError, match="damaged") as error:
        load_model(path)
    one_line(error)


@pytest.mark.parametrize("missing", ["no/such/model", "model.pth", "./model.safetensors"])
def test_missing_file_is_one_line(missing, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UsageError, match=f"^no such checkpoint: '{missing.removeprefix('./')}'$"):
        load_model(missing)


def test_folder_is_not_a_model(tmp_path):
    with pytest.raises(UsageError, match="a folder, not a checkpoint"):
        load_model(tmp_path)
