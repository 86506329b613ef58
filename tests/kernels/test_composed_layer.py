"""Composed adapters against peft's own: output, gradients, and what is left behind (nothing)."""

from collections.abc import Callable
from copy import deepcopy

import pytest
import torch
from peft.tuners.lora import Conv2d as PeftConv
from spandrel.architectures.ESRGAN import ESRGAN
from torch import Tensor, nn

from iqsr.kernels.composed_layer import AdapterCost
from iqsr.kernels.dense_block import DenseBlock
from iqsr.kernels.dense_pass import DenseBlockPass
from iqsr.kernels.winograd_tiling import WinogradTiling
from iqsr.models import load_model
from iqsr.models.lora import LoraAsOneConvolution, adapted_layers, add_lora, lora_state, merge_adapter
from iqsr.models.untrained import new_rrdbnet, new_swinir
from support.counting import calls


def normal(*shape: int, seed: int = 0, dtype: torch.dtype = torch.float64) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def rrdbnet() -> nn.Module:
    return new_rrdbnet(blocks=1, features=16, seed=0).module


def strided() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Conv2d(3, 24, 5, stride=2, padding=1, bias=False), nn.Conv2d(24, 3, (1, 3)))


def linear() -> nn.Module:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        return nn.Sequential(nn.Linear(12, 40), nn.GELU(), nn.Linear(40, 7, bias=False))


def adapted(module: nn.Module, targets: str, rank: int, *, dtype: torch.dtype = torch.float64) -> nn.Module:
    """As after some training, with alpha other than the rank."""
    module.to(dtype, memory_format=torch.channels_last)  # type: ignore[call-overload]
    add_lora(module, rank, targets=targets, alpha=1.5 * rank, seed=0)
    for number, (name, value) in enumerate(lora_state(module).items()):
        if ".lora_B." in name:
            value.copy_(normal(*value.shape, seed=number, dtype=dtype) * 0.1)
    return module


def learned(module: nn.Module, x: Tensor, *, composed: LoraAsOneConvolution | None = None) -> list[Tensor]:
    """The output, and the gradients of the input and all that learns, for some objective."""
    x, parameters = x.clone().requires_grad_(True), [p for p in module.parameters() if p.requires_grad]
    if composed:
        with composed.applied():
            y = module(x)
    else:
        y = module(x)
    return [y.detach(), *torch.autograd.grad((y * normal(*y.shape, seed=9, dtype=y.dtype)).sum(), [x, *parameters])]


def faster(module: nn.Module, x: Tensor) -> list[Tensor]:
    return learned(module, x, composed=LoraAsOneConvolution(module))


def largest_error(found: list[Tensor], wanted: list[Tensor]) -> float:
    """Relative to the largest value of each."""
    return max(float((a - b).abs().max() / b.abs().max()) for a, b in zip(found, wanted, strict=True))


KINDS: dict[str, tuple[Callable[[], nn.Module], str, tuple[int, ...]]] = {
    "RRDBNet": (rrdbnet, "rrdb-convs", (2, 3, 16, 20)),
    "RRDBNet, sides that are no multiples of 4": (rrdbnet, "rrdb-convs", (1, 3, 15, 22)),
    "RRDBNet, too small for Winograd": (rrdbnet, "rrdb-convs", (1, 3, 9, 9)),
    "RRDBNet, some layers of each block": (rrdbnet, r".*conv[135]\.0", (1, 3, 8, 8)),
    "RRDBNet, every layer": (rrdbnet, "all-convs", (1, 3, 16, 16)),
    "Compact": (lambda: load_model("realesr-animevideov3-x4").module, "all-convs", (1, 3, 12, 12)),
    "strides and other kernels": (strided, "all-convs", (2, 3, 31, 20)),
    "linear": (linear, "all-linears", (2, 50, 12)),
    "linear, a single token": (linear, "all-linears", (1, 12)),
}


@pytest.mark.parametrize("rank", [2, 24])
@pytest.mark.parametrize("kind", KINDS)
def test_output_and_gradients_are_pefts(kind: str, rank: int) -> None:
    make, targets, shape = KINDS[kind]
    module = adapted(make(), targets, rank)
    x = normal(*shape)
    assert largest_error(faster(module, x), learned(module, x)) < 1e-10


