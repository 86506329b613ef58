"""Tables 7 and 8 of arXiv:2504.18524 made anew: which recipe makes which row, and the runs that are there.

>>> found = paper_rows(7, Path("runs"))
>>> found.models  # of the rows whose run is there
>>> found.missing[0].command
'iqsr train paper/swinir-upos --data HGGT/Train -o runs/swinir-upos'
"""

from dataclasses import dataclass
from pathlib import Path

from iqsr.errors import IqsrError, UsageError
from iqsr.evaluation.recipe import ModelRecipe
from iqsr.models.merge import result_file

_NETWORKS = {"SwinIR": "swinir", "RESRGAN": "realesrgan"}
_ROWS = {
    7: {
        "UPos": "upos",
        "UPos+FT_HP": "upos-ft+hp",
        "UPos+FT_IG": "upos-ft+ig",
        "UPos+FT_NNR_IGx2": "upos-ft+nnr-ig2",
        "UPos+FT_NNR_IGx5": "upos-ft+nnr-ig5",
        "UPos+FT_PaQ2PiQ": "upos-ft --set objective.quality=paq2piq",
        "UPos+FT": "upos-ft",
        "AMO+FT": "amo-ft",
    },
    8: {"OriginsOnly": "origins-only", "UPos": "upos", "AMO": "amo", "AMO+FT": "amo-ft"},
}
"""By table: the end of a row's name in the paper, and the recipe behind `paper/NETWORK-` with what is set besides."""


PAPER_TABLES = tuple(_ROWS)
"""Tables of the paper whose rows are models."""


@dataclass(frozen=True)
class MissingRun:
    """A row that no run is there for."""

    model: str
    """the row's name in the paper"""
    command: str
    """trains it"""


@dataclass(frozen=True)
class PaperRows:
    """The rows of a table, in the paper's order."""

    models: tuple[ModelRecipe, ...]
    missing: tuple[MissingRun, ...]


def paper_rows(table: int, runs: Path) -> PaperRows:
    """The models of the paper's table, from the folders of their runs in `runs`.

    A run's folder has the name of its recipe: `swinir-upos-ft+hp` for `paper/swinir-upos-ft+hp`. UsageError for a table
    other than 7 and 8, and for runs that are no folder.
    """
    if table not in _ROWS:
        raise UsageError(f"no recipes for table {table} of the paper; choose {' or '.join(map(str, _ROWS))}")
    if not runs.is_dir():
        raise UsageError(f"no such folder of runs: '{runs}'")
    models, missing = list[ModelRecipe](), list[MissingRun]()
    for network, prefix in _NETWORKS.items():
        for ending, how in _ROWS[table].items():
            recipe, _, changes = f"{prefix}-{how}".partition(" ")
            run = runs / (recipe if not changes else f"{recipe}-{changes.rpartition('=')[2]}")
            name = f"{network}-{ending}"
            if _is_done(run):
                models.append(ModelRecipe(model=str(run), name=name))
            else:
                command = f"iqsr train paper/{recipe} --data HGGT/Train -o {run} {changes}".rstrip()
                missing.append(MissingRun(name, command))
    return PaperRows(tuple(models), tuple(missing))


def _is_done(run: Path) -> bool:
    try:
        return result_file(run).is_file()
    except IqsrError:
        return False
