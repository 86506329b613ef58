"""`iqsr upscale`: enlarge pictures."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from iqsr.cli import options as shared
from iqsr.cli.interrupt import interruptible
from iqsr.cli.outputs import list_shard, shard_output
from iqsr.cli.parsing import output_path, output_place
from iqsr.cli.progress import Bars, DryRunLines, JsonLines, Lines, Reporter
from iqsr.errors import UnknownNameError, UsageError
from iqsr.models.registry import FAST_MODEL, SHARPENED_MODEL, model_names

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from iqsr.upscaling.jobs import Job, JobResult, UpscaleOptions
    from iqsr.upscaling.upscaler import Upscaler

HELP = """Enlarge pictures: files, patterns, folders with all below them, or URLs
of those (s3://bucket/folder/, with a package such as s3fs).

8 and 16 bit, gray, transparency, colour profile and EXIF are kept.
A result appears whole or not at all. A picture that cannot be read is reported
and the rest goes on; the exit code is 1 then, 2 for wrong arguments.

[bold]Examples[/bold]

  iqsr upscale photo.jpg

  iqsr upscale photo.jpg -o photo_x4.png

  iqsr upscale holiday/ -o holiday-large/ --scale 2 --format webp

  iqsr upscale "scans/*.tif" -o out/ --width 6000

  iqsr upscale holiday/ -o holiday-large/ --fast

  iqsr upscale photo.jpg --model realesrgan-x4plus-anime

  iqsr upscale drawings/ -o out/ --model realesr-animevideov3 --skip-existing

  iqsr upscale gloss.png -o gloss_x4.png --alpha straight
"""

_GO_ON = "the same command with --skip-existing goes on from here"
_SIZE, _HOW, _FILES, _SAY = "Size", "How it is computed", "Files", "Output of the command"


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, patterns or folders.")],
    out: Annotated[
        str | None,
        shared.output_option(
            "File for one picture, else a folder. Default: beside the source, with a suffix.", metavar="OUT"
        ),
    ] = None,
    model: Annotated[
        str | None,
        shared.model_option(f"a checkpoint's path, or one of {', '.join(model_names())}. Default: {model_names()[0]}."),
    ] = None,
    strength: Annotated[
        float | None,
        typer.Option(
            metavar="AMOUNT",
            help=f"How much {SHARPENED_MODEL} sharpens: 0 (plain realesrgan-x4plus) to 1. Default: 0.3.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    fast: Annotated[bool, typer.Option("--fast", help=f"The small network for photos: --model {FAST_MODEL}.")] = False,
    scale: Annotated[
        float | None,
        typer.Option(
            "-s", "--scale", metavar="FACTOR", help="Factor: 1 to 16. Default: the model's own.", rich_help_panel=_SIZE
        ),
    ] = None,
    width: Annotated[
        int | None, typer.Option(metavar="PX", help="In pixels; the height follows.", rich_help_panel=_SIZE)
    ] = None,
    height: Annotated[
        int | None, typer.Option(metavar="PX", help="In pixels; the width follows.", rich_help_panel=_SIZE)
    ] = None,
    precision: Annotated[
        str,
        shared.precision_option(
            "auto, fp32, bf16, fp16, int8 (with --backend openvino). auto: bf16 where that is faster."
        ),
    ] = "auto",
    device: shared.Device = "auto",
    backend: Annotated[
        str,
        typer.Option(
            metavar="BACKEND", help="torch, or openvino (pip install 'iqsr\\[openvino]').", rich_help_panel=_HOW
        ),
    ] = "torch",
    tile: Annotated[
        int | None,
        typer.Option(
            metavar="PX",
            help="Side of overlapped tiles. Default: none where the network streams exactly, else 256.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    memory: Annotated[
        float | None,
        typer.Option(
            min=0.001,
            metavar="GB",
            help="Memory for what waits inside the network; more can be faster. Default: a quarter of the machine's.",
            rich_help_panel=_HOW,
        ),
    ] = None,
    threads: shared.Threads = None,
    format: Annotated[str, shared.format_option("auto (the source's), png, jpg, webp, tiff.")] = "auto",
    quality: Annotated[
        int | None,
        typer.Option(
            metavar="N",
            help="1 to 100 for JPEG (95) and WebP (90); PNG and TIFF are lossless.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    suffix: Annotated[
        str | None,
        typer.Option(metavar="TEXT", help="Added to every name, before the dot.", rich_help_panel=_FILES),
    ] = None,
    alpha: Annotated[
        str,
        typer.Option(
            metavar="ALPHA",
            help="transparency, or straight: colour as it stands, whatever alpha says (game textures).",
            rich_help_panel=_FILES,
        ),
    ] = "transparency",
    skip_existing: shared.SkipExisting = False,
    overwrite: shared.Overwrite = False,
    shard: shared.ShardOption = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=_SAY)] = False,
    as_json: Annotated[bool, shared.json_option("an object a picture and line.")] = False,
    compare: Annotated[
        Path | None,
        typer.Option(
            "--compare",
            parser=output_path,
            metavar="PAGE",
            help="One picture through several models (--model A,B): only an HTML page with sliders is written.",
            rich_help_panel=_FILES,
        ),
    ] = None,
) -> None:
    """Enlarge pictures (see HELP)."""
    from iqsr.device import check_device_name
    from iqsr.upscaling.jobs import UpscaleOptions
    from iqsr.upscaling.plan import plan
    from iqsr.upscaling.shards import shard_jobs
    from iqsr.upscaling.target_size import TargetSize

    _check_choices(skip_existing=skip_existing, overwrite=overwrite, quality=quality, alpha=alpha)
    check_device_name(device)
    chosen = _chosen_model(model, fast=fast)
    options = UpscaleOptions(
        target=TargetSize(scale, width, height),
        format=format,
        suffix=suffix,
        quality=quality,
        alpha=alpha,
        existing="skip" if skip_existing else "replace" if overwrite else "refuse",
    )

    def upscaler(name: str = chosen) -> Upscaler:
        how = {"precision": precision, "device": device, "backend": backend, "tile": tile, "strength": strength}
        return _loaded(name, threads, memory_gb=memory, **how)

    if compare is not None:
        given = {"-o": out, "--format": format != "auto", "--suffix": suffix, "--quality": quality}
        given |= {"--skip-existing": skip_existing, "--dry-run": dry_run, "--json": as_json, "--shard": shard}
        _refuse_beside_compare(given)
        _compare(inputs, chosen.split(","), compare, options, upscaler)
        return
    unread: list[OSError] = []
    if shard is None:
        jobs = plan(inputs, out, options, on_unread=unread.append)
        failed = _upscale(jobs, upscaler, unread, dry_run=dry_run, as_json=as_json)
    elif dry_run:
        raise UsageError("--dry-run and --shard exclude each other")
    else:
        how = {"precision": precision, "backend": backend, "tile": tile, "strength": strength}
        whole = shard_output(output_place(out) if out else None)
        with shard_jobs(inputs, whole, options, shard, model=chosen, how=how, on_unread=unread.append) as work:
            failed = _upscale(work.jobs, upscaler, unread, as_json=as_json, on_result=work.finished)
        list_shard(work.part)
    if failed:
        raise typer.Exit(1)


def _chosen_model(model: str | None, *, fast: bool) -> str:
    """The model's name or file. UsageError where two are named."""
    if fast and model is not None:
        raise UsageError(f"--fast is --model {FAST_MODEL}: leave out one of --fast and --model")
    return FAST_MODEL if fast else model or model_names()[0]


def _check_choices(*, skip_existing: bool, overwrite: bool, quality: int | None, alpha: str) -> None:
    """UsageError for options that exclude each other or are out of range."""
    from iqsr.images.alpha import ALPHAS

    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality goes from 1 to 100, got {quality}")
    if alpha not in ALPHAS:
        raise UnknownNameError("--alpha", alpha, list(ALPHAS))


def _loaded(name: str, threads: int | None, **how: Any) -> Upscaler:
    """The model, which computes with so many threads."""
    from iqsr.upscaling.upscaler import Upscaler

    if threads is not None:
        import torch

        torch.set_num_threads(threads)
    return Upscaler(name, **how)


def _refuse_beside_compare(given: Mapping[str, object]) -> None:
    """UsageError for options that a page has no use for."""
    if unused := [name for name, value in given.items() if value]:
        raise UsageError(f"--compare writes a page alone: leave out {', '.join(unused)}")


def _upscale(
    jobs: list[Job],
    upscaler: Callable[[], Upscaler],
    unread: list[OSError],
    *,
    dry_run: bool = False,
    as_json: bool,
    on_result: Callable[[JobResult], None] = lambda result: None,
) -> bool:
    """Enlarge the pictures, or say what would be done. Returns whether anything failed."""
    from iqsr.upscaling.jobs import preview_batch, upscale_batch

    reporter = _reporter(len(jobs), dry_run=dry_run, as_json=as_json)
    with nullcontext() if dry_run else interruptible(_GO_ON), reporter:
        reporter.unread_folders(unread)
        if dry_run:
            results = preview_batch(upscaler, jobs)
        else:
            results = upscale_batch(upscaler, jobs, on_progress=reporter.progress)
        failed = bool(unread)
        for result in results:
            on_result(result)
            reporter.finished(result)
            failed |= result.state == "failed"
    return failed


def _compare(
    inputs: list[str], models: list[str], page: Path, options: UpscaleOptions, upscaler: Callable[[str], Upscaler]
) -> None:
    """Write the page that compares models on one picture; their outputs are not kept."""
    from iqsr.cli.outputs import check_outputs
    from iqsr.cli.progress import printable
    from iqsr.images.find import find_pictures
    from iqsr.report.upscaled import compare_models

    found = find_pictures(inputs)
    if len(found) != 1:
        raise UsageError(f"--compare takes one picture, got {len(found)}")
    check_outputs([page], overwrite=options.existing == "replace")
    (source, _), target = found[0], options.target
    upscalers = {name: upscaler(name) for name in models}  # before any work: a name may be wrong

    def upscale(name: str, file: Path) -> None:
        upscalers[name].upscale_file(
            source, file, scale=target.scale, width=target.width, height=target.height, alpha=options.alpha
        )

    with interruptible("nothing was written"):
        compare_models(source, models, page, upscale)
    typer.echo(printable(f"{page}: {len(models)} models"))


def _reporter(pictures: int, *, dry_run: bool, as_json: bool) -> Reporter:
    if as_json:
        return JsonLines()
    if dry_run:
        return DryRunLines()
    return Bars(pictures) if sys.stderr.isatty() else Lines()
