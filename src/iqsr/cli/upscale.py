"""`iqsr upscale`: enlarge pictures."""

from __future__ import annotations

import json
import logging
import os
import sys
from typing import TYPE_CHECKING, Annotated

import typer

from iqsr.cli.interrupt import interruptible
from iqsr.cli.progress import Bars, JsonLines, Reporter, printable
from iqsr.errors import UnknownNameError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from iqsr.upscaling.batch import Job
    from iqsr.upscaling.target_size import TargetSize
    from iqsr.upscaling.upscaler import Upscaler

HELP = """Enlarge pictures: files, patterns, folders with all below them.

8 and 16 bit, gray, transparency, colour profile and EXIF are kept.
A result appears whole or not at all. A picture that cannot be read is told
and the rest goes on; the exit code is 1 then, 2 for wrong arguments.

[bold]Examples[/bold]

  iqsr upscale photo.jpg

  iqsr upscale photo.jpg -o photo_x4.png

  iqsr upscale holiday/ -o holiday-large/ --scale 2 --format webp

  iqsr upscale "scans/*.tif" -o out/ --width 6000

  iqsr upscale photo.jpg --model realesrgan-x4plus-anime

  iqsr upscale drawings/ -o out/ --model realesr-animevideov3 --skip-existing

  iqsr upscale gloss.png -o gloss_x4.png --alpha straight
"""

MODELS = (
    "realesrgan-x4plus",
    "realesrgan-x4plus-anime",
    "realesr-animevideov3",
    "realesr-animevideov3-x2",
    "realesr-animevideov3-x3",
    "realesr-animevideov3-x4",
    "realesrgan-x2plus",
    "realesr-general-x4v3",
)
"""For the help, which has no time to import the networks."""

_GO_ON = "the same command with --skip-existing goes on from here"
logger = logging.getLogger(__name__)
_SIZE, _HOW, _FILES, _SAY = "Size", "How it is computed", "Files", "Output of the command"


