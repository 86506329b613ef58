"""A module's graph of operations, by torch.fx: traced on a copy, with what does nothing taken out."""

from __future__ import annotations

import copy
from typing import Any

from torch import fx, nn

from iqsr.models.packaged import BicubicReduce, FineSharpening

_IDENTITIES = (nn.Identity, nn.Dropout, nn.Dropout2d)


class NotStreamableError(Exception):
    """The network has an operation that does not work row by row; the message names it."""


class _Tracer(fx.Tracer):
    def is_leaf_module(self, m: nn.Module, module_qualified_name: str) -> bool:
        """Torch's own layers are one node each; the tracer looks into containers."""
        ours = isinstance(m, BicubicReduce | FineSharpening)
        return ours or (m.__module__.startswith("torch.nn") and not isinstance(m, nn.Sequential))


def copy_module(module: nn.Module) -> nn.Module:
    """A copy with the same weight tensors. Tracing runs the forward pass, which may write to the module.

    torch's own layers are copied by `_copy_layer`: copying them deeply takes as long as enlarging a small picture.
    """
    known: dict[int, Any] = {id(tensor): tensor for tensor in (*module.parameters(), *module.buffers())}
    try:
        for layer in reversed(list(module.modules())):  # a layer before the one that contains it
            if type(layer).__module__.startswith("torch.nn.modules."):
                known.setdefault(id(layer), _copy_layer(layer, known))
        return copy.deepcopy(module, known)
    except Exception as error:  # a module may hold anything
        raise NotStreamableError(f"cannot be copied: {error}") from error


def _copy_layer(layer: nn.Module, known: dict[int, Any]) -> nn.Module:
    """A copy with the same tensors, whose attributes can be set without changing the layer's."""
    made = object.__new__(type(layer))
    made.__dict__ |= {name: copy.copy(value) for name, value in vars(layer).items()}
    made.__dict__["_modules"] = {name: copy.deepcopy(part, known) for name, part in vars(layer)["_modules"].items()}
    return made


def trace_graph(module: nn.Module, modules: dict[str, nn.Module]) -> fx.Graph:
    """The module's graph without nodes that do nothing or that nothing reads."""
    try:
        graph = _Tracer().trace(module)
    except Exception as error:
        raise NotStreamableError(f"cannot be traced: {error}") from error
    for node in list(graph.nodes):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        if any(getattr(layer, hooks, None) for hooks in ("_forward_hooks", "_forward_pre_hooks")):
            raise NotStreamableError(f"uses {type(layer).__name__} with hooks")
        if isinstance(layer, _IDENTITIES):
            node.replace_all_uses_with(argument(node, 0, "input"))
            graph.erase_node(node)
    for node in reversed(list(graph.nodes)):
        layer = modules.get(str(node.target)) if node.op == "call_module" else None
        flags = (getattr(layer, "inplace", False), node.kwargs.get("inplace"), *node.args[1:])
        in_place = any(flag is True for flag in flags)
        if in_place and any(len(changed.users) > 1 for changed in node.all_input_nodes):
            raise NotStreamableError("changes a value in place that something else reads")
        if not node.users and node.op not in {"placeholder", "output"}:
            graph.erase_node(node)
    return graph


def argument(node: fx.Node, position: int, name: str, default: Any = None) -> Any:
    """A call's argument, by position or by name."""
    return node.args[position] if len(node.args) > position else node.kwargs.get(name, default)
