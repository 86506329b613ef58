"""`python -m iqsr.cli.shard_process PARENT ARGUMENTS...`: `iqsr ARGUMENTS...`, which ends with the process PARENT."""

import runpy
import sys

from iqsr.parent_process import end_with

if __name__ == "__main__":
    end_with(int(sys.argv.pop(1)))
    runpy.run_module("iqsr", run_name="__main__", alter_sys=True)
