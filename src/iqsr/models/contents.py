"""What a checkpoint holds that spandrel makes no super-resolution network of, and what to do."""

from collections.abc import Mapping
from typing import Any, cast

from torch import Tensor

_SPANDREL = "not a super-resolution network that spandrel knows"

_OF_IQSR: tuple[tuple[set[str], str], ...] = (
    (
        {"weights", "average", "optimizer", "guard"},
        "a checkpoint to go on training from, not a network: give its run's folder to `iqsr merge`",
    ),
    (
        {"model", "average", "optimizer", "schedule", "recipe"},
        "a checkpoint of `iqsr train-quality`, whose network scores pictures and enlarges none",
    ),
)
"""What only our own checkpoints hold together."""

_BY_NAMES: tuple[tuple[tuple[str, ...], str], ...] = (
    (("weight_orig", "weight_u"), "a discriminator, by its spectral norms; give the generator (often net_g_*.pth)"),
    (("conv0_0.weight", "linear1.weight"), "a discriminator; give the generator (often net_g_*.pth)"),
    (("lora_",), "an adapter that another program wrote; merge it there into its network first"),
    (("diffusion_model.",), "a diffusion model, which is no network that enlarges pictures in one pass"),
    (("trunk.", "head.project."), "a predictor of quality, which scores pictures and enlarges none"),
)
"""What tensors' names tell: all of these texts occur in some."""

_WEIGHTS_OF = ("generator", "gen", "g", "g_ema", "ema", "netg", "net_g", "model_ema", "network", "weights", "module")
_TRAINING = {"optimizer", "optimizers", "optimizer_state_dict", "schedulers", "param_groups"}


def contents(state: Mapping[Any, Any]) -> str:
    """One phrase for a file's state, after `FILE: `. Nested by name or flat."""
    for keys, told in _OF_IQSR:
        if keys <= state.keys():
            return told
    inside = {str(key): cast("dict[object, object]", value) for key, value in state.items() if isinstance(value, dict)}
    networks = [key for key, value in inside.items() if any(isinstance(v, Tensor) for v in value.values())]
    names = [str(key) for part in (state, *inside.values()) for key, value in part.items() if isinstance(value, Tensor)]
    sr_model = [key for key in networks if key.lower() in _WEIGHTS_OF]
    if sr_model:
        return f"{_SPANDREL}: its weights may be those under '{sr_model[0]}'; save that part alone, by torch.save"
    for texts, told in _BY_NAMES:
        if all(any(text in name for name in names) for text in texts):
            return told
    if not names:
        said = "the state of an optimiser without a network" if _TRAINING & set(map(str, state)) else "no tensors"
        return f"{_SPANDREL}: it holds {said}; give the file of the network itself"
    shown = ", ".join(f"'{name}'" for name in names[:3])
    return f"{_SPANDREL}: its tensors are called {shown}{', ...' if len(names) > 3 else ''}"
