"""Adapters as files: read as they were written, refused where damaged or another's, shipped with a network."""

import re
from collections.abc import Iterator
from copy import deepcopy
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from iqsr.errors import ModelError, UsageError, WriteError
from iqsr.models import SRModel
from iqsr.models.adapter import weights_sha256
from iqsr.models.checkpoint_reader import load_checkpoint
from iqsr.models.checkpoint_writer import write_checkpoint
from iqsr.models.lora import (
    load_adapter,
    lora_state,
    save_adapter,
)
from support.lora_networks import (
    TINY,
    compact,
    header,
    one_line,
    picture,
    run,
    tiny_rrdbnet,
    trained,
)


@pytest.fixture(params=TINY)
def tiny(request) -> tuple[SRModel, str]:
    make, targets = TINY[request.param]
    return make(), targets


# Files of adapters


@pytest.mark.parametrize("half", [True, False])
def test_an_adapter_comes_back_as_it_went(tiny, half, tmp_path):
    model, targets = tiny
    base = deepcopy(model.module)
    trained(model, targets)
    path = tmp_path / "new" / "a.safetensors"
    save_adapter(model.module, path, base=model.name, targets=targets, half=half, extra={"step": "7"})
    found = load_adapter(base, path)
    assert (found.base, found.rank, found.alpha, found.targets) == (model.name, 3, 3.0, (targets,))
    assert found.extra == {"step": "7"}
    assert {value.dtype for value in load_file(path).values()} == {torch.float16 if half else torch.float32}
    expected = {k: v.half().float() if half else v for k, v in lora_state(model.module).items()}
    loaded = lora_state(base)
    assert loaded.keys() == expected.keys()
    assert all(torch.equal(loaded[name], value) for name, value in expected.items())
    if not half:
        assert torch.equal(run(base, picture()), run(model.module, picture()))


def test_an_adapter_is_as_small_as_its_tensors(tmp_path):
    model = trained(compact(), "all-convs", rank=2)
    path = tmp_path / "a.safetensors"
    save_adapter(model.module, path, base=model.name, targets="all-convs")
    numbers = sum(value.numel() for value in lora_state(model.module).values())
    assert 2 * numbers < path.stat().st_size < 2 * numbers + 8000
    assert [file.name for file in tmp_path.iterdir()] == ["a.safetensors"]


def test_weights_have_one_hash_wherever_they_come_from(tmp_path):
    model = tiny_rrdbnet()
    sha256 = weights_sha256(model.module)
    write_checkpoint(model.module, "ESRGAN", tmp_path / "official.safetensors")
    torch.save({"params_ema": model.module.state_dict()}, tmp_path / "old.pth")
    assert weights_sha256(load_checkpoint(tmp_path / "official.safetensors").module) == sha256
    assert weights_sha256(load_checkpoint(tmp_path / "old.pth").module) == sha256
    assert weights_sha256(model.module.to(memory_format=torch.channels_last)) == sha256
    assert weights_sha256(trained(model, "rrdb-convs").module) == sha256
    next(model.module.parameters()).data[0, 0, 0, 0] += 1e-6
    assert weights_sha256(model.module) != sha256


def saved_adapter(path: Path, *, seed: int = 0) -> Path:
    model = trained(tiny_rrdbnet(seed), "rrdb-convs")
    save_adapter(model.module, path, base="tiny", targets="rrdb-convs")
    return path


def test_a_wrong_base_is_refused(tmp_path):
    path = saved_adapter(tmp_path / "a.safetensors")
    other = tiny_rrdbnet(seed=1).module
    with pytest.raises(ModelError, match=r"a\.safetensors: belongs to 'tiny' with the weights \w{12}, but") as error:
        load_adapter(other, path)
    one_line(error)
    assert not lora_state(other)


def damaged(path: Path) -> Iterator[tuple[str, str]]:
    """Each way to spoil the adapter at `path`, and what is said of it."""
    good, about = path.read_bytes(), header(path)
    tensors = {name: value.clone() for name, value in load_file(path).items()}
    first = next(iter(tensors))
    for content, line in (
        (good[:-100], r"damaged, it has \d+ bytes instead of \d+"),
        (good[:5000], "damaged, its end is missing"),
        (b"", "an empty file"),
        (b"text", "a text, not weights"),
        (good[:8] + b"\xff" * (len(good) - 8), "not a safetensors file, or damaged"),
    ):
        path.write_bytes(content)
        yield "cut", line
    save_file(tensors, path)
    yield "no header", "not an adapter that iqsr wrote"
    save_file(tensors, path, about | {"rank": "many"})
    yield "rank", "a damaged adapter: its header"
    save_file(tensors, path, {key: value for key, value in about.items() if key != "base"})
    yield "no base", "a damaged adapter: its header"
    save_file({name: value for name, value in tensors.items() if name != first}, path, about)
    yield "missing", "its tensors are not the A and B of layers of rank 3"
    save_file(tensors, path, about | {"rank": "4"})
    yield "another rank", "of layers of rank 4"
    save_file(tensors | {first: tensors[first].fill_(float("nan"))}, path, about)
    yield "nan", "holds NaN"


def test_a_damaged_adapter_is_refused(tmp_path):
    path = saved_adapter(tmp_path / "a.safetensors")
    seen = 0
    for way, line in damaged(path):
        with pytest.raises(ModelError, match=f"^{re.escape(str(path))}: .*{line}") as error:
            load_adapter(tiny_rrdbnet().module, path)
        one_line(error)
        assert way
        seen += 1
    assert seen == 11
    with pytest.raises(UsageError, match=r"^no such adapter: '.*gone\.safetensors'$"):
        load_adapter(tiny_rrdbnet().module, tmp_path / "gone.safetensors")


def test_an_adapter_that_fp16_cannot_hold_is_not_written(tmp_path):
    module = trained(tiny_rrdbnet(), "rrdb-convs").module
    next(iter(lora_state(module).values())).fill_(1e6)
    saved_adapter(tmp_path / "a")
    before = (tmp_path / "a").read_bytes()
    with pytest.raises(ModelError, match=r"not written: .* holds infinite values .* in torch\.float16"):
        save_adapter(module, tmp_path / "a", base="tiny", targets="rrdb-convs")
    assert (tmp_path / "a").read_bytes() == before
    save_adapter(module, tmp_path / "a", base="tiny", targets="rrdb-convs", half=False)


def test_an_adapter_that_cannot_be_written_is_told(tmp_path):
    (tmp_path / "file").touch()
    with pytest.raises(WriteError, match="cannot write"):
        saved_adapter(tmp_path / "file" / "a.safetensors")
