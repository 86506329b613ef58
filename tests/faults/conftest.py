"""Every test here is one of the fault campaign. `make faults` runs it whole, `make test-slow` a small part of it."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from support.fault_commands import Inputs, make_inputs
from support.forked_processes import ForkServer, fork_server

HERE = Path(__file__).parent


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    for item in items:
        if HERE in item.path.parents:
            item.add_marker(pytest.mark.faults)
            item.add_marker(pytest.mark.slow)
            if sys.platform != "linux":
                item.add_marker(pytest.mark.skip(reason="forks, kills and limits processes as Linux does"))


@pytest.fixture(scope="session")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[ForkServer]:
    """Starts the processes of all tests."""
    with fork_server(tmp_path_factory.mktemp("said")) as started:
        yield started


@pytest.fixture(scope="session")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Inputs:
    """Small inputs of every command."""
    return make_inputs(tmp_path_factory.mktemp("inputs"))
