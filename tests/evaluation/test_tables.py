"""Tables of an evaluation: hand-computed figures, marks, and that every table says where it comes from."""

import csv
import re
from dataclasses import fields, replace
from math import nan
from pathlib import Path

import pandas as pd
import pytest

from iqsr.errors import UsageError
from iqsr.evaluation.published import published
from iqsr.evaluation.result import Evaluation
from iqsr.evaluation.statistics import Comparison, Summary
from iqsr.evaluation.summary import Cell, groups, summarise_evaluation
from iqsr.evaluation.table_latex import to_latex
from iqsr.evaluation.table_markdown import to_markdown
from iqsr.evaluation.table_text import decimals, legend
from iqsr.evaluation.tables import to_csv, write_tables
from support.evaluations import METRICS, evaluation


@pytest.fixture(scope="module")
def cells() -> dict[tuple[str, str], Cell]:
    return summarise_evaluation(evaluation())


def row_of(table: str, name: str) -> list[str]:
    """The cells of the first row of that name in a Markdown table."""
    line = next(line for line in table.splitlines() if line.startswith(f"| {name} |"))
    return [cell.strip() for cell in line.strip("|").split("|")][1:]


def test_means_and_ranks_by_hand(cells: dict[tuple[str, str], Cell]) -> None:
    assert cells["base", "psnr"].summary.mean == 23.0
    assert cells["other", "stlpips"].summary.mean == pytest.approx(0.15)
    assert [cells[model, "psnr"].rank for model in ("other", "base", "third")] == [1, 2, 2]  # equal means
    assert [cells[model, "stlpips"].rank for model in ("other", "base", "third")] == [1, 2, 3]  # lower is better
    assert cells["Gold Standard", "srq"].rank is None
    assert cells["third", "srq"].summary.n == 0


def test_comparisons_are_corrected_together(cells: dict[tuple[str, str], Cell]) -> None:
    compared = {key: cell.comparison for key, cell in cells.items() if cell.comparison}
    assert set(compared) == {
        ("other", "psnr"),
        ("third", "psnr"),
        ("other", "stlpips"),
        ("third", "stlpips"),
        ("other", "srq"),
    }
    better = compared["other", "psnr"]
    assert (better.difference, better.interval) == (1.0, (1.0, 1.0))
    assert better.p_value == pytest.approx(2 / 2**4)
    assert better.p_holm == pytest.approx(5 * better.p_value)
    assert compared["third", "psnr"].p_holm == 1.0


def test_best_is_bold_and_second_underlined() -> None:
    table = to_markdown(evaluation(), summarise_evaluation(evaluation()))
    assert row_of(table, "other") == ["**24.00**", "**0.150**", "**60.00**†"]
    assert row_of(table, "base") == ["<u>23.00</u>", "<u>0.200</u>", "<u>50.00</u>"]
    assert row_of(table, "third") == ["<u>23.00</u>", "0.300", "–"]
    assert row_of(table, "Gold Standard") == ["–", "–", "85.00"]
    assert "† The model's training optimised this metric" in table


def test_columns_stand_in_groups() -> None:
    assert [(title, [m.name for m in metrics]) for title, metrics in groups(METRICS)] == [
        ("full reference, low", ["psnr"]),
        ("full reference, mid", ["stlpips"]),
        ("no reference, mid", ["srq"]),
    ]


def test_every_table_says_where_it_comes_from() -> None:
    found, cells = evaluation(), summarise_evaluation(evaluation())
    for table in (to_markdown(found, cells), to_latex(found, cells)):
        for fact in (
            "luma-shave4",
            "psnr = psnr-y",
            "abababababab",
            "crop border 4",
            "4 images",
            "iqsr 0.",
            "'third' has no srq",
        ):
            assert fact in table, fact
    rows = list(csv.DictReader(to_csv(found, cells).splitlines()))
    assert {row["protocol"] for row in rows} == {"luma-shave4"}
    assert {row["metric_variant"] for row in rows if row["metric"] == "psnr"} == {"psnr-y"}
    assert {row["weights_sha256"] for row in rows if row["metric"] == "stlpips"} == {"ab" * 32}


def test_csv_has_every_figure_and_empty_cells_for_none() -> None:
    table = to_csv(evaluation(), summarise_evaluation(evaluation()))
    rows = {(row["model"], row["metric"]): row for row in csv.DictReader(table.splitlines())}
    assert len(rows) == 12
    assert float(rows["other", "psnr"]["difference"]) == 1.0
    assert rows["base", "psnr"]["difference"] == rows["base", "psnr"]["p_holm"] == ""
    assert (rows["third", "srq"]["n"], rows["third", "srq"]["mean"]) == ("0", "")
    assert "nan" not in table.lower()


