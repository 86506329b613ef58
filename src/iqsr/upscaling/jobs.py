"""Jobs: a picture to enlarge, what is decided for it, and what became of it; a batch does one after the other.

    >>> from iqsr.upscaling.plan import plan
    >>> jobs = plan(["holiday/"], "large/", UpscaleOptions(TargetSize(scale=2), format="webp"))
    >>> for result in upscale_batch(iqsr.Upscaler, jobs):
    ...     print(result.job.source, result.state, result.error or result.size)

Nothing here imports torch: a batch with nothing left to do ends before that.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Literal, Protocol

from iqsr.errors import IqsrError, StoreError
from iqsr.images import Picture, check_output, open_picture, output_formats
from iqsr.images.find import exists
from iqsr.upscaling.target_size import TargetSize

Existing = Literal["refuse", "skip", "replace"]
Size = tuple[int, int]
"""Width and height in pixels."""


@dataclass(frozen=True)
class UpscaleOptions:
    """What is asked for every picture of a batch. Each `Job` carries it from the plan to the writer."""

    target: TargetSize = field(default_factory=TargetSize)
    """How large results become; by default the model's own scale."""
    format: str = "auto"
    """`png`, `jpg`, `webp` or `tiff`; `auto` keeps that of the source's content where it can be written, else PNG."""
    suffix: str | None = None
    """Added to the name of every result, before the dot."""
    quality: int | None = None
    """1 to 100, of JPEG (95 by default) and WebP (90). PNG and TIFF are lossless."""
    alpha: str = "transparency"
    """`transparency`, or `straight` where alpha is data (see `Upscaler.upscale_file`)."""
    existing: Existing = "replace"
    """What happens where a result exists: `refuse` the whole plan, `skip` the job, or `replace` the file."""


@dataclass(frozen=True)
class Job:
    """One picture to enlarge, and where the result goes. No file is opened yet: a batch may have thousands."""

    source: Path
    out: Path
    options: UpscaleOptions = UpscaleOptions()
    refused: str | None = None
    """Why it cannot be done, where the plan knows that already: the result would replace another picture."""
    name_clashes: tuple[Path, ...] = ()
    """Sources and other results that some disks take for `out`: they differ in case or in how accents are composed."""

    @property
    def is_lossless(self) -> bool:
        """Whether the result is a PNG or TIFF, which have no quality to choose."""
        suffix = self.out.suffix.lower()
        return any(suffix in known.suffixes and known.quality is None for known in output_formats())


@dataclass(frozen=True)
class OpenJob:
    """A job whose turn has come: the header of its picture is read, and its result can be written."""

    job: Job
    picture: Picture
    size: Size
    """Of the result."""
    started: float
    """When the picture was opened, by `time.perf_counter`."""

    @property
    def size_in(self) -> Size:
        """Of the picture as seen, orientation applied."""
        return self.picture.info.width, self.picture.info.height


@dataclass(frozen=True)
class UpscaleResult:
    """How one file was enlarged."""

    source: Path
    out: Path
    size_in: Size
    """Width and height of the source in pixels."""
    size: Size
    """Width and height of the result in pixels."""
    seconds: float
    """From the opening of the source until the result was there."""
    how: str
    """Such as `exact streaming, bf16, cpu`."""


@dataclass(frozen=True)
class JobResult:
    """What became of a job, or in a dry run, what would."""

    job: Job
    state: Literal["planned", "done", "skipped", "failed"]
    """`planned` in a dry run only, where the run would go to work."""
    error: str | None = None
    """One line that names the picture, of a job that failed."""
    size_in: Size | None = None
    """Of the source. This and the fields below are known of jobs that are planned or done."""
    size: Size | None = None
    """Of the result."""
    how: str | None = None
    """Such as `exact streaming, bf16, cpu`."""
    seconds: float | None = None
    """From the opening of the source until the result was there; None in a dry run."""


class JobUpscaler(Protocol):
    """What a batch needs of an `Upscaler`."""

    @property
    def scale(self) -> int:
        """The factor by which the model enlarges."""
        ...

    def describe(self) -> str:
        """How the model runs, such as `exact streaming, bf16, cpu`."""
        ...

    def prepare(self) -> None:
        """Raise what would fail for every picture alike."""
        ...

    def upscale_job(self, opened: OpenJob, on_progress: Callable[[float], None] | None = None) -> UpscaleResult:
        """Enlarge an opened picture and write the result."""
        ...


