"""`iqsr run-shards`: all shards of a command, on this machine or on a Ray cluster, and the joined result."""

from __future__ import annotations

from collections import Counter, deque
from pathlib import Path
from typing import Annotated, Any

import typer

from iqsr.cli import merge_shards
from iqsr.cli.interrupt import interruptible
from iqsr.cli.outputs import check_outputs, shard_output
from iqsr.cli.parsing import output_path, output_place
from iqsr.cli.progress import printable
from iqsr.cli.shard_engines import Ended, Engine, LocalEngine, RayEngine
from iqsr.errors import IqsrError, UnknownNameError, UsageError
from iqsr.io.shards import Shard, parts_folder, read_manifest

HELP = """Run all shards of a command at once, and join what they make.

COMMAND is upscale, score, prepare, agree or evaluate, with -o OUT.
The result is the one of COMMAND alone. A shard whose process dies is started
again and goes on where it was; pictures that fail are told at the end, and do
not stop the others (exit code 1). The same command goes on after a stop.
With --engine ray the shards run on the machines of a Ray cluster, which need
a common disk.

[bold]Examples[/bold]

  iqsr run-shards --shards 8 --jobs 2 score photos/ -m srq -o scores.csv

  iqsr run-shards --shards 64 --engine ray --ray-address auto upscale photos/ -o large/ --precision fp32
"""
COMMANDS = ("upscale", "score", "prepare", "agree", "evaluate")
ENGINES = ("local", "ray")


def command(
    arguments: Annotated[list[str], typer.Argument(metavar="COMMAND...", help="The command, its options, -o OUT.")],
    shards: Annotated[int, typer.Option(min=1, metavar="N", help="How many shards: some for each worker.")],
    jobs: Annotated[int, typer.Option(min=1, metavar="N", help="How many shards run at once.")] = 2,
    engine: Annotated[
        str, typer.Option(metavar="ENGINE", help="local, or ray (pip install 'iqsr\\[scale]').")
    ] = "local",
    ray_address: Annotated[
        str, typer.Option(metavar="ADDRESS", help="Of a Ray cluster: auto, HOST:6379. Default: one on this machine.")
    ] = "",
    gpus: Annotated[
        int | None, typer.Option(min=1, metavar="N", help="GPUs of this machine or cluster: a shard sees only one.")
    ] = None,
    tries: Annotated[int, typer.Option(min=1, metavar="N", help="How often a shard is begun that dies.")] = 3,
) -> None:
    """Run shards and join them (see HELP)."""
    if engine not in ENGINES:
        raise UnknownNameError("--engine", engine, list(ENGINES))
    if ray_address and engine != "ray":
        raise UsageError("--ray-address is for --engine ray")
    out, overwrite = _output(arguments), "--overwrite" in arguments
    _check_free(arguments[0], out, overwrite)
    if gpus and engine == "local":
        _check_gpus(gpus)
    with interruptible("the same command goes on from here"):
        chosen = RayEngine(jobs, ray_address, gpus) if engine == "ray" else LocalEngine(jobs, gpus)
        try:
            run_shards(arguments, shards, out, chosen, tries)
        finally:
            chosen.close()
    merge_shards.command([parts_folder(out)], str(out), overwrite)


def _output(arguments: list[str]) -> Path:
    """OUT of a command that can be run in shards. UsageError for others."""
    if arguments[0] not in COMMANDS:
        raise UnknownNameError("command with shards", arguments[0], list(COMMANDS))
    if any(one.split("=")[0] == "--shard" for one in arguments):
        raise UsageError("run-shards gives --shard itself: leave it out")
    path = output_path if arguments[0] == "evaluate" else output_place
    for one, following in zip(arguments, [*arguments[1:], None], strict=True):
        if one in ("-o", "--output") and following is not None:
            return shard_output(path(following))
        if one.startswith("--output="):
            return shard_output(path(one.removeprefix("--output=")))
    raise UsageError(f"say with -o where the results of {arguments[0]} go")


def _check_free(name: str, out: Path, overwrite: bool) -> None:
    """See before the work that the joined result can be written."""
    from iqsr.agreement.report import AGREEMENT_FILES

    files = [out / file for file in AGREEMENT_FILES] if name == "agree" else [out] if name == "score" else []
    check_outputs(files, overwrite=overwrite)


def _check_gpus(count: int) -> None:
    """UsageError where this machine has fewer GPUs: a shard that sees none would work on its CPU, without a word."""
    import torch

    if (found := torch.cuda.device_count()) < count:
        raise UsageError(f"--gpus {count}, but torch finds {found} here (iqsr doctor lists them)")


def run_shards(arguments: list[str], count: int, out: Path, engine: Engine, tries: int) -> None:
    """Run every shard until it has ended whole.

    Raises:
        UsageError: Where the command refuses its arguments; no other shard is begun then.
        IqsrError: Where shards died in all their tries; the others have been run to their end.
    """
    waiting = deque(Shard(number, count) for number in range(1, count + 1))
    running: dict[Any, Shard] = {}
    begun, lost, refused = Counter[Shard](), list[Ended](), list[Ended]()
    while running or (waiting and not refused):
        while waiting and len(running) < engine.workers and not refused:
            shard = waiting.popleft()
            begun[shard] += 1
            running[engine.start(arguments, shard)] = shard
        handle, ended = engine.first(running)
        del running[handle]
        if ended.code == UsageError.exit_code:
            refused.append(ended)
        elif _is_whole(out, ended):
            _tell(f"shard {ended.shard} ended, {len(waiting) + len(running)} to go")
        elif begun[ended.shard] < tries:
            _tell(f"shard {ended.shard} {_how(ended)}: begun again")
            waiting.append(ended.shard)
        else:
            lost.append(ended)
    if refused:
        raise UsageError(refused[0].said)
    if lost:
        named = "; ".join(f"shard {ended.shard} {_how(ended)}" for ended in lost[:3])
        raise IqsrError(f"{len(lost)} of {count} shards did not end in {tries} tries: {named}; the others are whole")


def _is_whole(out: Path, ended: Ended) -> bool:
    """Whether the shard has done all it can: exit code 1 also means that some picture failed."""
    if ended.code not in (0, 1):
        return False
    folder = parts_folder(out) / f"{ended.shard.number}-of-{ended.shard.count}"
    try:
        return read_manifest(folder).finished
    except IqsrError:
        return False


def _how(ended: Ended) -> str:
    if ended.code is None:
        how = "was lost with its worker"
    else:
        how = f"was killed (signal {-ended.code})" if ended.code < 0 else f"ended with exit code {ended.code}"
    return f"{how}: {ended.said}" if ended.said else how


def _tell(line: str) -> None:
    typer.echo(printable(line), err=True)
