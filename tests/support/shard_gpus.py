"""A program in the place of iqsr's, by which each shard tells which GPUs it sees."""

import os
from pathlib import Path

import iqsr
from iqsr.cli.shard_engines import Engine
from iqsr.io.shards import Shard
from support.commands import PATIENCE

_TELLS = f"""
import os, sys, time
from pathlib import Path
mine = Path("seen", sys.argv[-1].replace("/", "-"))
mine.parent.mkdir(exist_ok=True)
mine.touch()
until = time.monotonic() + {PATIENCE}
while len(list(mine.parent.iterdir())) < int(sys.argv[-1].split("/")[1]) and time.monotonic() < until:
    time.sleep(0.02)
print("sees", os.environ.get("CUDA_VISIBLE_DEVICES"), file=sys.stderr)
"""


def shards_tell(folder: Path) -> str:
    """Write the program, and return the PYTHONPATH with which shards run it. All else of iqsr is as it is."""
    package, original = folder / "iqsr", Path(iqsr.__file__)
    package.mkdir(parents=True)
    found = f"__path__.append({str(original.parent)!r})\nexec(open({str(original)!r}).read())\n"
    (package / "__init__.py").write_text(found)
    (package / "__main__.py").write_text(_TELLS)
    places = [folder, Path(__file__).parents[1], os.environ.get("PYTHONPATH", "")]
    return os.pathsep.join(map(str, places))


def gpus_seen(engine: Engine, shards: int) -> list[str]:
    """What shards see that run at once; as many as the engine has workers."""
    running = {engine.start(["score"], Shard(number, shards)) for number in range(1, shards + 1)}
    said = list[str]()
    while running:
        handle, ended = engine.first(running)
        running.remove(handle)
        said.append(ended.said)
    return sorted(said)
