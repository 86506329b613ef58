"""What metrics exist, what is said about them, and what happens at their common door."""

import re
import subprocess
import sys
from importlib import import_module
from importlib.util import module_from_spec, spec_from_file_location
from pathlib import Path

import pytest
import torch

from iqsr.errors import UnknownNameError, UsageError, WeightsError
from iqsr.io.weights import known_weights
from iqsr.metrics import Availability, availability, card, load_metric, metric_names
from iqsr.metrics.taxonomy import groups, identifier, markdown

# arXiv:2504.18524, table 6, as spelled by IQA-PyTorch.
# fmt: off
TABLE_6 = [
    "paq2piq", "nima", "musiq", "liqe", "arniqa-tid", "qalign", "topiq_nr", "hyperiqa", "liqe_mix", "arniqa-kadid",
    "arniqa-flive", "topiq_nr-spaq", "arniqa-csiq", "musiq-spaq", "nima-vgg16-ava", "maniqa", "clipiqa+",
    "maniqa-kadid", "tres", "clipiqa+_vitL14_512", "musiq-paq2piq", "maniqa-pipal", "clipiqa+_rn50_512", "dbcnn",
    "clipiqa", "arniqa-live", "arniqa-clive", "arniqa-spaq", "arniqa", "musiq-ava", "nrqm", "cnniqa", "tres-flive",
    "pi", "brisque_matlab", "wadiqam_nr", "topiq_nr-flive", "ilniqe", "niqe", "brisque", "niqe_matlab", "piqe",
]
# fmt: on

DOCS = Path(__file__).parents[2] / "docs"


# Cards


def test_all_42_metrics_of_the_papers_table_6_are_known():
    assert len(TABLE_6) == 42
    assert set(TABLE_6) <= set(metric_names())
    assert all(card(name).reference == "none" for name in TABLE_6)


def test_lower_is_better_for_distances_and_statistics_and_higher_for_the_others():
    distances = {"lpips", "lpips-vgg", "stlpips", "stlpips-vgg", "dists"}
    statistics = {"niqe", "niqe_matlab", "ilniqe", "brisque", "brisque_matlab", "pi", "piqe"}
    similarities = {"psnr", "psnr-y", "ssim", "ssim-y", "ms_ssim"}
    own = {
        "laplacian",
        "srq",
        "srq-2",
        "srq-defects",
        "biq-lite2",
        "srq-holdout",
        "musiq",
        "musiq-spaq",
        "musiq-paq2piq",
        "musiq-ava",
    }
    known = distances | similarities | own | set(TABLE_6)
    assert {name for name in known if not card(name).higher_is_better} == distances | statistics


def test_names_come_in_the_order_of_the_taxonomy():
    axes = {"full": 0, "input": 1, "set": 2, "none": 3}, {"low": 0, "mid": 1, "high": 2}
    places = [(axes[0][card(n).reference], axes[1][card(n).level]) for n in metric_names()]
    assert places == sorted(places)
    assert [c.name for members in groups().values() for c in members] == metric_names()


@pytest.mark.parametrize("name", metric_names())
def test_every_card_is_complete_and_in_itself_consistent(name):
    c = card(name)
    assert c.name == name
    assert c.title
    assert c.source
    assert c.licence
    assert c.range[0] < c.range[1]
    assert c.minimum_size >= 1
    assert not (c.formula and c.network)
    assert (c.provider == "pyiqa") == ("PolyForm-Noncommercial" in c.licence)
    assert not c.downloads or c.provider == "pyiqa"
    assert not c.requires or c.provider != "iqsr"
    assert not c.package or (c.network and c.requires)
    assert not c.weights or c.network
    assert c.network or not (c.variant or c.trainable or c.package_data)
    assert bool(c.patch) == bool(c.stride)
    assert c.of_sets or not c.patch
    assert c.minimum_size >= c.patch
    assert re.fullmatch(r"10\.\S+|arXiv:\d{4}\.\d{5}|docs/\S+\.md|github\.com/\S+", identifier(c))


@pytest.mark.parametrize("name", [name for name in metric_names() if card(name).provider == "iqsr"])
def test_every_card_of_our_own_names_code_that_is_there(name):
    module, _, function = card(name).formula.partition(":")
    found = import_module(f"iqsr.metrics.{module or card(name).network}")
    assert callable(getattr(found, function or "from_card"))


@pytest.mark.parametrize("name", [n for n in metric_names() if not n.startswith("musiq")])
def test_cards_name_weights_that_exist(name):
    assert set(card(name).weights) <= set(known_weights())


def test_licence_of_a_metric_names_those_of_its_weights():
    for name in metric_names():
        licences = {known_weights()[w].licence for w in card(name).weights if w in known_weights()}
        assert licences <= set(card(name).licence.split(" AND ")), name


