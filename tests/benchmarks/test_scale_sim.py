"""The simulation of many workers: closed forms, bounds, and what a kill costs."""

import importlib.util
import random
import sys
from pathlib import Path
from types import ModuleType

import pytest

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture(scope="module")
def sim() -> ModuleType:
    sys.path.insert(0, str(BENCHMARKS))
    spec = importlib.util.spec_from_file_location("scale_sim", BENCHMARKS / "scale_sim.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    sys.modules["scale_sim"] = module
    spec.loader.exec_module(module)
    return module


def plain(sim: ModuleType, workers: int) -> object:
    return sim.Cluster(workers, straggling=0, restarts_an_hour=0)


def test_one_worker_takes_the_sum_of_all_costs(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=0.001, picture=0.5, join_start=1, join=0.002)
    found = sim.simulate(1000, 1, costs, plain(sim, 1))
    assert found.seconds == pytest.approx(3 + 0.001 * 1000 + 0.5 * 1000 + 1 + 0.002 * 1000)
    assert found.waste == pytest.approx(3 + 0.001 * 1000)
    assert found.kills == 0
    found = sim.simulate(1000, 4, costs, plain(sim, 1))
    assert found.worker_seconds == pytest.approx(4 * (3 + 0.001 * 1000) + 0.5 * 1000), "each shard looks at all files"


@pytest.mark.parametrize(("pictures", "shards"), [(10, 16), (1000, 7), (100_000_000, 4096)])
def test_every_picture_is_in_one_shard(sim: ModuleType, pictures: int, shards: int) -> None:
    sizes = sim.shard_sizes(pictures, shards, random.Random(1))
    assert (len(sizes), sum(sizes)) == (shards, pictures)
    assert min(sizes) >= 0


@pytest.mark.parametrize("seed", range(5))
def test_no_number_of_workers_beats_the_work_shared_evenly(sim: ModuleType, seed: int) -> None:
    costs = sim.Costs(start=3, look=0, picture=0.5, spread=0.5)
    one = sim.simulate(10_000, 64, costs, plain(sim, 1), seed)
    eight = sim.simulate(10_000, 64, costs, plain(sim, 8), seed)
    assert one.seconds / 8 <= eight.seconds < one.seconds / 8 * 1.2
    assert eight.useful_seconds == pytest.approx(one.useful_seconds), "the work is the same"


def test_stragglers_cost_less_with_more_shards(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=0, picture=0.5)
    cluster = sim.Cluster(64, straggling=0.4, restarts_an_hour=0)
    seconds = {shards: sim.simulate(1_000_000, shards, costs, cluster).seconds for shards in (64, 1024)}
    assert seconds[1024] < 0.75 * seconds[64]


def test_a_kill_costs_the_start_and_the_picture_at_hand(sim: ModuleType) -> None:
    costs = sim.Costs(start=10, look=0, picture=2)
    cluster = sim.Cluster(1, straggling=0, restarts_an_hour=6, away=60)
    calm, killed = (sim.simulate(5000, 1, costs, one, seed=3) for one in (plain(sim, 1), cluster))
    assert killed.kills > 5
    lost = killed.worker_seconds - calm.worker_seconds
    assert 0 < lost <= killed.kills * (10 + 0.5 * 2) + 1e-6
    assert killed.seconds == pytest.approx(calm.seconds + lost + 60 * killed.kills)


def test_storage_that_all_share_slows_every_read(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=0.001, picture=0.5, megabytes=2)
    slow = sim.Cluster(4, straggling=0, restarts_an_hour=0, bandwidth=100)
    found, fast = (sim.simulate(1000, 4, costs, cluster) for cluster in (slow, plain(sim, 4)))
    each_read = 2 * 4 / 100
    assert found.worker_seconds - fast.worker_seconds == pytest.approx((4 * 1000 + 1000) * each_read)


def test_costs_of_larger_pictures_follow_the_fit(sim: ModuleType) -> None:
    measured = sim.Measured(4, 0.1, 2, 1e-5, 1e-3, 1, 0.01, residual=0, clock=1)
    costs = measured.costs(megapixels=0.5, spread=0.4, megabytes=3)
    assert costs.picture == pytest.approx(0.1 + 2 * 0.5)
    assert costs.look == pytest.approx(1e-5 + 3e-3)
    assert costs.spread * costs.picture == pytest.approx(0.4 * 2 * 0.5), (
        "only the part that depends on the size spreads"
    )
    assert (costs.start, costs.join_start, costs.join) == (4, 1, 0.01)


def test_known_shards_are_taken_in_turn(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=0.01, picture=0.5, join_start=1)
    a_shard = 3 + 0.01 * 80
    first = 3 * a_shard + (10 + 20 + 10) * 0.5  # the second is at work on 40 until 23.8 s, the first free at 22.6 s
    assert sim.prediction(costs, [10, 40, 20, 10], 2) == pytest.approx(first + 1)


def test_one_typical_worker_is_neither_fast_nor_slow(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=0, picture=0.5)
    calm = sim.simulate(10_000, 1, costs, plain(sim, 1)).seconds
    assert sim.typical(10_000, 1, costs, sim.Cluster(1)).seconds == pytest.approx(calm, rel=0.1)


def test_equal_seeds_give_equal_results_and_a_hundred_million_take_seconds(sim: ModuleType) -> None:
    costs = sim.Costs(start=3, look=1e-5, picture=0.5, spread=0.5)
    cluster = sim.Cluster(512)
    assert sim.simulate(10**8, 32_768, costs, cluster, 7) == sim.simulate(10**8, 32_768, costs, cluster, 7)
    assert sim.simulate(10**8, 32_768, costs, cluster, 7) != sim.simulate(10**8, 32_768, costs, cluster, 8)


def test_table_has_every_number_of_pictures_and_workers(sim: ModuleType) -> None:
    lines = sim.table({"score": sim.Costs(3, 1e-5, 0.1)}).splitlines()
    assert len([line for line in lines if line.startswith("| 1")]) == len(sim.PICTURES) * len(sim.WORKERS)
    assert "| 10,000 | 1 | 1 |" in "\n".join(lines)


@pytest.mark.parametrize(
    ("seconds", "text"), [(12, "12 s"), (90, "1.5 min"), (7200, "2.0 h"), (86_400 * 3, "3.0 d"), (31_536_000, "1.0 y")]
)
def test_durations_are_told_in_a_fitting_unit(sim: ModuleType, seconds: float, text: str) -> None:
    assert sim.duration(seconds) == text
