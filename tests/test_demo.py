"""The demo: its photos, its page in a real browser, and README's table of its scores."""

import re
import subprocess
import sys
from pathlib import Path

import pytest
import torch

from iqsr import demo
from iqsr.errors import UsageError
from iqsr.metrics import load_metric
from support.browsers import chromium

README = Path(__file__).parents[1] / "README.md"


def test_without_its_photos_the_demo_says_how_to_get_them(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(demo, "find_spec", lambda name: None)
    with pytest.raises(UsageError, match=r"pip install 'iqsr\[demo\]'"):
        demo.write_demo(tmp_path / "out")
    assert not (tmp_path / "out").exists()


def test_demo_photos_are_here_and_damage_repeats() -> None:
    for name in demo.PHOTOS:
        hr = demo.read_photo(demo.photo_folder() / name)
        height, width = hr.shape[2:]
        assert width / height == 1.5, "the frames of the page line up"
        lr = demo.degrade(hr, torch.Generator().manual_seed(1))
        assert lr.shape == (1, 3, height / 4, width / 4)
        assert torch.equal(lr, demo.degrade(hr, torch.Generator().manual_seed(1)))
        assert not torch.equal(lr, demo.degrade(hr, torch.Generator().manual_seed(2)))
        assert 20 < float(load_metric("psnr")(demo.bicubic(lr), hr)) < 32


README_METRICS = ("psnr", "ssim", "stlpips", "srq", "srq-holdout", "piqe")


def readme_means() -> list[list[float]]:
    """The means of bicubic and of the network in README's table, in the order of its columns."""
    table = re.search(r"^ +psnr .*\n(?:\S.*\n){2}", README.read_text("utf-8"), re.MULTILINE)
    assert table is not None
    head, *rows = table[0].splitlines()
    assert tuple(re.findall(r"[\w-]+", head)) == README_METRICS
    return [[float(value) for value in row.split()[-len(README_METRICS) :]] for row in rows]


@pytest.mark.slow
@pytest.mark.browser
def test_demo_runs_and_its_page_opens(tmp_path: Path) -> None:
    command = [sys.executable, "-m", "iqsr", "demo", "--output", str(tmp_path / "out")]
    run = subprocess.run(command, capture_output=True, text=True, timeout=600, check=False)
    assert run.returncode == 0, run.stderr
    assert str(tmp_path / "out" / "index.html") in run.stdout.replace("\n", "")
    with chromium() as browser:
        page = browser.new_page()
        page.goto((tmp_path / "out" / "index.html").as_uri())
        assert page.locator("before-after").count() == 4
        broken = "images => images.filter(i => !i.naturalWidth).length"
        assert page.locator("img").evaluate_all(broken) == 0
        heads = page.locator("thead th").all_inner_texts()
        rows = [row.locator("td, th").all_inner_texts() for row in page.locator("tbody").last.locator("tr").all()]

        def means(metric: str) -> list[float]:
            place = next(n for n, head in enumerate(heads) if head.startswith(metric)) - len(heads)
            return [float(cells[place]) for cells in rows]

        for metric, *shown in zip(README_METRICS, *readme_means(), strict=True):
            assert means(metric) == pytest.approx(shown, rel=0.03), f"README shows other means of {metric}"
        bicubic, network = means("stlpips")
        assert network < 0.7 * bicubic, "the network is far closer to the original than bicubic in LPIPS-ST"
        page.close()
