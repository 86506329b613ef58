"""`report.html` in a real browser."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from iqsr.errors import UnknownNameError, UsageError
from iqsr.evaluation.published import published
from iqsr.evaluation.report import write_report
from iqsr.evaluation.report_data import ReportData
from iqsr.evaluation.report_tables import means_table
from iqsr.evaluation.result import Evaluation
from iqsr.report.crops import Box
from support.browsers import chromium, contrast, opened_page
from support.evaluations import METRICS, evaluation
from support.report_samples import many, run_folder, with_pictures


@pytest.fixture(scope="module")
def browser():
    with chromium() as found:
        yield found


@pytest.fixture(scope="module")
def report(tmp_path_factory) -> Path:
    folder = tmp_path_factory.mktemp("report")
    found = with_pictures(folder)
    run = run_folder(folder / "run", "steps = 4\n", {0: 20.0, 2: 21.0})
    models = tuple(replace(m, source=str(run)) if m.name == "other" else m for m in found.models)
    crops = {"img2": Box(8, 4, 40, 40)}
    return write_report(replace(found, models=models), folder, published(7)[:2], pictures=4, crops=crops)


@pytest.fixture
def page(browser, report):
    with opened_page(browser, report) as page:
        yield page


def names(page, table: int = 0, body: int = 0) -> list[str]:
    rows = page.locator("table.sortable").nth(table).locator("tbody").nth(body).locator("tr:not(.origin)")
    return rows.locator("th").all_inner_texts()


@pytest.mark.browser
def test_every_part_is_there_and_in_the_contents(page):
    heads = page.locator("main > section > h2").all_inner_texts()
    assert heads == [
        *("Problems", "Means", "Differences to base", "Worst cases", "Perception and distortion", "Distributions"),
        *("Best and worst images", "Before and after", "Panels", "Quality maps", "Training curves"),
        "How it was computed",
    ]
    links = page.locator("nav a")
    assert links.count() == len(heads)
    for number in range(len(heads)):
        assert page.locator(links.nth(number).get_attribute("href")).count() == 1
    assert page.locator("#problems ~ ul").inner_text() == "'third' has no srq"


@pytest.mark.browser
def test_means_intervals_marks_and_published_rows(page):
    row = page.locator("table.sortable tbody tr").filter(has_text="other").first
    assert row.locator("td").nth(0).inner_text().split("\n")[0] == "24.00"
    assert row.locator("td").nth(0).locator(".first").count() == 1
    assert "†" in row.locator("td").nth(2).inner_text(), "it was trained on srq"
    origin = page.locator(".origin").inner_text()
    assert origin.startswith("published in") and origin.endswith("not measured here")  # noqa: PT018
    differences = page.locator("table.sortable").nth(1)
    assert "p = " in differences.inner_text()
    assert "+1.00" in differences.inner_text()


@pytest.mark.browser
def test_a_press_on_a_head_sorts_best_first_then_worst(page):
    lpips = page.locator("table.sortable").first.get_by_role("button", name="stlpips")
    published_before = names(page, body=1)
    lpips.press("Enter")
    assert names(page) == ["other", "base", "third", "Gold Standard"], "lower is better; no value is last"
    assert page.locator("table.sortable th[aria-sort]").get_attribute("aria-sort") == "ascending"
    lpips.press("Enter")
    assert names(page) == ["third", "base", "other", "Gold Standard"]
    assert sorted(names(page, body=1)) == sorted(published_before), "published rows stay among themselves"


@pytest.mark.browser
def test_scatter_has_a_point_a_model_and_images_on_demand(page):
    plot = page.locator("#scatter-plot")
    assert plot.locator(".point").count() == 2, "third has no srq, the Gold Standard no psnr"
    assert plot.locator(".spot").count() == 0
    page.get_by_label("every image").check()
    assert plot.locator(".spot").count() == 8
    page.locator("#scatter-x").select_option("psnr")
    assert "base: psnr 23" in page.locator("#scatter-said").inner_text()
    other, base = (plot.locator(f".c{style} .point").bounding_box() for style in (2, 1))
    assert other["x"] > base["x"]
    assert other["y"] < base["y"], "better is to the right and up"


@pytest.mark.browser
def test_lower_is_better_turns_its_axis(page):
    page.locator("#scatter-x").select_option("stlpips")
    other, base = (page.locator(f"#scatter-plot .c{style} .point").bounding_box() for style in (2, 1))
    assert other["x"] > base["x"], "0.15 is better than 0.20"


@pytest.mark.browser
def test_worst_images_have_as_much_room_as_the_best(page):
    page.locator("#extremes-metric").select_option("stlpips")
    worst, best = (page.locator(f"#extremes-{end} li") for end in ("worst", "best"))
    assert worst.count() == best.count() == 2
    assert page.locator("#end-worst").inner_text() == "Worst for other"
    assert sorted(best.locator("b").all_inner_texts()) == ["img0", "img1"], "0.1 better each"
    assert "stlpips −0.100, better" in best.first.inner_text()
    boxes = [page.locator(f"#extremes-{end} img").first.bounding_box() for end in ("worst", "best")]
    assert boxes[0]["width"] == boxes[1]["width"]
    said = page.locator("#extremes-said").inner_text()
    assert said.endswith("better than base on 2 images, worse on 0, equal on 2.")
    page.locator("#extremes-model").select_option("third")
    assert page.locator("#end-best").inner_text() == "Best for third"


@pytest.mark.browser
def test_the_keyboard_moves_a_slider_and_all_models_can_be_chosen(page):
    assert page.locator("before-after").count() == 4
    slider = page.locator("before-after .split").first
    slider.focus()
    for _ in range(5):
        slider.press("ArrowRight")
    assert slider.input_value() == "55"
    options = page.get_by_label("Left side").first.locator("option").all_inner_texts()
    assert options == ["low resolution", "base", "other", "third", "original"]


@pytest.mark.browser
def test_panels_maps_and_curves(page):
    first = page.locator(".panel").first
    assert first.locator("h3").inner_text() == "img2", "a crop that is given comes first"
    frame = first.locator("rect")
    assert [frame.get_attribute(k) for k in ("x", "y", "width", "height")] == ["8", "4", "40", "40"]
    inset = first.locator("img.inset").nth(1)
    assert inset.evaluate("i => [i.naturalWidth, i.naturalHeight]") == [40, 40]
    assert inset.get_attribute("src").startswith("data:image/png"), "lossless"
    assert "psnr 24.00" in first.inner_text()
    assert page.locator(".cell.map").count() == 4 * 4, "three models and the original"
    charts = page.locator("section[aria-labelledby=curves] svg[role=img]")
    said = charts.first.get_attribute("aria-label")
    assert said == "validation/psnr over steps: other from 20 to 21"


@pytest.mark.browser
@pytest.mark.parametrize("width", [320, 390, 1280])
def test_nothing_overflows(browser, report, width):
    with opened_page(browser, report, width) as page:
        assert page.evaluate("document.documentElement.scrollWidth") == width


@pytest.mark.browser
@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_is_readable_and_everything_has_a_name(page, scheme):
    page.emulate_media(color_scheme=scheme)
    colour = "([css, name]) => getComputedStyle(document.querySelector(css))[name]"
    paper = page.evaluate(colour, ["body", "backgroundColor"])
    for css in (".note", "caption", "small", "thead button"):
        assert contrast(paper, page.evaluate(colour, [css, "color"])) >= 4.5, css  # WCAG 2.2, 1.4.3
    for style in range(8):
        page.evaluate(f"document.querySelector('.note').className = 'c{style}'")
        drawn = page.evaluate(colour, [f".c{style}", "color"])
        assert contrast(paper, drawn) >= 3, f"colour {style}"  # WCAG 2.2, 1.4.11
        page.evaluate(f"document.querySelector('p.c{style}').className = 'note'")
    controls = page.locator("input, select")
    nameless = "e => !(e.ariaLabel || e.labels?.length)"
    assert not any(controls.nth(i).evaluate(nameless) for i in range(controls.count()))
    assert page.locator("img:not([alt]), svg[role=img]:not([aria-label])").count() == 0
    assert page.locator("table").count() == page.locator("table > caption").count()


@pytest.mark.browser
def test_on_paper_there_are_no_controls_and_tables_are_whole(page):
    assert page.locator(".controls").first.is_visible()
    page.emulate_media(media="print")
    assert not page.locator(".controls").first.is_visible()
    assert not page.locator("nav").is_visible()
    assert page.locator(".scroll").first.evaluate("e => getComputedStyle(e).overflowX") == "visible"
    assert page.evaluate("getComputedStyle(document.body).color") == "rgb(0, 0, 0)"
    assert len(page.pdf()) > 10_000


def wide(folder: Path, metrics: int) -> Evaluation:
    """With so many metrics, each as psnr."""
    found = evaluation(folder)
    names = [f"m{k}" for k in range(metrics)]
    of_psnr = found.scores[found.scores["metric"] == "psnr"]
    scores = pd.concat([of_psnr.assign(metric=name) for name in names])
    return replace(found, scores=scores, metrics=tuple(replace(METRICS[0], name=name) for name in names))


def test_a_wide_table_has_parts_for_paper(tmp_path):
    table = means_table(ReportData(wide(tmp_path, 14)), published(7)[:1])
    assert [len(part.heads) for part in table.parts] == [6, 6, 2]
    assert [head for part in table.parts for head in part.heads] == table.heads
    for number, row in enumerate(table.bodies[0].rows):
        parts = [part.bodies[0].rows[number] for part in table.parts]
        assert [cell for part in parts for cell in part.cells] == row.cells
        assert {part.name for part in parts} == {row.name}
    assert [part.groups for part in table.parts] == [[("full reference, low", k)] for k in (6, 6, 2)]
    assert [part.bodies[1].title for part in table.parts] == [table.bodies[1].title] * 3
    assert means_table(ReportData(wide(tmp_path, 6))).parts == []


@pytest.mark.browser
def test_on_paper_a_wide_table_is_split(browser, tmp_path):
    out = write_report(wide(tmp_path, 14), tmp_path, pictures=0)
    with opened_page(browser, out, 680) as page:  # about A4 without its margins
        assert page.locator(".split").first.is_visible()
        assert not page.locator(".printed").first.is_visible()
        page.emulate_media(media="print")
        assert not page.locator(".split").first.is_visible()
        assert page.locator(".printed").first.is_visible()
        assert page.evaluate("document.documentElement.scrollWidth") == 680


@pytest.mark.browser
def test_hostile_names_are_text(browser, tmp_path):
    found = with_pictures(tmp_path)
    evil = "</script><img src=x onerror=alert(1)>&\u2028"
    models = tuple(replace(m, name=evil) if m.name == "third" else m for m in found.models)
    scores = found.scores.assign(model=found.scores["model"].replace("third", evil))
    out = write_report(replace(found, models=models, scores=scores), tmp_path, pictures=0)
    with opened_page(browser, out) as page:
        assert page.locator("table.sortable").first.get_by_text("</script>", exact=False).count() >= 1
        assert page.locator("img[src=x]").count() == 0


def test_an_evaluation_without_pictures_is_tables_and_charts(tmp_path):
    text = write_report(evaluation(), tmp_path).read_text("utf-8")
    assert 'id="means"' in text
    assert 'id="distributions"' in text
    assert 'id="sliders"' not in text
    assert "data:image/webp" not in text
    assert "data:image/png" not in text


def test_the_same_evaluation_makes_the_same_page(tmp_path):
    found = with_pictures(tmp_path)
    first = write_report(found, tmp_path, pictures=2).read_bytes()
    assert write_report(found, tmp_path, pictures=2).read_bytes() == first


def test_a_hundred_images_of_four_models_are_below_15_mb(tmp_path):
    out = write_report(many(tmp_path, images=100, models=4), tmp_path)
    assert out.stat().st_size < 15_000_000
    text = out.read_text("utf-8")
    assert text.count("data:image/webp") > 100 * 5, "each image has a detail of each model and of the original"


def test_the_headline_is_not_a_metric_that_the_model_was_trained_on():
    headline = ReportData(evaluation()).headline()
    assert headline is not None
    assert (headline.model, headline.other, headline.metric.name) == ("other", "base", "stlpips")


def test_what_does_not_fit_is_told(tmp_path):
    found = with_pictures(tmp_path)
    with pytest.raises(UnknownNameError, match="imgx"):
        write_report(found, tmp_path, crops={"imgx": Box(0, 0, 8, 8)})
    with pytest.raises(UsageError, match=r"crop 150,0,96,96 reaches out of 'img0' \(160x128\)"):
        write_report(found, tmp_path, crops={"img0": Box(150, 0, 96, 96)})
    with pytest.raises(UnknownNameError, match="fourth"):
        write_report(found, tmp_path, between=("base", "fourth"))
    assert not (tmp_path / "report.html").exists()