def test_output_and_gradients_of_a_swinir_are_pefts() -> None:
    """In fp32: it makes tensors of its own."""
    module = new_swinir(depths=(2,), dim=12, heads=(2,), seed=0).module
    module = adapted(module, "all-linears", 4, dtype=torch.float32).eval()
    x = normal(1, 3, 16, 24, dtype=torch.float32)
    assert largest_error(faster(module, x), learned(module, x)) < 1e-5


def test_a_block_in_fp32_is_within_rounding() -> None:
    block = adapted(rrdbnet(), "rrdb-convs", 8, dtype=torch.float32).get_submodule("model.1.sub.0.RDB1")
    x = normal(2, 16, 32, 32, dtype=torch.float32)
    exact = learned(deepcopy(block).double(), x.double())
    assert largest_error(faster(block, x), exact) < 1e-5


@pytest.mark.parametrize(
    ("cost", "by_rank", "worthwhile"),
    [
        (AdapterCost(rank=8, inputs=9 * 64, outputs=32, positions=2048), True, True),
        (AdapterCost(rank=24, inputs=9 * 64, outputs=32, positions=2048), False, True),
        (AdapterCost(rank=24, inputs=9 * 192, outputs=64, positions=2048), True, True),
        (AdapterCost(rank=48, inputs=180, outputs=360, positions=8192), True, True),
        (AdapterCost(rank=8, inputs=9 * 64, outputs=64, positions=16), True, False),
    ],
)
def test_the_cheaper_way_is_taken(cost: AdapterCost, by_rank: bool, worthwhile: bool) -> None:
    assert (cost.by_rank, cost.worthwhile) == (by_rank, worthwhile)


def test_peft_is_asked_where_it_is_the_cheaper_way_and_only_there(monkeypatch: pytest.MonkeyPatch) -> None:
    module = adapted(nn.Sequential(nn.Conv2d(8, 64, 3, padding=1)), "all-convs", 4)
    by_peft = calls(monkeypatch, PeftConv, "forward")
    faster(module, normal(1, 8, 12, 12))
    assert len(by_peft) == 0
    faster(module, normal(1, 8, 3, 3))
    assert len(by_peft) == 1


def test_blocks_go_by_winograd_where_all_of_their_layers_have_adapters(monkeypatch: pytest.MonkeyPatch) -> None:
    transformed = calls(monkeypatch, WinogradTiling, "transform_input")
    faster(adapted(rrdbnet(), "rrdb-convs", 2), normal(1, 3, 8, 8))
    assert len(transformed) == 3 * 5
    faster(adapted(rrdbnet(), r".*RDB2\.conv.\.0", 2), normal(1, 3, 8, 8))
    assert len(transformed) == 4 * 5
    faster(adapted(rrdbnet(), r".*RDB2\.conv[1-4]\.0", 2), normal(1, 3, 8, 8))
    faster(adapted(rrdbnet(), "rrdb-convs", 2), normal(1, 3, 9, 9))
    assert len(transformed) == 4 * 5


def test_memory_is_used_again_and_holds_nothing_of_the_step_before(monkeypatch: pytest.MonkeyPatch) -> None:
    """Adapters that have learned, another picture, another size; gradients that were handed out stay what they were."""
    made = calls(monkeypatch, DenseBlockPass, "__init__")
    module = adapted(rrdbnet(), "rrdb-convs", 2)
    composed = LoraAsOneConvolution(module)
    found, copies = list[Tensor](), list[Tensor]()
    for step, size in enumerate([8, 8, 12, 12]):
        with torch.no_grad():
            for value in lora_state(module).values():
                value += 0.1 * normal(*value.shape, seed=step)
        now = learned(module, normal(1, 3, size, size, seed=step), composed=composed)
        assert largest_error(now, learned(module, normal(1, 3, size, size, seed=step))) < 1e-10
        found += now
        copies += [x.clone() for x in now]
    assert len(made) == 2 * 3
    assert all(map(torch.equal, found, copies))


