"""From a torch module to a row program: stages in order, each one operation with what is done to its result in place.

The module is traced with torch.fx. Chains such as convolution -> activation -> skip addition become one stage, so that
only values which somebody reads later are stored.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from copy import deepcopy
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from iqsr.generators.packaged import BicubicReduce
from iqsr.streaming.ops import Convolve, EnlargeConvolve, Pass, Rearrange, Resample, RowOp


class NotStreamableError(Exception):
    """The network has an operation that does not work row by row; the message names it."""


@dataclass(frozen=True)
class Value:
    """A stored value, by the number of the stage that makes it (-1: the picture)."""

    stage: int


@dataclass(frozen=True)
class Joined:
    """Channels of several sources side by side, joined where they are read."""

    parts: tuple[Source, ...]


Source = Value | Joined


@dataclass
class Stage:
    """One operation and what follows it in place."""

    op: RowOp
    source: Source
    then: list[Callable[[Tensor], Tensor] | Value | Joined] = field(default_factory=list)
    """In order: functions of the fresh rows, or sources to add to them."""

    def sources(self) -> list[Source]:
        """All that this stage reads."""
        return [self.source, *(t for t in self.then if isinstance(t, Value | Joined))]


@dataclass
class RowProgram:
    """Stages in an order in which each reads only earlier ones; the last one's rows are the output."""

    stages: list[Stage]
    size_multiple: int = 1
    """Height and width of the picture must be multiples of it."""

    def __post_init__(self) -> None:
        self._scales: dict[int, Fraction] = {-1: Fraction(1)}
        self._channels: dict[int, int] = {-1: self._picture_channels()}
        for number, stage in enumerate(self.stages):
            self._scales[number] = self.scale_of(stage.source) * stage.op.scale
            self._channels[number] = stage.op.channels(self.channels_of(stage.source))

    def _picture_channels(self) -> int:
        readers = (s.op for s in self.stages if s.source == Value(-1) and isinstance(s.op, Convolve))
        return next((op.weight.shape[1] * op.groups for op in readers), 3)

    @property
    def scale(self) -> Fraction:
        """Output rows per input row."""
        return self._scales[len(self.stages) - 1]

    def scale_of(self, source: Source) -> Fraction:
        """Rows of `source` per row of the picture."""
        return self._scales[leaves(source)[0].stage]

    def channels_of(self, source: Source) -> int:
        """Channels of `source`."""
        return sum(self._channels[leaf.stage] for leaf in leaves(source))

    def to(self, device: torch.device, dtype: torch.dtype) -> RowProgram:
        """The program with its weights on `device` in `dtype`.

        Convolutions that no other convolution follows keep fp32: their rounding would be the output's own, coarser
        than 8 bits in bf16.
        """
        last = self._last_convolutions()
        stages: list[Stage] = []
        for number, stage in enumerate(self.stages):
            op = stage.op
            if isinstance(op, Convolve | EnlargeConvolve):
                op = op.to(device, torch.float32 if number in last else dtype)
            then = [_moved(t, device, dtype) for t in stage.then]
            stages.append(Stage(op, stage.source, then))
        return RowProgram(stages, self.size_multiple)

    def _last_convolutions(self) -> set[int]:
        followed: set[int] = set()
        for number in reversed(range(len(self.stages))):
            stage = self.stages[number]
            if isinstance(stage.op, Convolve | EnlargeConvolve) or number in followed:
                followed.update(leaf.stage for source in stage.sources() for leaf in leaves(source))
        convolutions = (Convolve, EnlargeConvolve)
        return {n for n, s in enumerate(self.stages) if isinstance(s.op, convolutions) and n not in followed}


Change = Callable[[Tensor], Tensor] | Value | Joined


def _moved(change: Change, device: torch.device, dtype: torch.dtype) -> Change:
    """A copy of an activation with parameters (PReLU) on `device`; others have nothing to move."""
    if isinstance(change, nn.Module) and any(True for _ in change.parameters()):
        return deepcopy(change).to(device, dtype)
    return change


def leaves(source: Source) -> list[Value]:
    """The stored values that `source` is made of."""
    if isinstance(source, Value):
        return [source]
    return [leaf for part in source.parts for leaf in leaves(part)]


