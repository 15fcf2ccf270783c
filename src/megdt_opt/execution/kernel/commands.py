"""The commands `ip` and `tc`, and what this machine lacks for a world of its own."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from typing import Any

from megdt_opt.errors import ExecutionError

TOOLS = ("ip", "tc")


def command(*words: str) -> str:
    """Run a command and give its output.

    Raises
    ------
    ExecutionError
        If it fails; with the command and what it said.
    """
    done = subprocess.run(words, capture_output=True, text=True, check=False, timeout=30)
    if done.returncode:
        raise ExecutionError(f"'{' '.join(words)}' failed: {done.stderr.strip() or done.returncode}")
    return done.stdout


def command_json(*words: str) -> Any:
    """As `command`, for commands that print JSON."""
    return json.loads(command(*words) or "[]")


def lacking() -> list[str]:
    """What this machine lacks, in words: system, rights, tools, cores. What the kernel grants is tried elsewhere."""
    if not sys.platform.startswith("linux"):
        return [f"Linux (this is {sys.platform})"]
    found = []
    if os.geteuid() != 0:
        found.append("root's rights (CAP_SYS_ADMIN and CAP_NET_ADMIN)")
    missing = [tool for tool in TOOLS if shutil.which(tool) is None]
    if missing:
        found.append(f"the commands {' and '.join(missing)} (package iproute2)")
    if len(os.sched_getaffinity(0)) < 2:
        found.append("two processor cores, one for edges and one for devices")
    return found
