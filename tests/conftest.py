"""Settings for all tests."""

import os

import pytest


@pytest.fixture(autouse=True, scope="session")
def _one_thread() -> None:
    """One thread a test: on shared machines several wait for each other far longer than they compute."""
    import torch

    torch.set_num_threads(int(os.environ.get("IQSR_TEST_THREADS", "1")))
