"""The pool: what goes in comes out, once, uniformly, and a restored pool goes on as the old one."""

import io
from collections import Counter

import pytest
import torch
from scipy import stats
from torch import Tensor

from iqsr.degrade import Pool
from iqsr.errors import UsageError


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def numbered(start: int, n: int) -> dict[str, Tensor]:
    """Samples that carry their number in both tensors."""
    at = torch.arange(start, start + n, dtype=torch.float32)
    return {
        "lr": at.view(n, 1, 1, 1).expand(n, 3, 2, 2).clone(),
        "gt": (1000 * at).view(n, 1, 1, 1).expand(n, 3, 4, 4).clone(),
    }


def numbers(batch: dict[str, Tensor]) -> list[int]:
    assert torch.equal(batch["lr"][:, 0, 0, 0] * 1000, batch["gt"][:, 2, 3, 3]), "pairs were torn apart"
    return [int(value) for value in batch["lr"][:, 0, 0, 0]]


def test_while_it_fills_a_batch_comes_straight_back() -> None:
    pool = Pool(12, seeded())
    for start in (0, 4, 8):
        assert numbers(pool.exchange(numbered(start, 4))) == list(range(start, start + 4))
    assert pool.filled == 12


def test_once_full_nothing_is_lost_or_doubled_and_the_new_ones_wait() -> None:
    pool = Pool(12, seeded())
    held: Counter[int] = Counter()
    for start in range(0, 400, 4):
        was_full = pool.filled == 12
        out = numbers(pool.exchange(numbered(start, 4)))
        if was_full:
            assert len(set(out)) == 4
            assert not set(out) & set(range(start, start + 4))
            held.subtract(out)
        held.update(range(start, start + 4))
        assert set(held.values()) <= {0, 1}
        assert held.total() == pool.filled


def test_samples_wait_as_long_as_uniform_draws_make_them() -> None:
    """Each call takes a sample with probability 1/5, so the wait is geometric."""
    pool, waits = Pool(20, seeded()), []
    for call in range(4000):
        out = numbers(pool.exchange(numbered(4 * call, 4)))
        if call >= 500:  # those of the filling wait differently
            waits += [call - number // 4 for number in out]
    counts = [sum(wait == w for wait in waits) for w in range(1, 12)]
    expected = [len(waits) * 0.2 * 0.8 ** (w - 1) for w in range(1, 12)]
    rest, rest_expected = len(waits) - sum(counts), len(waits) - sum(expected)
    assert stats.chisquare([*counts, rest], [*expected, rest_expected]).pvalue > 1e-4


def test_what_comes_out_belongs_to_the_caller() -> None:
    pool = Pool(4, seeded())
    given = numbered(0, 4)
    pool.exchange(given)
    given["lr"].fill_(-1)
    out = pool.exchange(numbered(4, 4))
    assert sorted(numbers(out)) == [0, 1, 2, 3]
    out["lr"].fill_(-1)
    assert sorted(numbers(pool.exchange(numbered(8, 4)))) == [4, 5, 6, 7]


@pytest.mark.parametrize("calls", [0, 2, 3, 9])
def test_a_restored_pool_goes_on_bit_for_bit(calls: int) -> None:
    pool = Pool(12, seeded(3))
    for start in range(0, 4 * calls, 4):
        pool.exchange(numbered(start, 4))
    file = io.BytesIO()
    torch.save(pool.state_dict(), file)
    file.seek(0)
    kept = pool.state_dict()
    uninterrupted = [numbers(pool.exchange(numbered(1000 + 4 * i, 4))) for i in range(20)]
    for state in (torch.load(file, weights_only=True), kept):
        resumed = Pool(12, seeded(77))
        resumed.load_state_dict(state)
        assert [numbers(resumed.exchange(numbered(1000 + 4 * i, 4))) for i in range(20)] == uninterrupted


@pytest.mark.parametrize("calls", [0, 2, 3, 9])
def test_an_exchange_can_be_undone_bit_for_bit(calls: int) -> None:
    pools = [Pool(12, seeded(3)), Pool(12, seeded(3))]
    for pool in pools:
        for start in range(0, 4 * calls, 4):
            pool.exchange(numbered(start, 4))
    pools[0].exchange(numbered(500, 4))
    pools[0].undo()
    pools[0].undo()  # once only
    found = [[numbers(pool.exchange(numbered(1000 + 4 * i, 4))) for i in range(20)] for pool in pools]
    assert found[0] == found[1]


def test_batches_that_do_not_fit_are_refused() -> None:
    with pytest.raises(UsageError, match="at least 1"):
        Pool(0, seeded())
    pool = Pool(12, seeded())
    with pytest.raises(UsageError, match="pool of 12 samples needs batches of one size that divides it, got 5"):
        pool.exchange(numbered(0, 5))
    with pytest.raises(UsageError, match="one length"):
        pool.exchange({})
    with pytest.raises(UsageError, match="one length"):
        pool.exchange({"lr": torch.zeros(2, 3), "gt": torch.zeros(3, 3)})
    pool.exchange(numbered(0, 4))
    with pytest.raises(UsageError, match="got 6"):
        pool.exchange(numbered(0, 6))
    for wrong in ({"lr": numbered(0, 4)["lr"]}, {k: v.double() for k, v in numbered(0, 4).items()}):
        with pytest.raises(UsageError, match="the pool holds"):
            pool.exchange(wrong)


def test_the_state_of_another_size_is_refused() -> None:
    with pytest.raises(UsageError, match="pool of 8 samples, not of 12"):
        Pool(12, seeded()).load_state_dict(Pool(8, seeded()).state_dict())


def test_no_gradients_are_kept() -> None:
    pool = Pool(2, seeded())
    pool.exchange({"lr": torch.ones(2, 3, requires_grad=True)})
    assert not pool.exchange({"lr": torch.ones(2, 3, requires_grad=True)})["lr"].requires_grad
