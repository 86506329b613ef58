"""Compiles a torch module to a row program."""

from __future__ import annotations

import operator
from collections.abc import Callable
from dataclasses import replace
from fractions import Fraction
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, fx, nn

from iqsr.engines.streaming.bicubic import Resample
from iqsr.engines.streaming.graph import NotStreamableError, argument, copy_module, trace_graph
from iqsr.engines.streaming.ops import Convolve, EnlargeConvolve, Identity, PReLU, Rearrange, RowOp
from iqsr.engines.streaming.program import Joined, ProgramStage, RowProgram, Source, Value
from iqsr.engines.streaming.sharpening import Sharpen
from iqsr.models.packaged import BicubicReduce, FineSharpening


def compile_rows(module: nn.Module) -> RowProgram:
    """Compile a network to a program that has the network's own weight tensors. The module is not changed.

    Args:
        module: A function (N, 3, H, W) -> (N, 3, H * scale, W * scale).

    Raises:
        NotStreamableError: An operation does not work row by row.
    """
    module = copy_module(module)
    shuffle = getattr(module, "shuffle_factor", None)
    if isinstance(shuffle, int) and isinstance(inner := getattr(module, "model", None), nn.Module):
        # spandrel's ESRGAN with a pixel-unshuffle pads by the picture's size, which cannot be traced.
        module = nn.Sequential(nn.PixelUnshuffle(shuffle), inner)
    root = nn.Sequential(module)  # so that a single layer is a node, too
    modules: dict[str, nn.Module] = dict(root.named_modules())
    return _Compiler(modules).compile(trace_graph(root, modules))


_UNARY_MODULES = (nn.LeakyReLU, nn.ReLU, nn.PReLU, nn.SiLU, nn.GELU, nn.Sigmoid, nn.Tanh, nn.ELU, nn.Mish)
_UNARY_FUNCTIONS = {F.leaky_relu, F.relu, F.silu, F.gelu, F.mish, torch.relu, torch.sigmoid, torch.tanh}
_ADDITIONS = {operator.add, operator.iadd, torch.add}
_PRODUCTS = {operator.mul, operator.imul, torch.mul}


