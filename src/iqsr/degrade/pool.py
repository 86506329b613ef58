"""A pool of training samples, so that a batch mixes degradations that are drawn for whole batches.

Real-ESRGAN (Wang et al., ICCVW 2021, arXiv:2107.10833), "training pair pool"; HGGT uses 144 to 180 samples.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from iqsr.errors import UsageError


class Pool:
    """A pool of `size` samples, which exchanges each batch for a random batch of its samples.

    Each place of the batch has its own samples in the pool, and exchanges with them. So the places can be divided among
    the pools of several processes, which then give what one pool with all samples would give.

    Args:
        size: Samples in this pool.
        rng: A CPU random source that only this pool uses, for its state is saved with the pool's. All processes have
            equal ones.
        rank: The number of this process.
        ranks: How many processes there are.
    """

    def __init__(self, size: int, rng: torch.Generator, *, rank: int = 0, ranks: int = 1) -> None:
        if size < 1:
            raise UsageError(f"a pool needs at least 1 sample, got {size}")
        self.size, self.rank, self.ranks = size, rank, ranks
        self.filled = 0
        self._rng = rng
        self._samples: dict[str, Tensor] = {}
        self._last: tuple[int, Tensor, dict[str, Tensor], Tensor] | None = None

    def exchange(self, batch: dict[str, Tensor]) -> dict[str, Tensor]:
        """Put a batch in and take one out, of the same shapes.

        While the pool fills, a batch comes straight back (and stays in the pool too). Once it is full, each of the n
        new samples takes the place of one of the size / n samples that came in at its place of the batch, which is
        drawn uniformly and comes out. The new ones can come out from the next call on.

        Raises UsageError for a batch whose number of samples does not divide the pool's size, or whose tensors
        differ from earlier ones in names, shapes or types.
        """
        n = self._checked_length(batch)
        before = self._rng.get_state()
        with torch.no_grad():
            if self.filled < self.size:
                self._last = (self.filled, torch.empty(0, dtype=torch.int64), {}, before)
                for name, values in batch.items():
                    self._samples[name][self.filled : self.filled + n] = values
                self.filled += n
                return batch
            drawn = torch.randint(self.size // n, (n * self.ranks,), generator=self._rng)
            rows = drawn[self.rank * n : (self.rank + 1) * n] * n + torch.arange(n)
            taken = {name: self._samples[name][rows.to(self._samples[name].device)] for name in batch}
            self._last = (self.size, rows, taken, before)
            self._put(rows, batch)
            return taken

    def undo(self) -> None:
        """Undo the last `exchange`, once."""
        if self._last is not None:
            self.filled, rows, taken, rng = self._last
            self._put(rows, taken)
            self._rng.set_state(rng)
            self._last = None

    def _put(self, rows: Tensor, batch: dict[str, Tensor]) -> None:
        for name, values in batch.items():
            self._samples[name][rows.to(values.device)] = values

    def state_dict(self) -> dict[str, Any]:
        """The whole state, copied. A pool that loads it continues exactly as this one would."""
        samples = {name: values[: self.filled].clone() for name, values in self._samples.items()}
        return {"size": self.size, "samples": samples, "generator": self._rng.get_state()}

    def load_state_dicts(self, states: Sequence[dict[str, Any]], batch: int) -> None:
        """Restore this pool's share of the states of all processes, of whatever number. batch: of this process.

        Raises UsageError for pools of another size in all.
        """
        size, whole = sum(state["size"] for state in states), batch * self.ranks
        if size != self.size * self.ranks:
            raise UsageError(f"the states are those of {size} samples, not of {self.size * self.ranks}")
        mine, before = slice(self.rank * batch, (self.rank + 1) * batch), whole // len(states)
        samples = {
            name: torch.cat([state["samples"][name].unflatten(0, (-1, before)) for state in states], 1)[:, mine]
            for name in states[0]["samples"]
        }
        flat = {name: values.flatten(0, 1) for name, values in samples.items()}
        self.load_state_dict({"size": self.size, "samples": flat, "generator": states[0]["generator"]})

    def load_state_dict(self, state: dict[str, Any]) -> None:
        """Restore a `state_dict`. Raises UsageError for that of a pool of another size."""
        if state["size"] != self.size:
            raise UsageError(f"the state is that of a pool of {state['size']} samples, not of {self.size}")
        samples: dict[str, Tensor] = state["samples"]
        self._samples = {name: self._room_for(values) for name, values in samples.items()}
        self.filled = len(next(iter(samples.values()))) if samples else 0
        for name, values in samples.items():
            self._samples[name][: self.filled] = values
        self._rng.set_state(state["generator"])

    def _checked_length(self, batch: dict[str, Tensor]) -> int:
        lengths = {len(values) for values in batch.values()}
        n = lengths.pop() if lengths else 0
        if lengths or n == 0:
            raise UsageError(f"a batch needs tensors of one length, got {_shapes(batch)}")
        if self.size % n or (self.size - self.filled) % n:
            raise UsageError(f"a pool of {self.size} samples needs batches of one size that divides it, got {n}")
        if not self._samples:
            self._samples = {name: self._room_for(values) for name, values in batch.items()}
        held = {name: (values.shape[1:], values.dtype) for name, values in self._samples.items()}
        if held != {name: (values.shape[1:], values.dtype) for name, values in batch.items()}:
            raise UsageError(f"the pool holds {_shapes(self._samples)}, the batch is {_shapes(batch)}")
        return n

    def _room_for(self, values: Tensor) -> Tensor:
        return values.new_empty((self.size, *values.shape[1:]))


def _shapes(tensors: dict[str, Tensor]) -> str:
    """For error messages: names, shapes and types."""
    return ", ".join(f"{name} {tuple(values.shape)} {values.dtype}" for name, values in tensors.items()) or "nothing"
