"""Sets of ground truths: one original and its enhanced versions, with or without people's labels.

>>> sets = open_sets(Path("HGGT/Train"))
>>> first = sets.load(sets.names[0])
>>> first.paths[0], first.labels, first.positives
"""

from iqsr.datasets.check import Finding, check
from iqsr.datasets.gt_set import GtSet, SetName, every_set, has_positive, has_positive_or_negative
from iqsr.datasets.hggt import GroundTruths, lr_folder, open_folders, open_sets
from iqsr.datasets.join import join
from iqsr.datasets.labels import ANNOTATORS, Label, read_labels, vote

__all__ = [
    "ANNOTATORS",
    "Finding",
    "GroundTruths",
    "GtSet",
    "Label",
    "SetName",
    "check",
    "every_set",
    "has_positive",
    "has_positive_or_negative",
    "join",
    "lr_folder",
    "open_folders",
    "open_sets",
    "read_labels",
    "vote",
]
