"""An evaluation in shards: the outputs and scores of one shard's items, and the evaluation of all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from iqsr.datasets.evaluation_set import EvaluationItem, EvaluationSet
from iqsr.errors import IqsrError
from iqsr.evaluation.api import check_paper, evaluate_recipe
from iqsr.evaluation.made_files import JOURNAL, MadeFiles
from iqsr.evaluation.result import INPUTS, PICTURES, RECIPE_FILE
from iqsr.evaluation.run import Setting, run
from iqsr.evaluation.scores import SCORES_FILE, sorted_scores, write_scores
from iqsr.io.locks import locked
from iqsr.io.places import check_is_file, check_leads_inside
from iqsr.io.shard_parts import Part, join_file
from iqsr.io.shards import Shard, ShardPart, shard_part

if TYPE_CHECKING:
    from iqsr.evaluation.recipe import EvaluationRecipe
    from iqsr.evaluation.result import Evaluation

FOLDER = "evaluation"


def evaluate_shard(
    recipe: EvaluationRecipe, out: Path, shard: Shard, setting: Setting, *, paper: int | None = None
) -> tuple[ShardPart, Evaluation]:
    """Evaluate on the items of one shard: pictures and scores in `OUT.shards/I-of-N/evaluation`, and the manifest.

    The content of an item's low-resolution input decides its shard; of its original where there is no input. Scores
    made elsewhere, tables and report come when the shards are joined. paper: as for `evaluate`, for then.

    Raises what `run` raises, and UsageError for a folder that holds a shard of another recipe.
    """
    check_paper(paper)
    settings = {"recipe": recipe.model_dump(mode="json"), "paper": paper}
    with shard_part(out, shard, command="evaluate", settings=settings, name=FOLDER) as part:

        def choose(data: EvaluationSet) -> EvaluationSet:
            units = part.choose((item.name, _decisive(item)) for item in data.items)
            return replace(data, items=tuple(data.items[unit.place] for unit in units))

        found = run(recipe, part.output, setting, choose=choose)
        reasons: dict[str, str] = {}
        for problem in found.problems:
            if problem.image:
                reasons.setdefault(problem.image, problem.text)
        part.finish({unit.place: reasons[unit.name] for unit in part.units if unit.name in reasons})
    return part, found


def _decisive(item: EvaluationItem) -> Path | None:
    """The file that decides the shard of an item."""
    return next((path for path in (item.lr, *item.references, *item.ground_truths) if path is not None), None)


def merge_evaluation(parts: Sequence[Part], out: Path, setting: Setting) -> Evaluation:
    """The evaluation of all shards together, with its tables and report, in the folder `out`.

    Pictures and scores of the shards are put where an evaluation keeps them, and the evaluation goes on from there: it
    finds that nothing is left to compute but what failed. Its files are those of the evaluation without shards.

    Raises what `evaluate_recipe` raises.
    """
    from iqsr.evaluation.recipe import read_evaluation_recipe
    from iqsr.evaluation.result import check_same_evaluation

    file = parts[0].folder / FOLDER / RECIPE_FILE
    check_is_file(file)
    recipe = read_evaluation_recipe(file)
    check_same_evaluation(recipe, out)
    with locked(out, "iqsr merge-shards"):
        for part in parts:
            _join_files(part.folder / FOLDER, out)
        _join_journals(parts, out)
        _join_scores(parts, out)
    return evaluate_recipe(recipe, out, setting, paper=parts[0].manifest.settings["paper"])


def _join_files(folder: Path, out: Path) -> None:
    """Give the files that a shard made a second place in `out`; one of an earlier evaluation there is replaced."""
    for kind in (INPUTS, PICTURES):
        for file in sorted((folder / kind).rglob("*")):
            if file.is_file() and file.name != JOURNAL and not file.name.startswith("."):
                check_leads_inside(file, folder)
                join_file(file, out / file.relative_to(folder), overwrite=True)


def _join_journals(parts: Sequence[Part], out: Path) -> None:
    """The notes of what each file was made of; for a file that has several, the last one counts."""
    joined: dict[Path, MadeFiles] = {}
    for part in parts:
        folder = part.folder / FOLDER
        for journal in sorted(file for file in folder.rglob(JOURNAL) if file.is_file()):
            check_leads_inside(journal, folder)
            place = out / journal.parent.relative_to(folder)
            joined.setdefault(place, MadeFiles(place)).take(journal.parent)
    for made in joined.values():
        made.close()


def _join_scores(parts: Sequence[Part], out: Path) -> None:
    """The measured scores of all shards, after which those of an earlier evaluation in `out` count no more."""
    import pandas as pd

    def scores(part: Part) -> pd.DataFrame:
        file = part.folder / FOLDER / SCORES_FILE
        try:
            check_is_file(file)
            return pd.read_parquet(file)
        except (OSError, ValueError) as error:
            raise IqsrError(f"cannot read '{file}' ({error}); run shard {part.shard} again") from None

    rows = pd.concat(map(scores, parts), ignore_index=True)
    write_scores(sorted_scores(rows), out / SCORES_FILE)
