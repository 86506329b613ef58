"""How much memory there is."""

from pathlib import Path

import pytest

from iqsr import memory


@pytest.fixture
def limit(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    path = tmp_path / "memory.max"
    monkeypatch.setattr(memory, "_CONTAINER_LIMITS", (path, tmp_path / "missing"))
    return path


def test_a_container_may_have_less_memory_than_its_machine(limit: Path) -> None:
    of_machine = memory.machine_memory_bytes()
    limit.write_text("2000000000\n")
    assert memory.machine_memory_bytes() == 2_000_000_000 < of_machine


@pytest.mark.parametrize("text", ["max\n", f"{1 << 63}\n"])
def test_a_container_without_a_limit_has_the_machines_memory(limit: Path, text: str) -> None:
    of_machine = memory.machine_memory_bytes()
    limit.write_text(text)
    assert memory.machine_memory_bytes() == of_machine
