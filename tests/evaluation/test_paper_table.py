"""Rows of the paper's tables: each has a recipe that ships, and a command that makes it."""

import shlex
from pathlib import Path

import pytest

from iqsr.configs import recipe_files
from iqsr.errors import UsageError
from iqsr.evaluation.paper_table import paper_rows
from iqsr.evaluation.published import published
from iqsr.models.merge import ADAPTER_FILE
from support.command_lines import parse


@pytest.mark.parametrize("table", [7, 8])
def test_every_published_row_has_a_recipe_and_a_command_that_parses(table: int, tmp_path: Path) -> None:
    found = paper_rows(table, tmp_path)
    assert found.models == ()
    assert [row.model for row in found.missing] == [r.model for r in published(table) if r.model != "Gold Standard"]
    for row in found.missing:
        words = shlex.split(row.command)
        assert recipe_files(words[2])
        parse(words[1:])


def test_runs_that_are_there_are_models(tmp_path: Path) -> None:
    for run in ("swinir-upos", "swinir-upos-ft-paq2piq", "realesrgan-upos-ft+ig"):
        (tmp_path / run).mkdir()
        (tmp_path / run / ADAPTER_FILE).touch()
    found = paper_rows(7, tmp_path)
    assert [(model.name, Path(model.model).name) for model in found.models] == [
        ("SwinIR-UPos", "swinir-upos"),
        ("SwinIR-UPos+FT_PaQ2PiQ", "swinir-upos-ft-paq2piq"),
        ("RESRGAN-UPos+FT_IG", "realesrgan-upos-ft+ig"),
    ]
    assert len(found.models) + len(found.missing) == 16


def test_other_tables_and_folders_are_refused(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no recipes for table 6 of the paper; choose 7 or 8"):
        paper_rows(6, tmp_path)
    with pytest.raises(UsageError, match="no such folder of runs"):
        paper_rows(7, tmp_path / "none")
