"""The shares of several processes are the rows of what one process has."""

from pathlib import Path

import pytest
import torch
from torch import nn

from iqsr.datasets import Label
from iqsr.degrade import Pool
from iqsr.errors import UsageError
from iqsr.models.untrained import new_swinir
from iqsr.training.sr.data import Batches
from iqsr.training.sr.losses import negative_loss
from iqsr.training.sr.objective import Objective
from iqsr.training.sr.recipe import DataRecipe, ObjectiveRecipe
from iqsr.training.sr.sets import Sets
from iqsr.training.sr.share import Share, share_dropped_paths, share_of
from support.tiny_runs import quick


@pytest.mark.parametrize("ranks", [2, 4])
@pytest.mark.parametrize("source", [64, 96])  # of 96 pixels: each square has one place
def test_batches_are_rows_of_one_process_s_batch(source: int, ranks: int, sets: Path) -> None:
    degradations = ("hggt-one-stage", "hggt-two-stage")
    recipe = DataRecipe(source=source, patch=32, degradations=degradations, workers=0)
    found = Sets(sets, recipe)
    whole = Batches(found, recipe, batch=4, seed=5)
    parts = [Batches(found, recipe, batch=4 // ranks, seed=5, rank=rank, ranks=ranks) for rank in range(ranks)]
    for step in range(4):
        made = [part[step] for part in parts]
        for name, values in whole[step].items():
            assert torch.equal(torch.cat([batch[name] for batch in made]), values), name


def numbered(start: int, n: int) -> dict[str, torch.Tensor]:
    return {"lr": torch.arange(start, start + n)}


def pools(ranks: int, size: int = 12) -> list[Pool]:
    return [Pool(size // ranks, torch.Generator().manual_seed(1), rank=rank, ranks=ranks) for rank in range(ranks)]


def exchanged(parts: list[Pool], call: int) -> list[int]:
    """What comes out for four samples, of all processes."""
    n = 4 // len(parts)
    return [int(x) for rank, part in enumerate(parts) for x in part.exchange(numbered(4 * call + n * rank, n))["lr"]]


@pytest.mark.parametrize("calls", [0, 2, 3, 11])
@pytest.mark.parametrize(("before", "after"), [(1, 2), (2, 1), (4, 2), (2, 4), (2, 2)])
def test_pools_of_any_number_of_processes_go_on_as_one(before: int, after: int, calls: int) -> None:
    whole, parts = pools(1), pools(before)
    for call in range(calls):
        assert exchanged(parts, call) == exchanged(whole, call)
    others = pools(after)
    for pool in others:
        pool.load_state_dicts([part.state_dict() for part in parts], 4 // after)
    for call in range(calls, calls + 20):
        assert exchanged(others, call) == exchanged(whole, call)


def test_states_of_another_size_in_all_are_refused() -> None:
    with pytest.raises(UsageError, match="of 12 samples, not of 24"):
        pools(2, 24)[0].load_state_dicts([pool.state_dict() for pool in pools(2)], 2)


def test_the_same_targets_are_drawn(sets: Path, tmp_path: Path) -> None:
    from iqsr.training.sr.loop import Training

    training = Training(quick("batch=4", "data.pool=0", "data.sets=positive", "sampling.sampler=upos"), sets, tmp_path)
    drawn = set()
    for seed in range(8):
        batch = training.draw()
        whole = training.targets.chosen(batch, seed, 0)
        parts = [training.targets.chosen({n: v[i : i + 1] for n, v in batch.items()}, seed, i) for i in range(4)]
        assert torch.equal(torch.cat(parts), whole)
        drawn |= set(whole.tolist())
    assert len(drawn) > 1


def test_the_same_negatives_are_drawn() -> None:
    recipe = ObjectiveRecipe(l1=0, perceptual=0, gan=0, negative=1.0)
    rng = torch.Generator().manual_seed(0)
    negative, positive = int(Label.NEGATIVE), int(Label.POSITIVE)
    labels = torch.tensor([[0, negative, negative, positive, positive]] * 3 + [[0, positive, 0, 0, 0]])
    gts = torch.randint(256, (4, 5, 3, 16, 16), generator=rng).byte()
    batch = {"gts": gts, "labels": labels, "votes": torch.full((4, 5), 3)}
    output = torch.rand(4, 3, 16, 16, generator=rng)

    def term(rows: slice) -> float:
        torch.manual_seed(3)
        part = {name: value[rows] for name, value in batch.items()}
        objective = Objective(recipe, 4, "cpu", before=rows.start)
        return float(objective.terms(output[rows], output[rows], part)["negative"])

    parts = [term(slice(i, i + 1)) for i in range(4)]
    assert sum(parts) / 4 == pytest.approx(term(slice(0, 4)), rel=1e-6)
    assert parts[0] != pytest.approx(parts[1], rel=1e-3)


def test_a_sample_without_negatives_takes_as_many_random_numbers() -> None:
    after: list[torch.Tensor] = []
    for label in (int(Label.NEGATIVE), int(Label.SIMILAR)):
        rng = torch.Generator().manual_seed(0)
        gts = torch.rand(1, 2, 3, 8, 8)
        negative_loss(gts[:, 0], gts, torch.tensor([[0, label]]), torch.tensor([[3, 3]]), rng=rng)
        after.append(rng.get_state())
    assert torch.equal(*after)


def test_stochastic_depth_drops_the_same_paths() -> None:
    x, found = torch.rand(4, 3, 8, 8, generator=torch.Generator().manual_seed(0)), list[torch.Tensor]()

    def network() -> nn.Module:
        return new_swinir(seed=0, depths=(4, 4), dim=12, heads=(2, 2)).module.train()

    torch.manual_seed(1)
    whole = network()(x)
    for rank in range(2):
        share_dropped_paths(part := network(), share := Share(2, rank, 2))
        torch.manual_seed(1)
        found.append(part(x[share.rows]))
    assert torch.allclose(torch.cat(found), whole, atol=1e-6)
    assert not torch.allclose(whole, network().eval()(x), atol=1e-6)  # something was dropped


def test_a_step_keeps_its_samples() -> None:
    assert share_of(2, 2, 0, 1) == Share(4)
    assert [share_of(4, 1, rank, 2).rows for rank in range(2)] == [slice(0, 2), slice(2, 4)]
    with pytest.raises(UsageError, match=r"6 samples \(2 processes of batch = 3\), which 4 .*: start 1, 2, 3, 6 proc"):
        share_of(3, 2, 0, 4)