def test_several_pictures_may_be_forward_before_one_is_backward() -> None:
    module = adapted(rrdbnet(), "rrdb-convs", 2)
    sizes, parameters = (8, 8, 12, 8), [p for p in module.parameters() if p.requires_grad]
    alone = [learned(module, normal(1, 3, size, size, seed=n)) for n, size in enumerate(sizes)]
    with LoraAsOneConvolution(module).applied():
        ys = [module(normal(1, 3, size, size, seed=n)) for n, size in enumerate(sizes)]
    found = torch.autograd.grad(torch.stack([(y * normal(*y.shape, seed=9)).sum() for y in ys]).sum(), parameters)
    wanted = [torch.stack(parts).sum(0) for parts in zip(*(gradients[2:] for gradients in alone), strict=True)]
    assert largest_error(list(found), wanted) < 1e-10


def test_a_block_goes_backward_once() -> None:
    module = adapted(rrdbnet(), "rrdb-convs", 2)
    with LoraAsOneConvolution(module).applied():
        y = module(normal(1, 3, 8, 8)).sum()
    y.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="goes backward once"):
        y.backward()


def test_blocks_of_another_kind_are_left_alone() -> None:
    plus = adapted(ESRGAN(num_filters=16, num_blocks=1, plus=True), "rrdb-convs", 2)
    assert DenseBlock.found_in(plus, adapted_layers(plus)) == []
    x = normal(1, 3, 8, 8)
    plus.eval()  # no noise
    assert largest_error(faster(plus, x), learned(plus, x)) < 1e-10


@pytest.mark.parametrize("kind", ["RRDBNet", "Compact", "linear"])
def test_a_new_adapter_changes_nothing(kind: str) -> None:
    make, targets, shape = KINDS[kind]
    module, x = make(), normal(*shape, dtype=torch.float32)
    before = module(x)
    add_lora(module, 3, targets=targets, seed=0)
    composed = LoraAsOneConvolution(module)
    with composed.applied():
        with torch.no_grad():
            assert torch.equal(module(x), before)
        learning = module(x)
    assert torch.equal(module(x), before)
    if kind == "RRDBNet":  # Winograd rounds otherwise
        assert 0 < (learning - before).abs().max() < 1e-5 * before.abs().max()
    else:
        assert torch.equal(learning, before)


def test_autocast_goes_pefts_way() -> None:
    module = adapted(rrdbnet(), "rrdb-convs", 2, dtype=torch.float32)
    x = normal(1, 3, 8, 8, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        wanted, found = learned(module, x), faster(module, x)
    assert all(torch.equal(a, b) for a, b in zip(found, wanted, strict=True))


def test_nothing_is_left_behind() -> None:
    module = adapted(rrdbnet(), "rrdb-convs", 2)
    before = {name: set(vars(part)) for name, part in module.named_modules()}
    composed = LoraAsOneConvolution(module)
    with pytest.raises(RuntimeError, match="channels"), composed.applied():
        module(normal(1, 4, 8, 8))
    with composed.applied():
        assert sum("forward" in vars(part) for part in module.modules()) == 15 + 3
    assert {name: set(vars(part)) for name, part in module.named_modules()} == before


def test_learning_is_the_same_and_what_was_learned_merges() -> None:
    x, trained = normal(1, 3, 8, 8), list[nn.Module]()
    for way in (True, False):
        module = rrdbnet().double()
        add_lora(module, 2, targets="rrdb-convs", seed=0)
        composed, parameters = LoraAsOneConvolution(module), [p for p in module.parameters() if p.requires_grad]
        optimizer = torch.optim.Adam(parameters, lr=1e-2)
        for _ in range(4):
            if way:
                with composed.applied():
                    y = module(x)
            else:
                y = module(x)
            optimizer.zero_grad()
            (y - 1).square().mean().backward()
            optimizer.step()
        trained.append(module)
    ours, pefts = (lora_state(module) for module in trained)
    assert max(float((ours[name] - pefts[name]).abs().max()) for name in ours) < 1e-6
    assert max(float(value.abs().max()) for name, value in ours.items() if ".lora_B." in name) > 1e-2
    assert (merge_adapter(trained[0])(x) - trained[1](x)).abs().max() < 1e-6


def test_an_adapter_that_changes_before_its_gradient_is_asked_for_is_noticed() -> None:
    for make, targets, x in ((rrdbnet, "rrdb-convs", normal(1, 3, 8, 8)), (linear, "all-linears", normal(20, 12))):
        module = adapted(make(), targets, 2)
        with LoraAsOneConvolution(module).applied():
            y = module(x)
        with torch.no_grad():
            for parameter in module.parameters():
                parameter.add_(1)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            y.sum().backward()
