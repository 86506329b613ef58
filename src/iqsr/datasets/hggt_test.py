"""HGGT's test set as something to evaluate on: outputs are compared with what the majority finds better.

Chen et al., CVPR 2023, arXiv:2303.13069: each of Test-100 has at least two positives.
"""

from pathlib import Path

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.datasets.gt_set import GtSet
from iqsr.datasets.hggt import lr_folder, open_sets
from iqsr.datasets.names import match, pictures_in
from iqsr.errors import IqsrError, UsageError


def holds_sets(folder: Path) -> bool:
    """Whether `open_sets` finds sets of ground truths there."""
    try:
        open_sets(folder)
    except UsageError:
        return False
    return True


def open_hggt_test(folder: Path, *, lr: Path | None = None) -> EvaluationSet:
    """The sets in `folder`, see `open_sets`, with the inputs in `lr`, or where HGGT keeps them.

    The references are the positives by majority; of a data set without labels, the originals. A set that has no
    positive, or that cannot be read, is in no item but in `findings`. UsageError where nothing is left.
    """
    sets = open_sets(folder)
    inputs = lr or lr_folder(folder)
    findings: list[str] = []
    matched = match(sets.names, pictures_in(inputs)) if inputs else None
    if matched is not None and inputs is not None:
        findings += matched.findings(inputs)
    items: list[EvaluationItem] = []
    for name in sets.names:
        try:
            found = sets.load(name)
        except IqsrError as error:
            findings.append(f"the set '{name}' is left out: {error}")
            continue
        references = _references(found)
        if not references:
            findings.append(f"the set '{name}' is left out: no majority finds any of it better than the original")
            continue
        small = matched.found.get(name) if matched else None
        if matched and name not in matched.found and name not in matched.several:
            findings.append(f"'{inputs}' has no picture for '{name}'")
        items.append(EvaluationItem(name, small, references, found.paths))
    if not items:
        raise UsageError(f"nothing in '{folder}' can be evaluated on: {findings[0] if findings else 'it has no sets'}")
    return EvaluationSet(folder.absolute().name, "hggt", tuple(items), tuple(sorted(findings)))


def _references(found: GtSet) -> tuple[Path, ...]:
    if found.labels is None:
        return (found.paths[0],)
    return tuple(found.paths[place] for place in found.positives)
