"""Write the parameters of NIQE and BRISQUE as safetensors, from their authors' releases.

    git clone https://github.com/utlive/niqe
    git clone https://github.com/utlive/BRISQUE
    python evaluation/live/convert.py niqe BRISQUE

The numbers are the released ones in float64, none is changed. The files go to src/iqsr/metrics.
"""

import hashlib
import sys
from pathlib import Path

import torch
from scipy.io import loadmat
from torch import Tensor

from iqsr.io.tensor_files import serialized

METRICS = Path(__file__).parents[2] / "src/iqsr/metrics"
SHA256 = {
    "modelparameters.mat": "fa2aa4d12dd9595c3fb6bf8b4e1a15c79d5d1469238d0901c88dead195be578d",
    "allmodel": "8b04d6045f1b27261610c8ab1730fdcc14ec80bfab0f1ab5f703bbc2927314de",
    "allrange": "e47d753d96b631e1aa2dbac8c4e51ade767f2def8ce678c7130b6b3f90ee915f",
}
LICENCE = "Copyright (c) 2011 The University of Texas at Austin, see LICENSE-LIVE"


def main() -> None:
    niqe, brisque = map(Path, sys.argv[1:])
    write("niqe.safetensors", pristine_model(checked(niqe / "modelparameters.mat")), "github.com/utlive/niqe")
    machine = support_vectors(checked(brisque / "MATLAB/allmodel")) | ranges(checked(brisque / "MATLAB/allrange"))
    write("brisque.safetensors", machine, "github.com/utlive/BRISQUE")


def checked(path: Path) -> Path:
    """The path, if its file is the released one."""
    if hashlib.sha256(path.read_bytes()).hexdigest() != SHA256[path.name]:
        raise SystemExit(f"{path} is not the released file")
    return path


def pristine_model(path: Path) -> dict[str, Tensor]:
    found = loadmat(path)
    return {
        "mean": torch.from_numpy(found["mu_prisparam"]).flatten(),
        "covariance": torch.from_numpy(found["cov_prisparam"]).contiguous(),
    }


def support_vectors(path: Path) -> dict[str, Tensor]:
    """LIBSVM's text: a coefficient a line, then `feature:value` for each value that is not 0."""
    lines = path.read_text(encoding="ascii").partition("\nSV\n")[2].splitlines()
    vectors = torch.zeros(len(lines), 36, dtype=torch.float64)
    for row, line in enumerate(lines):
        for pair in line.split()[1:]:
            feature, _, value = pair.partition(":")
            vectors[row, int(feature) - 1] = float(value)
    coefficients = torch.tensor([float(line.split()[0]) for line in lines], dtype=torch.float64)
    return {"vectors": vectors, "coefficients": coefficients}


def ranges(path: Path) -> dict[str, Tensor]:
    """svm-scale's text: two lines of head, then number, least and most of each feature."""
    lines = path.read_text(encoding="ascii").splitlines()[2:]
    bounds = torch.tensor([[float(value) for value in line.split()[1:]] for line in lines], dtype=torch.float64)
    return {"least": bounds[:, 0].contiguous(), "most": bounds[:, 1].contiguous()}


def write(name: str, tensors: dict[str, Tensor], source: str) -> None:
    (METRICS / name).write_bytes(serialized(tensors, {"source": source, "licence": LICENCE}))


if __name__ == "__main__":
    main()