def compile_rows(module: nn.Module) -> RowProgram:
    """Trace `module`, a function (N, 3, H, W) -> (N, 3, H * scale, W * scale). Raises NotStreamableError."""
    multiple = 1
    shuffle = getattr(module, "shuffle_factor", None)
    if isinstance(shuffle, int) and isinstance(inner := getattr(module, "model", None), nn.Module):
        # spandrel's ESRGAN with a pixel-unshuffle in front pads by size, which cannot be traced.
        module, multiple = nn.Sequential(nn.PixelUnshuffle(shuffle), inner), shuffle
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        raise NotStreamableError(f"cannot be traced: {error}") from error
    program = _Compiler(module, graph).compile()
    program.size_multiple = multiple
    return program


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers stay whole; containers are looked into."""
        ours = isinstance(m, BicubicReduce)
        return ours or (m.__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential))


_UNARY_MODULES = (nn.LeakyReLU, nn.ReLU, nn.PReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.Mish)
_UNARY_FUNCTIONS = {F.leaky_relu, F.relu, F.silu, F.gelu, F.mish, torch.relu, torch.sigmoid, torch.tanh}
_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout2d)
_ADDITIONS = {operator.add, operator.iadd, torch.add}
_PRODUCTS = {operator.mul, operator.imul, torch.mul}


class _Compiler:
    """Turns graph nodes into stages, in the graph's own (topological) order."""

    def __init__(self, module: nn.Module, graph: fx.Graph) -> None:
        self.modules = dict(module.named_modules())
        self.graph = graph
        self.stages: list[Stage] = []
        self.sources: dict[fx.Node, Source] = {}

    def compile(self) -> RowProgram:
        for node in self.graph.nodes:
            if node.op == "placeholder":
                self.sources[node] = Value(-1)
            elif node.op == "output":
                return self._finish(node.args[0])
            else:
                self.sources[node] = self._source(node)
        raise NotStreamableError("has no output")

    def _finish(self, result: Any) -> RowProgram:
        source = self.sources.get(result) if isinstance(result, fx.Node) else None
        if source is None:
            raise NotStreamableError("returns something else than one picture")
        if source != Value(len(self.stages) - 1):
            self._stage(Pass(), source)
        return RowProgram(self.stages)

    def _source(self, node: fx.Node) -> Source:
        if node.op == "call_module":
            return self._call_module(node, self.modules[str(node.target)])
        if node.op == "call_function":
            return self._call_function(node)
        if node.op == "call_method" and node.target in {"add", "mul"}:
            return self._arithmetic(node, product=node.target == "mul")
        raise NotStreamableError(f"uses {node.op} {node.target}")

    def _call_module(self, node: fx.Node, module: nn.Module) -> Source:
        source = self.sources[node.args[0]]  # type: ignore[index]
        if isinstance(module, nn.Conv2d):
            return self._convolution(node, module, source)
        if isinstance(module, _UNARY_MODULES):
            return self._then(node.args[0], _in_place(module))
        if isinstance(module, _IDENTITIES):
            return source
        if isinstance(module, nn.PixelShuffle):
            return self._stage(Rearrange(module, Fraction(module.upscale_factor)), source)
        if isinstance(module, nn.PixelUnshuffle):
            return self._stage(Rearrange(module, Fraction(1, module.downscale_factor)), source)
        if isinstance(module, nn.Upsample):
            return self._interpolate(source, module.scale_factor, module.mode)
        if isinstance(module, BicubicReduce):
            return self._stage(Resample(Fraction(module.kept, module.of)), source)
        raise NotStreamableError(f"uses {type(module).__name__}")

    def _call_function(self, node: fx.Node) -> Source:
        target, args, kwargs = node.target, node.args, node.kwargs
        if target is torch.cat:
            parts = kwargs.get("tensors", args[0] if args else ())
            if (kwargs.get("dim", args[1] if len(args) > 1 else 0)) != 1:
                raise NotStreamableError("joins along another axis than channels")
            return Joined(tuple(self.sources[p] for p in parts))  # type: ignore[union-attr]
        if target in _ADDITIONS or target in _PRODUCTS:
            return self._arithmetic(node, product=target in _PRODUCTS)
        if target in _UNARY_FUNCTIONS:
            options = {k: v for k, v in kwargs.items() if k != "inplace"}
            return self._then(args[0], lambda x, f=target, rest=args[1:]: f(x, *rest, **options))  # type: ignore[misc]
        if target is F.interpolate:
            if kwargs.get("size") is not None or kwargs.get("align_corners") or kwargs.get("antialias"):
                raise NotStreamableError("uses an interpolation to a fixed size")
            return self._interpolate(
                self.sources[args[0]],  # type: ignore[index]
                kwargs.get("scale_factor", args[2] if len(args) > 2 else None),
                kwargs.get("mode", args[3] if len(args) > 3 else "nearest"),
            )
        if target in {F.pixel_shuffle, torch.pixel_shuffle}:
            factor = kwargs.get("upscale_factor", args[1] if len(args) > 1 else None)
            return self._stage(Rearrange(nn.PixelShuffle(factor), Fraction(factor)), self.sources[args[0]])  # type: ignore[arg-type,index]
        raise NotStreamableError(f"uses {getattr(target, '__name__', target)}")

    def _convolution(self, node: fx.Node, module: nn.Conv2d, source: Source) -> Source:
        kernel, dilation = module.kernel_size, module.dilation
        same = tuple((k - 1) // 2 * d for k, d in zip(kernel, dilation, strict=True))
        if module.stride != (1, 1) or any(k % 2 == 0 for k in kernel):
            raise NotStreamableError("uses a strided or even-sized convolution")
        if module.padding not in (same, "same") or module.padding_mode != "zeros":
            raise NotStreamableError("uses a convolution without 'same' zero padding")
        weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
        before = self._enlargement_before(node.args[0], source)
        if before is not None and kernel == (3, 3) and dilation == (1, 1) and module.groups == 1:
            self.stages.pop()
            return self._stage(EnlargeConvolve.from_convolution(weight, bias), before.source)
        return self._stage(Convolve(weight, bias, (dilation[0], dilation[1]), module.groups), source)

    def _enlargement_before(self, node: Any, source: Source) -> Stage | None:
        """The x2 nearest enlargement that only this convolution reads, if there is one."""
        if not self.stages or source != Value(len(self.stages) - 1) or len(node.users) != 1:
            return None
        stage = self.stages[-1]
        nearest_x2 = isinstance(stage.op, Rearrange) and isinstance(stage.op.module, nn.UpsamplingNearest2d)
        return stage if nearest_x2 and stage.op.scale == 2 and not stage.then else None

    def _interpolate(self, source: Source, factor: Any, mode: Any) -> Source:
        if isinstance(factor, tuple | list):
            factor = factor[0] if len(set(factor)) == 1 else None
        if factor is None:
            raise NotStreamableError("uses an interpolation to a fixed size")
        scale = Fraction(factor).limit_denominator(64)
        if mode == "nearest" and scale.denominator == 1:
            return self._stage(Rearrange(nn.UpsamplingNearest2d(scale_factor=float(scale)), scale), source)
        if mode == "bicubic":
            return self._stage(Resample(scale), source)
        raise NotStreamableError(f"uses {mode} interpolation by {scale}")

    def _arithmetic(self, node: fx.Node, *, product: bool) -> Source:
        if node.kwargs:
            raise NotStreamableError(f"uses {node.target} with options")
        left, right = node.args
        if not isinstance(left, fx.Node):
            left, right = right, left
        if not isinstance(right, fx.Node):
            factor = right
            if product and self._is_fresh(left) and self._folded(factor):
                return Value(len(self.stages) - 1)
            change = (lambda x: x.mul_(factor)) if product else (lambda x: x.add_(factor))  # type: ignore[arg-type]
            return self._then(left, change)
        if product:
            raise NotStreamableError("multiplies two values")
        if left is right:
            raise NotStreamableError("adds a value to itself")
        if self._is_fresh(left):
            left, right = right, left
        return self._then(right, self.sources[left])  # type: ignore[index]

    def _folded(self, factor: Any) -> bool:
        """Scale the last convolution's weights instead of its output, where it is a bare convolution."""
        stage = self.stages[-1]
        if not isinstance(stage.op, Convolve) or stage.then:
            return False
        bias = None if stage.op.bias is None else stage.op.bias * factor
        stage.op = Convolve(stage.op.weight * factor, bias, stage.op.dilation, stage.op.groups)
        return True

    def _is_fresh(self, node: Any) -> bool:
        """Whether `node` is the last stage's result and nobody else reads it, so that it may be changed in place."""
        return self.sources[node] == Value(len(self.stages) - 1) and len(node.users) == 1 and bool(self.stages)

    def _then(self, node: Any, change: Callable[[Tensor], Tensor] | Source) -> Source:
        if not self._is_fresh(node):
            self._stage(Pass(), self.sources[node])
        self.stages[-1].then.append(change)
        return Value(len(self.stages) - 1)

    def _stage(self, op: RowOp, source: Source) -> Value:
        self.stages.append(Stage(op, source))
        return Value(len(self.stages) - 1)


def _in_place(module: nn.Module) -> nn.Module:
    """The activation in its in-place form where it has one; the original module is not touched."""
    if isinstance(module, nn.LeakyReLU):
        return nn.LeakyReLU(module.negative_slope, inplace=True)
    return nn.ReLU(inplace=True) if isinstance(module, nn.ReLU) else module
