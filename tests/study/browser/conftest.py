"""A browser and served studies for the tests of the rating page."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from support.browsers import chromium
from support.study_pages import StudyServer, served


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    with chromium() as found:
        yield found


@pytest.fixture
def server(tmp_path: Path) -> Iterator[StudyServer]:
    """Two methods under a slider."""
    with served(tmp_path / "study") as running:
        yield running
