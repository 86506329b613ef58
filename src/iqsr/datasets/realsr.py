"""RealSR, version 3 (Cai et al., ICCV 2019, arXiv:1904.00523): photos of one scene at several focal lengths.

    Canon/Test/4/Canon_001_HR.png    the original
    Canon/Test/4/Canon_001_LR4.png   its input, a quarter of the size
    Nikon/Test/4/...

Versions 1 and 2 have inputs of the originals' size, which are no inputs of networks that enlarge.
"""

import re
from collections.abc import Sequence
from pathlib import Path

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.datasets.names import pictures_in, stem_of
from iqsr.errors import UsageError

CAMERAS = ("Canon", "Nikon")
_NAME = re.compile(r"(?P<name>.+)_(?P<kind>HR|LR(?P<scale>\d)?)", re.IGNORECASE)


def is_realsr(folder: Path) -> bool:
    """Whether the folder of a camera is in it."""
    return any((folder / camera).is_dir() for camera in CAMERAS)


def open_realsr(folder: Path, *, scale: int = 4, cameras: Sequence[str] = CAMERAS, part: str = "Test") -> EvaluationSet:
    """The pairs of RealSR v3 in `folder`, of these cameras, by this scale (2, 3 or 4), of `Test` or `Train`.

    UsageError for a camera or a scale whose folder is not there, and where there is no pair.
    """
    if not cameras:
        raise UsageError("no camera was named; RealSR has Canon and Nikon")
    items: dict[str, EvaluationItem] = {}
    findings: list[str] = []
    for camera in cameras:
        place = folder / camera / part / str(scale)
        if not place.is_dir():
            raise UsageError(f"no such folder: '{place}'; RealSR v3 has CAMERA/{part}/2, 3 and 4 (--scale, --cameras)")
        for name, lr, hr in _pairs(place, scale, findings):
            own = name if name.lower().startswith(camera.lower()) else f"{camera}_{name}"
            items[own] = EvaluationItem(own, lr, (hr,), (hr,))
    if not items:
        raise UsageError(f"there is no pair of NAME_HR and NAME_LR{scale} in '{folder}'")
    title = f"RealSR v3 {'+'.join(cameras)} x{scale}"
    return EvaluationSet(title, "realsr", tuple(items[name] for name in sorted(items)), tuple(sorted(findings)))


def _pairs(place: Path, scale: int, findings: list[str]) -> list[tuple[str, Path, Path]]:
    kinds: dict[str, dict[str, Path]] = {"HR": {}, "LR": {}}
    for path in pictures_in(place):
        said = _NAME.fullmatch(stem_of(path))
        if said is None:
            findings.append(f"'{path}': expected a name like Canon_001_HR or Canon_001_LR{scale}")
            continue
        if said["scale"] not in (None, str(scale)):
            findings.append(f"'{path}': is said to be of scale {said['scale']}, in a folder of scale {scale}")
            continue
        of_kind = kinds[said["kind"][:2].upper()]
        if said["name"] in of_kind:
            findings.append(f"'{place}' has both '{of_kind[said['name']].name}' and '{path.name}'; the first is taken")
            continue
        of_kind[said["name"]] = path
    for one, other in (("HR", "LR"), ("LR", "HR")):
        findings.extend(
            f"'{kinds[one][name]}' has no {other} picture beside it"
            for name in sorted(kinds[one].keys() - kinds[other].keys())
        )
    return [(name, kinds["LR"][name], kinds["HR"][name]) for name in sorted(kinds["HR"].keys() & kinds["LR"].keys())]