def command(
    inputs: Annotated[list[str], typer.Argument(metavar="INPUT...", help="Pictures, patterns or folders.")],
    out: Annotated[
        str | None,
        typer.Option(
            "-o",
            "--output",
            metavar="OUT",
            help="A file for one picture, else a folder. Default: beside the source, with a suffix.",
            rich_help_panel=_FILES,
        ),
    ] = None,
    model: Annotated[
        str,
        typer.Option("-m", "--model", help=f"A checkpoint's path, or one of {', '.join(MODELS)}."),
    ] = MODELS[0],
    scale: Annotated[
        float | None,
        typer.Option("-s", "--scale", help="1 to 16. Default: the network's own.", rich_help_panel=_SIZE),
    ] = None,
    width: Annotated[int | None, typer.Option(help="In pixels; the height follows.", rich_help_panel=_SIZE)] = None,
    height: Annotated[int | None, typer.Option(help="In pixels; the width follows.", rich_help_panel=_SIZE)] = None,
    precision: Annotated[
        str,
        typer.Option(
            help="auto, fp32, bf16, fp16, int8 (with --backend openvino). auto: bf16 where that is faster.",
            rich_help_panel=_HOW,
        ),
    ] = "auto",
    device: Annotated[str, typer.Option(help="auto, cpu, cuda, cuda:N, mps.", rich_help_panel=_HOW)] = "auto",
    backend: Annotated[
        str, typer.Option(help="torch, or openvino (pip install 'iqsr\\[openvino]').", rich_help_panel=_HOW)
    ] = "torch",
    tile: Annotated[
        int | None,
        typer.Option(
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
    threads: Annotated[
        int | None,
        typer.Option(min=1, max=os.cpu_count(), help="CPU threads. Default: all cores.", rich_help_panel=_HOW),
    ] = None,
    format: Annotated[
        str, typer.Option("-f", "--format", help="auto (the source's), png, jpg, webp, tiff.", rich_help_panel=_FILES)
    ] = "auto",
    quality: Annotated[
        int | None,
        typer.Option(help="1 to 100 for JPEG (95) and WebP (90); PNG and TIFF are lossless.", rich_help_panel=_FILES),
    ] = None,
    suffix: Annotated[
        str | None, typer.Option(help="Added to every name, before the dot.", rich_help_panel=_FILES)
    ] = None,
    alpha: Annotated[
        str,
        typer.Option(
            help="transparency, or straight: colour as it stands, whatever alpha says (game textures).",
            rich_help_panel=_FILES,
        ),
    ] = "transparency",
    skip_existing: Annotated[
        bool, typer.Option("--skip-existing", help="Go on where a run stopped.", rich_help_panel=_FILES)
    ] = False,
    overwrite: Annotated[
        bool, typer.Option("--overwrite", help="Replace results that exist.", rich_help_panel=_FILES)
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.", rich_help_panel=_SAY)] = False,
    as_json: Annotated[
        bool, typer.Option("--json", help="One JSON object a picture and line.", rich_help_panel=_SAY)
    ] = False,
) -> None:
    """Enlarge pictures (see HELP)."""
    from iqsr.device import check_device_name
    from iqsr.images.alpha import ALPHAS
    from iqsr.upscaling.batch import plan
    from iqsr.upscaling.target_size import TargetSize

    if skip_existing and overwrite:
        raise UsageError("--skip-existing and --overwrite exclude each other")
    if quality is not None and not 1 <= quality <= 100:
        raise UsageError(f"--quality goes from 1 to 100, got {quality}")
    if alpha not in ALPHAS:
        raise UnknownNameError("--alpha", alpha, list(ALPHAS))
    check_device_name(device)
    target = TargetSize(scale, width, height)
    unread: list[OSError] = []
    jobs = plan(inputs, out, format=format, suffix=suffix, skip_existing=skip_existing, on_unread=unread.append)
    if not (skip_existing or overwrite):
        _refuse_existing(jobs)
    if quality is not None:
        _warn_of_lossless(jobs)

    def upscaler() -> Upscaler:
        from iqsr.upscaling.upscaler import Upscaler

        if threads is not None:
            import torch

            torch.set_num_threads(threads)
        return Upscaler(model, precision=precision, device=device, backend=backend, tile=tile, memory_gb=memory)

    if as_json:
        _tell_unread(unread)
    if dry_run:
        states = _dry_run(jobs, upscaler(), target, skip_existing, as_json)
    else:
        states = _enlarge(jobs, upscaler, target, quality, alpha, skip_existing, as_json)
    if "failed" in states or unread:
        raise typer.Exit(1)


def _refuse_existing(jobs: list[Job]) -> None:
    from iqsr.images.find import exists

    existing = [job.out for job in jobs if not job.refused and exists(job.out)]
    if existing:
        others = f" and {len(existing) - 1} more" if len(existing) > 1 else ""
        verb = "exist" if others else "exists"
        raise UsageError(f"'{existing[0]}'{others} {verb}: use --skip-existing or --overwrite")


def _warn_of_lossless(jobs: list[Job]) -> None:
    """Say that a quality was asked for where there is none to choose."""
    lossless = sum(job.lossless for job in jobs)
    if lossless:
        of = "" if lossless == len(jobs) else f" for {lossless} of {len(jobs)} results"
        logger.warning("--quality changes nothing%s: PNG and TIFF are lossless", of)


def _tell_unread(folders: list[OSError]) -> None:
    """Folders that could not be searched, as failures like those of pictures. A warning told of them already."""
    for error in folders:
        failure_message = f"cannot read '{error.filename}': {error.strerror}"
        facts = {"source": str(error.filename), "output": None, "state": "failed", "error": failure_message}
        typer.echo(json.dumps(facts))


def _enlarge(
    jobs: list[Job],
    upscaler: Callable[[], Upscaler],
    target: TargetSize,
    quality: int | None,
    alpha: str,
    skip: bool,
    as_json: bool,
) -> list[str]:
    """Do the jobs and tell of each; their states. `upscaler` is called when the first picture needs it."""
    from iqsr.upscaling.batch import upscale_batch

    with interruptible(_GO_ON), _reporter(len(jobs), as_json=as_json) as reporter:
        done = upscale_batch(
            upscaler,
            jobs,
            target=target,
            quality=quality,
            alpha=alpha,
            skip_existing=skip,
            on_progress=reporter.share,
        )
        return [reporter.finished(result) for result in done]


def _dry_run(jobs: list[Job], upscaler: Upscaler, target: TargetSize, skip: bool, as_json: bool) -> list[str]:
    from iqsr.errors import IqsrError, PictureError
    from iqsr.images import check_output, open_picture
    from iqsr.images.find import exists
    from iqsr.upscaling.batch import failure_message
    from iqsr.upscaling.jobs import in_the_way

    states: list[str] = []
    if not (skip and all(exists(job.out) for job in jobs)):
        upscaler.prepare()
    for job in jobs:
        facts: dict[str, object] = {"source": str(job.source), "output": str(job.out)}
        try:
            if refused := job.refused or in_the_way(job):
                raise PictureError(refused)
            picture = open_picture(job.source)
            before = (picture.info.width, picture.info.height)
            after = target.size(before, upscaler.scale)
            check_output(job.out, after, picture)
            state = "skipped" if skip and exists(job.out) else "planned"
            facts |= {"state": state, "size_in": before, "size": after, "how": upscaler.describe()}
            text = f"{job.source} ({before[0]} x {before[1]}) -> {job.out} ({after[0]} x {after[1]})"
            text += f" [{state if state == 'skipped' else upscaler.describe()}]"
        except (IqsrError, OSError) as error:
            state, text = "failed", f"iqsr: {failure_message(job, error)}"
            facts |= {"state": state, "error": failure_message(job, error)}
        typer.echo(json.dumps(facts) if as_json else printable(text), err=state == "failed" and not as_json)
        states.append(state)
    return states


def _reporter(pictures: int, *, as_json: bool) -> Reporter:
    if as_json:
        return JsonLines()
    return Bars(pictures) if sys.stderr.isatty() else Reporter()
