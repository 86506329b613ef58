"""Plain folders to evaluate on: inputs and originals in a folder each, originals alone, inputs alone.

DRealSR has `test_HR` and `test_LR`, others `HR` and `LR`, `GT` and `LQ`; RealSet65 is one folder of inputs.
"""

import re
from pathlib import Path

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet, Layout
from iqsr.datasets.hggt import folders_in
from iqsr.datasets.names import match, pictures_in, stem_of
from iqsr.errors import UsageError

_HR = re.compile(r"(test_|val_)?(hr|gt|sr_hr|original|originals|target|targets)", re.IGNORECASE)
_LR = re.compile(r"(test_|val_)?(lr|lq|lr_bicubic|input|inputs)", re.IGNORECASE)
_SCALED = re.compile(r"_?x[0-9]$", re.IGNORECASE)
_ENDING = re.compile(r"[_-](HR|GT)$", re.IGNORECASE)
"""Of originals' names: `0801_HR` is the original of `0801`."""


def pair_folders(folder: Path) -> tuple[Path, Path] | None:
    """The folders of originals and of inputs in `folder`; None where they are not there.

    UsageError where several folders could be one of them.
    """
    inside = folders_in(folder)
    found = [[path for name, path in inside.items() if which.fullmatch(_SCALED.sub("", name))] for which in (_HR, _LR)]
    for paths in found:
        if len(paths) > 1 and all(found):
            raise UsageError(f"'{folder}' has both '{paths[0].name}' and '{paths[1].name}': name one (--lr for inputs)")
    return (found[0][0], found[1][0]) if all(found) else None


def open_pairs(hr: Path, lr: Path, *, name: str = "") -> EvaluationSet:
    """Originals in `hr`, their inputs in `lr`; an input's name is the original's, or begins with it (`0801x4`).

    An original without an input makes an item all the same: pictures made elsewhere can be compared with it. UsageError
    where a folder does not exist, or has no picture.
    """
    originals, findings = _by_name(hr)
    inputs = match(originals, _some(lr))
    findings += inputs.findings(lr)
    for missing in originals.keys() - inputs.found.keys() - inputs.several.keys():
        findings.append(f"'{lr}' has no picture for '{missing}'")
    items = [EvaluationItem(n, inputs.found.get(n), (path,), (path,)) for n, path in sorted(originals.items())]
    return _checked(name or hr.parent.name or hr.name, "pairs", items, findings)


def open_originals(hr: Path, *, name: str = "") -> EvaluationSet:
    """Originals alone; someone has to make the inputs. UsageError as for `open_pairs`."""
    originals, findings = _by_name(hr)
    items = [EvaluationItem(n, None, (path,), (path,)) for n, path in sorted(originals.items())]
    return _checked(name or hr.name, "hr", items, findings)


def open_inputs(lr: Path, *, name: str = "") -> EvaluationSet:
    """Inputs alone, for metrics without a reference. UsageError as for `open_pairs`."""
    inputs, findings = _by_name(lr)
    items = [EvaluationItem(n, path) for n, path in sorted(inputs.items())]
    return _checked(name or lr.name, "lr", items, findings)


def _checked(name: str, layout: Layout, items: list[EvaluationItem], findings: list[str]) -> EvaluationSet:
    if not items:
        raise UsageError(f"nothing in '{name}' can be evaluated on: {findings[0]}")
    return EvaluationSet(name, layout, tuple(items), tuple(sorted(findings)))


def _by_name(folder: Path) -> tuple[dict[str, Path], list[str]]:
    """Pictures by the names of their items; a line for each name that several have."""
    found: dict[str, list[Path]] = {}
    for path in _some(folder):
        found.setdefault(_ENDING.sub("", stem_of(path)), []).append(path)
    several = {name: paths for name, paths in found.items() if len(paths) > 1}
    findings = [
        f"'{folder}' has both '{paths[0].name}' and '{paths[1].name}', of one name; keep one"
        for paths in several.values()
    ]
    return {name: paths[0] for name, paths in found.items() if name not in several}, findings


def _some(folder: Path) -> list[Path]:
    if not folder.is_dir():
        raise UsageError(f"no such folder: '{folder}'")
    found = pictures_in(folder)
    if not found:
        raise UsageError(f"there is no picture in '{folder}'")
    return found