def upscale_batch(
    upscaler: Callable[[], JobUpscaler],
    jobs: list[Job],
    *,
    on_progress: Callable[[OpenJob, float], None] | None = None,
) -> Iterator[JobResult]:
    """Do the jobs one after the other, each when its result is asked for.

    A picture that fails or is refused is a result with an error, and the next one follows. Files that a killed run left
    half-written in the output folders are removed first.

    Args:
        upscaler: Makes the `Upscaler`. Called when the first picture needs it, so that a batch with nothing left to do
            loads no model.
        jobs: What `plan` returned.
        on_progress: Called with the job at hand and the share of it that is done, from 0 to 1.

    Yields:
        The result of each job: `done`, `skipped` or `failed`.

    Raises:
        UsageError, WeightsError, ModelError: If the model cannot be loaded or made ready; this ends the batch.
        StoreError: If the store refuses to take results.
    """
    _remove_stale_parts(jobs)
    ready = _made_once(upscaler)
    for job in jobs:
        decision = decide(job, ready)
        yield decision if isinstance(decision, JobResult) else _upscaled(decision, ready(), on_progress)


def preview_batch(upscaler: Callable[[], JobUpscaler], jobs: list[Job]) -> Iterator[JobResult]:
    """Tell what `upscale_batch` would do with each job, and write nothing: a dry run.

    Args:
        upscaler: As in `upscale_batch`.
        jobs: What `plan` returned.

    Yields:
        The result of each job: `planned`, `skipped` or `failed`.

    Raises:
        UsageError, WeightsError, ModelError: If the model cannot be loaded or made ready.
    """
    ready = _made_once(upscaler)
    for job in jobs:
        decision = decide(job, ready)
        if isinstance(decision, OpenJob):
            how = ready().describe()
            decision = JobResult(job, "planned", size_in=decision.size_in, size=decision.size, how=how)
        yield decision


def decide(job: Job, upscaler: Callable[[], JobUpscaler]) -> OpenJob | JobResult:
    """What happens to a job: it is opened, to be enlarged, or ends here as skipped or failed.

    `upscaler` is called only if the picture has to be opened; its errors are raised.
    """
    if refused := job.refused or _name_clash_on_disk(job):
        return JobResult(job, "failed", error=refused)
    if job.options.existing == "skip" and exists(job.out):
        return JobResult(job, "skipped")
    scale = upscaler().scale
    try:
        return open_job(job, scale)
    except StoreError:
        raise
    except (IqsrError, OSError) as error:
        return JobResult(job, "failed", error=_error_line(job, error))


def open_job(job: Job, model_scale: int) -> OpenJob:
    """Read the header of the picture, compute the size of the result, and check that it can be written.

    PictureError or UsageError where any of that fails.
    """
    started = time.perf_counter()
    picture = open_picture(job.source, alpha=job.options.alpha)
    size = job.options.target.size((picture.info.width, picture.info.height), model_scale)
    check_output(job.out, size, picture)
    return OpenJob(job, picture, size, started)


def _upscaled(
    opened: OpenJob, upscaler: JobUpscaler, on_progress: Callable[[OpenJob, float], None] | None
) -> JobResult:
    """Enlarge an opened picture and write the result."""
    job = opened.job

    def report(done: float) -> None:
        if on_progress is not None:
            on_progress(opened, done)

    try:
        result = upscaler.upscale_job(opened, report)
    except StoreError:
        raise
    except (IqsrError, OSError) as error:
        return JobResult(job, "failed", error=_error_line(job, error))
    return JobResult(job, "done", size_in=result.size_in, size=result.size, how=result.how, seconds=result.seconds)


def _made_once(upscaler: Callable[[], JobUpscaler]) -> Callable[[], JobUpscaler]:
    """`upscaler`, called and prepared at the first call."""

    @cache
    def ready() -> JobUpscaler:
        made = upscaler()
        made.prepare()
        return made

    return ready


def _name_clash_on_disk(job: Job) -> str | None:
    """Why the result cannot be written, if on this disk its name is that of another picture."""
    if not job.name_clashes or not exists(job.out):
        return None
    try:
        if any(path.name == job.out.name for path in job.out.parent.iterdir()):
            return None
    except OSError:
        return None  # writing will say why
    return (
        f"'{job.source}' would become '{job.out}', which on this disk is the name of another picture; "
        "run it apart, with its own -o"
    )


def _error_line(job: Job, error: IqsrError | OSError) -> str:
    """The error in one line that names the picture: errors of models and sizes do not."""
    text = (error.strerror if isinstance(error, OSError) else None) or str(error)
    is_named = any(f"'{path}'" in text for path in (job.source, job.out))
    return text if is_named else f"'{job.source}': {text}"


def _remove_stale_parts(jobs: list[Job]) -> None:
    """Remove what a killed run left half-written in the output folders."""
    from iqsr.io.atomic import remove_stale_parts

    for folder in {job.out.parent for job in jobs}:
        with suppress(OSError):  # no folder yet, or one that cannot be listed
            remove_stale_parts(folder)
