"""One picture through several models, on one page."""

import numpy as np
import pytest
from PIL import Image

from iqsr.errors import PictureError, UsageError
from iqsr.report.upscaled import compare_models, write_upscaled
from support.browsers import chromium, opened_page
from support.evaluation_samples import smooth


@pytest.fixture
def files(tmp_path):
    """An input of 100 x 75, one output twice as large and one four times, which has a black square."""
    small = Image.fromarray(smooth(0, (100, 75)))
    large = np.asarray(small.resize((400, 300), Image.Resampling.BICUBIC)).copy()
    large[200:260, 300:360] = 0
    made = {name: tmp_path / f"{name}.png" for name in ("in", "x2", "x4")}
    small.save(made["in"])
    small.resize((200, 150), Image.Resampling.BICUBIC).save(made["x2"])
    Image.fromarray(large).save(made["x4"])
    return made


@pytest.mark.browser
def test_the_whole_picture_and_where_models_differ_most(files, tmp_path):
    outputs = {"twice": files["x2"], "four times": files["x4"]}
    write_upscaled(tmp_path / "page.html", files["in"], outputs, facts={"Seed": "0"})
    with chromium() as browser, opened_page(browser, tmp_path / "page.html") as page:
        titles = page.locator("h2").all_inner_texts()
        assert titles[0] == "in.png"
        left, top = map(int, titles[1].partition("at ")[2].split(","))
        assert left <= 310 <= 350 <= left + 133
        assert top <= 210 <= 250 <= top + 133
        sizes = page.locator("before-after").nth(1).locator("img").evaluate_all("all => all.map(i => i.naturalWidth)")
        assert sizes == [33, 66, 133], "pixels as they are, of the input, too"
        whole = page.locator("before-after").first
        assert whole.locator(".pick-left option").all_inner_texts() == ["Input", "twice", "four times"]
        assert whole.locator(".split").get_attribute("aria-label") == "Divider between twice and four times"


def test_one_model_is_compared_with_the_input(files, tmp_path):
    write_upscaled(tmp_path / "page.html", files["in"], {"only": files["x4"]})
    assert 'class="layer on-right" data-name="only"' in (tmp_path / "page.html").read_text("utf-8")


def test_a_large_picture_is_reduced(tmp_path):
    Image.fromarray(smooth(1, (650, 25))).save(tmp_path / "in.png")
    Image.fromarray(smooth(2, (2600, 100))).save(tmp_path / "out.png")
    write_upscaled(tmp_path / "page.html", tmp_path / "in.png", {"a": tmp_path / "out.png"}, details=1)
    text = (tmp_path / "page.html").read_text("utf-8")
    assert "--width: 867; --height: 34" in text, "a third of it"
    assert text.count("data:image/webp") == 2
    assert text.count("data:image/png") == 2, "the detail is lossless"


def test_what_cannot_be_compared_is_told(files, tmp_path):
    with pytest.raises(UsageError, match="no output"):
        write_upscaled(tmp_path / "page.html", files["in"], {})
    with pytest.raises(PictureError):
        write_upscaled(tmp_path / "page.html", files["in"], {"a": tmp_path / "nothing.png"})
    assert not (tmp_path / "page.html").exists()


def test_models_are_run_and_their_outputs_compared(files, tmp_path):
    made: list[tuple[str, str]] = []

    def upscale(model, out):
        made.append((model, out.suffix))
        how = Image.Resampling.NEAREST if model == "runs/a.pth" else Image.Resampling.BICUBIC
        Image.open(files["in"]).resize((200, 150), how).save(out)

    compare_models(files["in"], ["runs/a.pth", "x4plus"], tmp_path / "page.html", upscale)
    assert made == [("runs/a.pth", ".png"), ("x4plus", ".png")]
    text = (tmp_path / "page.html").read_text("utf-8")
    assert 'data-name="a"' in text
    assert 'data-name="x4plus"' in text
    with pytest.raises(UsageError, match="named twice"):
        compare_models(files["in"], ["a", "a"], tmp_path / "other.html", upscale)
    compare_models(files["in"], ["runs/a.pth", "other/a.pth"], tmp_path / "two.html", upscale)
    assert 'data-name="other/a.pth"' in (tmp_path / "two.html").read_text("utf-8")