def test_aliases_lead_to_known_metrics_and_hide_none():
    listed = [known.casefold() for name in metric_names() for known in (name, *card(name).aliases)]
    assert len(listed) == len(set(listed))
    assert all(card(alias) is card(name) for name in metric_names() for alias in card(name).aliases)
    assert card("lpips_st") is card("stlpips")
    assert card("nique") is card("niqe")


@pytest.mark.parametrize(
    ("name", "found"),
    [
        ("PSNR", "psnr"),
        ("Ssim-Y", "ssim-y"),
        ("LPIPS_ST", "stlpips"),
        ("MS-SSIM", "ms_ssim"),
        ("CLIPIQA+", "clipiqa+"),
        ("CLIPIQA+_VITL14_512", "clipiqa+_vitL14_512"),
        ("clipiqa+_vitL14_512", "clipiqa+_vitL14_512"),
    ],
)
def test_capitals_do_not_matter(name: str, found: str):
    assert card(name).name == found


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("PSNRY", "psnr-y"), ("SSIM_", "ssim"), ("LPIPSVGG", "lpips-vgg"), ("piq", "piqe"), ("srq2", "srq-2")],
)
def test_an_unknown_metric_names_a_few_the_nearest_first(name: str, nearest: str):
    with pytest.raises(UnknownNameError) as error:
        card(name)
    text = str(error.value)
    assert text.startswith(f"unknown metric '{name}'; known: {nearest}, ")
    assert text.endswith(f" and {len(metric_names()) - 10} more")
    assert text.count(",") == 9


def test_equally_near_names_stay_in_their_order():
    assert str(UnknownNameError("metric", "zzz", ["b", "a", "c"])).endswith("known: b, a, c")


def test_unknown_metric_lists_the_nearest_first():
    with pytest.raises(UnknownNameError, match=r"^unknown metric 'spnr'; known: psnr,"):
        card("spnr")


def test_the_page_of_the_metrics_has_the_table_of_all_cards_when_the_site_is_built():
    spec = spec_from_file_location("hooks", DOCS / "hooks.py")
    hooks = module_from_spec(spec)  # type: ignore[arg-type]
    spec.loader.exec_module(hooks)  # type: ignore[union-attr]
    page = hooks.on_page_markdown((DOCS / "guides" / "metrics.md").read_text(encoding="utf-8"))
    assert markdown() in page
    assert all(f"| `{name}` | {card(name).title} |" in page for name in metric_names())


