"""Completion in shells: the script that a shell reads, and what it then offers."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from support.commands import PATIENCE

IQSR = Path(sys.executable).with_name("iqsr")
pytestmark = pytest.mark.skipif(os.name == "nt", reason="bash")


@pytest.mark.parametrize(
    ("typed", "offered"), [("up", {"upscale"}), ("study se", {"serve"}), ("upscale --skip", {"--skip-existing"})]
)
def test_bash_completes_commands_and_options(typed: str, offered: set[str]) -> None:
    """As `iqsr --install-completion` sets it up; bash calls the function when the key is pressed."""
    words = ["iqsr", *typed.split()]
    script = (
        f'source <("{IQSR}" --show-completion bash); COMP_WORDS=({" ".join(words)}); COMP_CWORD={len(words) - 1}; '
        f'_iqsr_completion "{IQSR}"; printf "%s\\n" "${{COMPREPLY[@]}}"'
    )
    variables = os.environ | {"_TYPER_COMPLETE_TEST_DISABLE_SHELL_DETECTION": "1"}
    ended = subprocess.run(["bash", "-c", script], capture_output=True, text=True, timeout=PATIENCE, env=variables)
    assert ended.returncode == 0, ended.stderr
    assert set(ended.stdout.split()) == offered


@pytest.mark.parametrize(
    ("shell", "typed"),
    [
        ("zsh", {"_TYPER_COMPLETE_ARGS": "iqsr ups"}),
        ("fish", {"_TYPER_COMPLETE_ARGS": "iqsr ups", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}),
        ("powershell", {"_TYPER_COMPLETE_ARGS": "iqsr ups", "_TYPER_COMPLETE_WORD_TO_COMPLETE": "ups"}),
    ],
)
def test_other_shells_are_told_the_commands(shell: str, typed: dict[str, str]) -> None:
    variables = os.environ | {"_IQSR_COMPLETE": f"complete_{shell}"} | typed
    ended = subprocess.run([IQSR], capture_output=True, text=True, timeout=PATIENCE, env=variables)
    assert "upscale" in ended.stdout
    assert "score" not in ended.stdout
