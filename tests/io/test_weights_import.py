"""Weights from a folder of files: recognised by content, copied whole or not at all."""

import pytest

from iqsr.errors import UsageError, WeightsError
from iqsr.io import weights
from support.weights_samples import SMALL, files, flipped, one_line, published

pytestmark = pytest.mark.usefixtures("weights_folder")


# import


def test_import_recognises_renamed_files(tmp_path, weights_folder, without_package):
    usb = tmp_path / "usb stick" / "déjà vu"
    usb.mkdir(parents=True)
    (usb / "something else.dat").write_bytes(published())
    (usb / "notes.txt").write_text("not weights")
    assert [weight.name for weight in weights.import_folder(tmp_path / "usb stick")] == [SMALL]
    assert files(weights_folder) == [f"{SMALL}.bin"]
    assert weights.locate(SMALL) == weights_folder / f"{SMALL}.bin"


def test_imported_weights_make_the_network(tmp_path, without_package):
    from iqsr.models import load_model

    (tmp_path / "copy.bin").write_bytes(published())
    weights.import_folder(tmp_path)
    assert load_model(SMALL).scale == 4


@pytest.mark.parametrize("name", [f"{SMALL}.bin", "REALESRGAN_ANIMAVIDEOV3_UP4X.bin", "realesrgan_x2plus.PTH"])
@pytest.mark.parametrize("damage", [flipped, lambda data: data[:-1]])
def test_known_name_with_other_content_stops_the_import(tmp_path, weights_folder, name, damage):
    usb = tmp_path / "usb"
    usb.mkdir()
    (usb / "a good file").write_bytes(published())
    (usb / name).write_bytes(damage(published()))
    with pytest.raises(WeightsError, match="its SHA-256 differs; nothing was imported"):
        weights.import_folder(usb)
    assert files(weights_folder) == []


def test_import_twice_and_from_the_weights_folder_itself(tmp_path, weights_folder):
    (tmp_path / "x").write_bytes(published())
    assert weights.import_folder(tmp_path) == weights.import_folder(tmp_path) == weights.import_folder(weights_folder)
    assert files(weights_folder) == [f"{SMALL}.bin"]


def test_import_repairs_a_damaged_file(tmp_path, weights_folder, without_package):
    weights_folder.mkdir()
    (weights_folder / f"{SMALL}.bin").write_bytes(flipped(published()))
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "x").write_bytes(published())
    weights.import_folder(tmp_path / "usb")
    assert weights.locate(SMALL).read_bytes() == published()


def test_weights_folder_that_cannot_be_written_is_one_line(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("in the way")
    (tmp_path / "usb").mkdir()
    (tmp_path / "usb" / "x").write_bytes(published())
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "file" / "weights"))
    with pytest.raises(WeightsError, match=r"^cannot write .*: Not a directory$") as error:
        weights.import_folder(tmp_path / "usb")
    one_line(error)


def test_import_from_no_folder_is_one_line(tmp_path):
    with pytest.raises(UsageError, match=r"^no such folder: '.*none'$"):
        weights.import_folder(tmp_path / "none")