def test_looking_up_imports_no_torch_and_no_pyiqa():
    code = (
        "import sys; from iqsr.metrics import metric_names, availability\n"
        "states = [availability(n) for n in metric_names()]\n"
        "print([m for m in ('torch', 'pyiqa', 'pandas', 'timm') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout == "[]\n"


# Availability


@pytest.fixture
def empty(tmp_path, monkeypatch) -> Path:
    """A machine whose folders of weights and caches are empty."""
    monkeypatch.setenv("IQSR_WEIGHTS", str(tmp_path / "weights"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hf"))
    return tmp_path


def test_formulas_are_always_here(empty):
    for name in (*(name for name in metric_names() if card(name).formula), "stlpips", "stlpips-vgg"):
        assert availability(name) == Availability(available=True, remedy="")


@pytest.mark.parametrize("name", metric_names())
def test_what_is_not_here_has_one_line_that_helps(empty, name):
    state = availability(name)
    assert state.available == (state.remedy == "")
    assert "\n" not in state.remedy
    assert len(state.remedy) <= 95


def test_missing_weights_name_the_command_and_loading_fails_with_it(empty):
    assert availability("lpips").remedy == "run: iqsr weights fetch alexnet-imagenet"
    with pytest.raises(WeightsError, match="'lpips' is not here; run: iqsr weights fetch alexnet-imagenet"):
        load_metric("lpips")


def test_weights_of_another_size_do_not_count(empty):
    (empty / "weights").mkdir()
    (empty / "weights" / "alexnet-imagenet.pth").write_bytes(b"not it")
    assert not availability("lpips").available


@pytest.mark.parametrize("variant", ["spaq", "paq2piq", "ava"])
@pytest.mark.parametrize("suffix", [".npz", ".pth"])
def test_a_checkpoint_of_musiq_is_found_where_the_line_says_and_read(empty, variant, suffix):
    name = f"musiq-{variant}"
    assert (
        availability(name).remedy
        == f"save Google's checkpoint as {name}.npz in the weights folder (docs/reference/musiq.md)"
    )
    (empty / "weights").mkdir()
    (empty / "weights" / f"{name}{suffix}").write_bytes(b"not it")
    assert availability(name).available
    with pytest.raises(WeightsError, match=rf"{name}\{suffix}: a text, not weights"):
        load_metric(name)


def test_pyiqas_downloads_are_found_where_it_keeps_them(empty):
    assert "niqe_matlab_params.mat" in availability("niqe_matlab").remedy
    (empty / "torch" / "hub" / "pyiqa").mkdir(parents=True)
    (empty / "torch" / "hub" / "pyiqa" / "niqe_matlab_params.mat").touch()
    assert availability("niqe_matlab").available


def test_without_pyiqa_the_line_says_install_and_noncommercial(empty, monkeypatch):
    monkeypatch.setitem(sys.modules, "pyiqa", None)
    monkeypatch.setattr("iqsr.metrics.requirements.find_spec", lambda name: None)
    assert availability("piqe").remedy == "run: pip install 'iqsr[toolbox]' (pyiqa: for noncommercial use only)"
    with pytest.raises(UsageError, match=r"'piqe' is not here; run: pip install 'iqsr\[toolbox\]'"):
        load_metric("piqe")


# The door


def pictures(*shape: int) -> torch.Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(0))


@pytest.mark.parametrize(
    ("arguments", "line"),
    [
        ((pictures(1, 3, 16, 16),), "psnr compares with a reference picture; none was given"),
        ((pictures(3, 16, 16), pictures(3, 16, 16)), r"psnr expected .* \(N, 3, H, W\), got \(3, 16, 16\)"),
        ((pictures(1, 1, 16, 16), pictures(1, 1, 16, 16)), r"psnr expected .* got \(1, 1, 16, 16\)"),
        (
            (pictures(1, 3, 16, 16), pictures(1, 3, 16, 17)),
            "psnr: the reference is 17x16, the picture 16x16; both must have the same size",
        ),
        ((pictures(2, 3, 16, 16), pictures(1, 3, 16, 16)), "the reference is 16x16, the picture 2 of 16x16"),
        ((torch.zeros(1, 3, 16, 16, dtype=torch.uint8),) * 2, r"psnr expected floats in \[0, 1\], got torch.uint8"),
    ],
)
def test_input_that_cannot_be_right_is_one_line(arguments, line):
    with pytest.raises(UsageError, match=line) as error:
        load_metric("psnr")(*arguments)
    assert "\n" not in str(error.value)


def test_no_reference_metric_refuses_a_reference():
    with pytest.raises(UsageError, match="laplacian looks at a picture alone"):
        load_metric("laplacian")(pictures(1, 3, 16, 16), pictures(1, 3, 16, 16))


FORMULAS = [name for name in metric_names() if card(name).formula]


@pytest.mark.parametrize("name", [*(n for n in FORMULAS if card(n).minimum_size > 1), "stlpips"])
def test_smallest_picture_of_the_card_is_the_smallest_that_works(name):
    metric, side = load_metric(name), card(name).minimum_size
    for wrong in ((side - 1, side + 5), (side + 5, side - 1)):
        with pytest.raises(
            UsageError, match=f"needs pictures of at least {side}x{side} pixels, got {wrong[1]}x{wrong[0]}"
        ):
            metric(*[pictures(1, 3, *wrong)] * (2 if card(name).reference == "full" else 1))
    assert metric(*[pictures(1, 3, side, side)] * (2 if card(name).reference == "full" else 1)).isfinite().all()


def test_metrics_are_frozen_and_stay_in_evaluation_mode():
    metric = load_metric("stlpips")
    assert list(metric.parameters())
    assert not any(p.requires_grad for p in metric.parameters())
    metric.train()
    assert not any(module.training for module in metric.modules())


def test_bf16_changes_networks_a_little_and_formulas_not_at_all():
    x, y = pictures(1, 3, 64, 64), pictures(1, 3, 64, 64).flip(3)
    assert torch.equal(load_metric("ssim", precision="bf16")(x, y), load_metric("ssim")(x, y))
    exact, coarse = load_metric("stlpips")(x, y), load_metric("stlpips", precision="bf16")(x, y)
    assert coarse.dtype == torch.float32
    assert 0 < (coarse - exact).abs().item() < 0.02 * exact.item()


def test_unknown_precision_is_refused():
    with pytest.raises(UnknownNameError, match="unknown precision 'fp16'"):
        load_metric("psnr", precision="fp16")  # type: ignore[arg-type]


def test_the_best_device_is_taken_and_one_that_is_not_there_is_one_line(monkeypatch):
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    monkeypatch.setattr(torch.backends.mps, "is_available", lambda: False)
    x, y = pictures(1, 3, 16, 16), pictures(1, 3, 16, 16).flip(3)
    assert torch.equal(load_metric("psnr", device="auto")(x, y), load_metric("psnr")(x, y))
    with pytest.raises(UsageError, match=r"^unknown device 'bogus'; choose auto, cpu, cuda, cuda:N or mps$"):
        load_metric("psnr", device="bogus")
    with pytest.raises(UsageError, match=r"^no cuda device on this machine"):
        load_metric("psnr", device="cuda")