def test_csv_has_a_column_for_each_figure() -> None:
    columns = set(to_csv(evaluation(), summarise_evaluation(evaluation())).splitlines()[0].split(","))
    of_summary = {field.name for field in fields(Summary)} - {"interval"} | {"mean_low", "mean_high"}
    of_comparison = {field.name for field in fields(Comparison)} - {"n", "interval"}
    assert of_summary <= columns
    assert of_comparison | {"difference_low", "difference_high"} <= columns


def test_missing_values_are_one_sign() -> None:
    table = to_markdown(evaluation(), summarise_evaluation(evaluation()))
    rows = [line.strip("|").split("|")[1:] for line in table.splitlines() if line.startswith("| third |")]
    assert [row[2].strip() for row in rows] == ["–"] * 3


def test_few_images_limit_p() -> None:
    table = to_markdown(evaluation(), summarise_evaluation(evaluation()))
    assert "With 4 images, p before the correction is never below 0.125." in table


def lacking(found: Evaluation, count: int, metric: str) -> Evaluation:
    """Without the scores of `third` by that metric, of the first images."""
    scores = found.scores.copy()
    scores.loc[(scores.model == "third") & (scores.metric == metric) & (scores.image < f"img{count}"), "score"] = nan
    return replace(found, scores=scores)


@pytest.mark.parametrize(("count", "is_told"), [(0, False), (1, True), (3, True), (4, False)])
def test_a_mean_over_fewer_images_is_told(count: int, is_told: bool) -> None:
    """Also one over a single image; a mean over none is told by its sign."""
    found = lacking(evaluation(), count, "psnr")
    assert (
        "Some means are over fewer than the set's 4 images" in "\n".join(legend(found, summarise_evaluation(found)))
    ) == is_told


def test_a_score_of_all_images_together_lacks_none() -> None:
    found = evaluation()
    scores = found.scores[found.scores.metric != "psnr"]
    together = found.scores[(found.scores.metric == "psnr") & (found.scores.image == "img0")].assign(image="")
    found = replace(found, scores=pd.concat([scores, together]))
    cells = summarise_evaluation(found)
    assert cells["base", "psnr"].of_all_images
    assert not any("fewer" in line for line in legend(found, cells))


def test_latex_is_balanced_and_escaped() -> None:
    found = evaluation()
    renamed = replace(found, models=tuple(replace(m, name="a_b&c") if m.name == "third" else m for m in found.models))
    table = to_latex(renamed, summarise_evaluation(renamed))
    assert r"a\_b\&c &" in table
    body = [line for line in table.splitlines() if not line.startswith("%")]
    begin = re.fullmatch(r"\\begin\{tabular\}\{l(r+)\}", body[0])
    assert begin is not None
    columns = len(begin[1]) + 1
    rows = [line for line in body if line.endswith(r"\\") and "multicolumn" not in line]
    assert {len(re.findall(r"(?<!\\)&", row)) + 1 for row in rows} == {columns}
    assert all(line.count("{") == line.count("}") for line in body)


def test_published_rows_stand_apart_and_are_labelled() -> None:
    rows = published(7)
    table = to_markdown(evaluation(), summarise_evaluation(evaluation()), rows)
    assert row_of(table, "SwinIR-AMO+FT") == ["21.77", "0.121", "–"]
    assert "published in arXiv:2504.18524, table 7 (HGGT Test-100); not measured here" in table
    latex = to_latex(evaluation(), summarise_evaluation(evaluation()), rows)
    assert "not measured here" in latex
    csv_rows = list(csv.DictReader(to_csv(evaluation(), summarise_evaluation(evaluation()), rows).splitlines()))
    assert {row["origin"] for row in csv_rows if row["model"] == "SwinIR-UPos"} == {rows[0].origin}


def test_published_tables_are_the_papers() -> None:
    assert published(6)[0].values == {"accuracy": "76.41"}
    assert published(7)[0].model == "Gold Standard"
    assert published(7)[0].values == {"musiq": "69.64", "nima": "5.28", "qalign": "3.78", "topiq_nr": "0.69"}
    assert len(published(8)) == 8
    with pytest.raises(UsageError, match="no published table 9; choose 6, 7, 8"):
        published(9)


def test_decimals_follow_the_range() -> None:
    assert [decimals(metric) for metric in METRICS] == [2, 3, 2]


def test_tables_appear_in_the_folder(tmp_path: Path) -> None:
    files = write_tables(evaluation(), tmp_path)
    assert sorted(file.name for file in tmp_path.iterdir()) == sorted(file.name for file in files)
    before = [file.read_bytes() for file in files]
    write_tables(evaluation(), tmp_path)
    assert [file.read_bytes() for file in files] == before