class _Compiler:
    """Turns the nodes of a graph into stages, in the graph's order, which is topological."""

    def __init__(self, modules: dict[str, nn.Module]) -> None:
        self.modules = modules
        self.stages: list[ProgramStage] = []
        self.sources: dict[fx.Node, Source] = {}

    def compile(self, graph: fx.Graph) -> RowProgram:
        for node in graph.nodes:
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
        if not self.stages or source != Value(len(self.stages) - 1):
            self._stage(Identity(), source)
        program = RowProgram(self.stages)
        for number, stage in enumerate(self.stages):
            if any(program.channels_of(added) != program.channels_of(Value(number)) for added in stage.sources()[1:]):
                raise NotStreamableError("adds values with different numbers of channels")
        return program

    def _source(self, node: fx.Node) -> Source:
        if node.op == "call_module":
            return self._call_module(node, self.modules[str(node.target)])
        if node.op == "call_function":
            return self._call_function(node)
        if node.op == "call_method" and node.target in {"add", "mul"}:
            return self._arithmetic(node, product=node.target == "mul")
        raise NotStreamableError(f"uses {node.op} {node.target}")

    def _read(self, value: Any) -> Source:
        """The source that an argument of a call stands for."""
        source = self.sources.get(value) if isinstance(value, fx.Node) else None
        if source is None:
            raise NotStreamableError("calls a layer with something else than a picture")
        return source

    def _call_module(self, node: fx.Node, module: nn.Module) -> Source:
        input_node = argument(node, 0, "input")
        source = self._read(input_node)
        if isinstance(module, nn.Conv2d):
            return self._convolution(input_node, module, source)
        if isinstance(module, nn.LeakyReLU | nn.ReLU) and self._is_fresh(input_node) and self._fuse_activation(module):
            return Value(len(self.stages) - 1)
        if isinstance(module, _UNARY_MODULES):
            return self._then(input_node, _in_place(module))
        if isinstance(module, nn.PixelShuffle):
            return self._stage(Rearrange(module, Fraction(module.upscale_factor)), source)
        if isinstance(module, nn.PixelUnshuffle):
            return self._stage(Rearrange(module, Fraction(1, module.downscale_factor)), source)
        if isinstance(module, nn.Upsample) and not module.align_corners:
            return self._interpolate(source, module.scale_factor, module.mode)
        if isinstance(module, BicubicReduce):
            return self._stage(Resample(Fraction(module.kept, module.of)), source)
        if isinstance(module, FineSharpening):
            return self._stage(Sharpen(module.taps), source)
        raise NotStreamableError(f"uses {type(module).__name__}")

    def _call_function(self, node: fx.Node) -> Source:
        target, input_node = node.target, argument(node, 0, "input")
        if target is torch.cat:
            if argument(node, 1, "dim", node.kwargs.get("axis", 0)) not in {1, -3}:
                raise NotStreamableError("joins along another axis than channels")
            return Joined(tuple(self._read(part) for part in argument(node, 0, "tensors")))
        if target in _ADDITIONS or target in _PRODUCTS:
            return self._arithmetic(node, product=target in _PRODUCTS)
        if target in _UNARY_FUNCTIONS:
            if len(node.all_input_nodes) > 1:
                raise NotStreamableError(f"uses {_name(target)} with computed options")
            options = {k: v for k, v in node.kwargs.items() if k not in {"input", "inplace"}}
            return self._then(input_node, lambda x, f=target, rest=node.args[1:]: f(x, *rest, **options))  # type: ignore[operator]
        if target is F.interpolate:
            if any(argument(node, n, name) for n, name in ((1, "size"), (4, "align_corners"), (6, "antialias"))):
                raise NotStreamableError("uses an interpolation to a fixed size, aligned to corners, or antialiased")
            factor, mode = argument(node, 2, "scale_factor"), argument(node, 3, "mode", "nearest")
            return self._interpolate(self._read(input_node), factor, mode)
        if target in {F.pixel_shuffle, torch.pixel_shuffle}:
            factor = argument(node, 1, "upscale_factor")
            return self._stage(Rearrange(nn.PixelShuffle(factor), Fraction(factor)), self._read(input_node))
        raise NotStreamableError(f"uses {_name(target)}")

    def _convolution(self, input_node: fx.Node, module: nn.Conv2d, source: Source) -> Source:
        kernel, dilation = module.kernel_size, module.dilation
        same = tuple((k - 1) // 2 * d for k, d in zip(kernel, dilation, strict=True))
        if module.stride != (1, 1) or any(k % 2 == 0 for k in kernel):
            raise NotStreamableError("uses a strided or even-sized convolution")
        if module.padding not in (same, "same") or module.padding_mode != "zeros":
            raise NotStreamableError("uses a convolution without 'same' zero padding")
        weight, bias = module.weight.detach(), None if module.bias is None else module.bias.detach()
        before = self._enlargement_before(input_node, source)
        if before is not None and kernel == (3, 3) and dilation == (1, 1) and module.groups == 1:
            self.stages.pop()
            return self._stage(EnlargeConvolve.from_convolution(weight, bias), before.source)
        return self._stage(Convolve(weight, bias, (dilation[0], dilation[1]), module.groups), source)

    def _enlargement_before(self, input_node: fx.Node, source: Source) -> ProgramStage | None:
        """The nearest-neighbour x2 enlargement that only this convolution reads, if there is one."""
        if not self.stages or source != Value(len(self.stages) - 1) or len(input_node.users) != 1:
            return None
        stage = self.stages[-1]
        nearest_x2 = isinstance(stage.op, Rearrange) and isinstance(stage.op.module, nn.UpsamplingNearest2d)
        return stage if nearest_x2 and stage.op.scale == 2 and not stage.then else None

    def _interpolate(self, source: Source, factor: Any, mode: Any) -> Source:
        if isinstance(factor, tuple | list):
            factor = factor[0] if len(set(factor)) == 1 else None
        if not isinstance(factor, int | float):
            raise NotStreamableError("uses an interpolation to a fixed size")
        scale = Fraction(factor).limit_denominator(64)
        if mode == "nearest" and scale.denominator == 1:
            return self._stage(Rearrange(nn.UpsamplingNearest2d(scale_factor=float(scale)), scale), source)
        if mode == "bicubic":
            return self._stage(Resample(scale), source)
        raise NotStreamableError(f"uses {mode} interpolation by {scale}")

    def _arithmetic(self, node: fx.Node, *, product: bool) -> Source:
        if node.kwargs:
            raise NotStreamableError(f"uses {_name(node.target)} with options")
        left, right = node.args
        if not isinstance(left, fx.Node):
            left, right = right, left
        if not isinstance(right, fx.Node):
            factor = right
            if product and self._is_fresh(left) and self._fold_factor(factor):
                return Value(len(self.stages) - 1)
            change = (lambda x: x.mul_(factor)) if product else (lambda x: x.add_(factor))  # type: ignore[arg-type]
            return self._then(left, change)
        if product:
            raise NotStreamableError("multiplies two values")
        if left is right:
            raise NotStreamableError("adds a value to itself")
        if self._is_fresh(left):
            left, right = right, left
        return self._then(right, self._read(left))

    def _fold_factor(self, factor: Any) -> bool:
        """Multiply the last convolution's weights instead of its result. False where the last stage does more."""
        stage = self.stages[-1]
        if not isinstance(stage.op, Convolve) or stage.then or stage.op.slope != 1:
            return False
        bias = None if stage.op.bias is None else stage.op.bias * factor
        stage.op = Convolve(stage.op.weight * factor, bias, stage.op.dilation, stage.op.groups)
        return True

    def _fuse_activation(self, module: nn.LeakyReLU | nn.ReLU) -> bool:
        """Let the last convolution do the activation. False where the last stage does more."""
        stage = self.stages[-1]
        if not isinstance(stage.op, Convolve | EnlargeConvolve) or stage.then or stage.op.slope != 1:
            return False
        slope = module.negative_slope if isinstance(module, nn.LeakyReLU) else 0.0
        stage.op = replace(stage.op, slope=slope)
        return True

    def _is_fresh(self, node: Any) -> bool:
        """Whether `node` is the last stage's result and has one reader, so that it may be changed in place."""
        return self._read(node) == Value(len(self.stages) - 1) and len(node.users) == 1 and bool(self.stages)

    def _then(self, node: Any, change: Callable[[Tensor], Tensor] | Source) -> Source:
        if not self._is_fresh(node):
            self._stage(Identity(), self._read(node))
        self.stages[-1].then.append(change)
        return Value(len(self.stages) - 1)

    def _stage(self, op: RowOp, source: Source) -> Value:
        self.stages.append(ProgramStage(op, source))
        return Value(len(self.stages) - 1)


def _in_place(module: nn.Module) -> Callable[[Tensor], Tensor]:
    """The activation, in its in-place form where it has one. The module is not changed."""
    if isinstance(module, nn.PReLU):
        return PReLU(module.weight.detach())
    if isinstance(module, nn.LeakyReLU):
        return nn.LeakyReLU(module.negative_slope, inplace=True)
    return nn.ReLU(inplace=True) if isinstance(module, nn.ReLU) else module


def _name(target: Any) -> str:
    return getattr(target, "__name__", str(target))
