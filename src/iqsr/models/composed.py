"""Adapters in training, computed with fewer operations than peft's: the same function, the same gradients.

peft runs three layers for one, W x + s * B (A x). Here it is one, of the weight W + s * B A (`composed_layer`), and
RRDBNet's dense blocks go by tiles (`dense_block`). A and B stay peft's own parameters, and outside of
`Composed.applied` the network is what it was: evaluating, copying, merging and saving know nothing of this.

>>> composed = Composed(module)  # after add_lora
>>> with composed.applied():
...     y = module(x)
>>> y.square().mean().backward()  # once: dense blocks use their memory again
"""

from collections.abc import Callable, Generator
from contextlib import contextmanager
from functools import partial

from torch import Tensor, nn

from iqsr.kernels.composed_layer import forward
from iqsr.kernels.dense_block import DenseBlock
from iqsr.models.lora import adapted_layers


class LoraAsOneConvolution:
    """The faster way through a network whose adapters `add_lora` made and whose other weights stay as they are.

    It is gone with gradients and in full precision only. What an adapter changes early on is less than a bf16 weight
    can hold, so that under autocast peft's sum is the better one; and without gradients an adapter that has learned
    nothing is to change no bit of the output, which tiles, rounding otherwise, do not promise.
    """

    def __init__(self, module: nn.Module) -> None:
        layers = adapted_layers(module)
        self._forwards: list[tuple[nn.Module, Callable[[Tensor], Tensor]]] = [
            *((layer.wrapper, partial(forward, layer)) for layer in layers),
            *((block.module, block.forward) for block in DenseBlock.found_in(module, layers)),
        ]

    @contextmanager
    def applied(self) -> Generator[None]:
        """Inside the block, calls of the network go the faster way; gradients may be asked for after it."""
        for part, faster in self._forwards:
            part.forward = faster
        try:
            yield
        finally:
            for part, _ in self._forwards:
                del part.forward
