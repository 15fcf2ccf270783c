"""Processes of one version of the package each, which solve the same instances in turn.

The parent starts `python versions.py` with a version's sources on the path and writes a line of JSON for each task; the
process answers with one line. An instance is a file of the arguments of `AllocationProblem`, so that any version with
that class can read it. Nothing but the public names is used.
"""

from __future__ import annotations

import contextlib
import json
import os
import queue
import re
import resource
import subprocess
import sys
import threading
import time
import tomllib
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np

_SLACK_S = 60.0
"""What a task may take above its own limits before the process is ended [s]."""

_FIRST_S = 900.0
"""What the first tasks of a process may take, compiling included [s]."""


def write_instance(path: Path, problem: Any) -> Path:
    """The arguments of a problem, as a file."""
    given = {f.name: getattr(problem, f.name) for f in fields(problem) if f.init}
    np.savez(path, **{name: np.asarray(value) for name, value in given.items() if value is not None})
    return path


class Version:
    """One version of the package: its sources, and a process of it that is started when it is first asked."""

    def __init__(self, name: str, sources: Path, kernels: Path) -> None:
        self.name, self.sources, self.kernels = name, sources.resolve(), kernels
        self._process: subprocess.Popen[str] | None = None
        self._answers: queue.Queue[str] = queue.Queue()
        self._warm_instances: list[Path] = []

    def environment(self, kernels: Path | None = None) -> dict[str, str]:
        """Of a process of this version; `kernels` is the folder of its compiled code, if not the usual one."""
        return {
            **os.environ,
            "PYTHONPATH": str(self.sources),
            "NUMBA_CACHE_DIR": str(kernels or self.kernels),
        }

    def command_line(self) -> str:
        """Python code that runs the command line."""
        with (self.sources.parent / "pyproject.toml").open("rb") as file:
            module, function = tomllib.load(file)["project"]["scripts"]["megdt-opt"].split(":")
        return f"from {module} import {function}; {function}()"

    def commit(self) -> str:
        """The last commit that changed the sources, as far as git knows it."""
        done = subprocess.run(
            ["git", "-C", str(self.sources), "log", "-1", "--format=%h", "--", "."], capture_output=True, text=True
        )
        return done.stdout.strip() or "unknown"

    def warm(self, instances: list[Path]) -> None:
        """Solve these first in every process, untimed, so that all compiled code is loaded."""
        self._warm_instances = instances
        self.close()

    def ask(self, task: str, path: Path, limit_s: float = 20.0, repeats: int = 1, **more: Any) -> dict[str, Any]:
        """Let the process do a task; {"error": ...} where it fails or takes far too long."""
        if self._process is None:
            self._start()
            for one in self._warm_instances:
                self._answer({"task": "solve", "path": str(one), "limit_s": 60.0, "repeats": 1}, _FIRST_S)
        allowed_s = _SLACK_S + (4 if task == "solve" else 40) * repeats * limit_s
        return self._answer(
            {"task": task, "path": str(path), "limit_s": limit_s, "repeats": repeats, **more}, allowed_s
        )

    def close(self) -> None:
        """End the process."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process = None

    def _start(self) -> None:
        self._answers = queue.Queue()
        self._process = subprocess.Popen(
            [sys.executable, "-P", str(Path(__file__).resolve())],
            env=self.environment(), stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True,
        )  # fmt: skip
        threading.Thread(target=_forward, args=(self._process, self._answers), daemon=True).start()

    def _answer(self, message: dict[str, Any], allowed_s: float) -> dict[str, Any]:
        if self._process is None:
            self._start()
        process = self._process
        assert process is not None
        assert process.stdin is not None
        try:
            process.stdin.write(json.dumps(message) + "\n")
            process.stdin.flush()
            line = self._answers.get(timeout=allowed_s)
        except (queue.Empty, BrokenPipeError):
            self.close()
            return {"error": f"no answer within {allowed_s:.0f} s"}
        if not line:
            self.close()
            return {"error": "the process has ended"}
        answer: dict[str, Any] = json.loads(line)
        return answer


def _forward(process: subprocess.Popen[str], answers: queue.Queue[str]) -> None:
    """Put what a process writes into a queue, and an empty line at its end."""
    assert process.stdout is not None
    for line in process.stdout:
        answers.put(line)
    answers.put("")


# ---- in the process


def read_instance(path: str) -> Any:
    """The problem of a file."""
    from megdt_opt import AllocationProblem

    with np.load(path) as file:
        given = {name: file[name] for name in file.files}
    return AllocationProblem(**{name: v.item() if v.ndim == 0 else v for name, v in given.items()})


def _timed(call: Any, repeats: int) -> tuple[Any, list[float], float]:
    """What a call returns, its times [s] and its least processor time [s]; a call of a second or more is not
    repeated."""
    times: list[float] = []
    found, least_s = None, float("inf")
    while len(times) < repeats and (not times or times[-1] < 1.0):
        begin, used = time.perf_counter(), time.process_time()
        found = call()
        least_s = min(least_s, time.process_time() - used)
        times.append(time.perf_counter() - begin)
    return found, times, least_s


def _said(found: Any, times: list[float], processor_s: float) -> dict[str, Any]:
    """An allocation in figures; nodes and passes are read from its message."""
    counts = [int(n) for n in re.findall(r"(\d+) (?:nodes|price vectors|passes)", found.message)]
    return {
        "time_s": min(times), "times_s": times, "processor_s": processor_s, "gap": found.gap,
        "status": str(found.status),
        "objective_s": found.objective_s, "nodes": counts[0] if counts else None,
        "passes": counts[1] if len(counts) > 1 else None,
        "memory_gib": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 2**20,
    }  # fmt: skip


def do_solve(path: str, gap: float, limit_s: float, repeats: int) -> dict[str, Any]:
    """Solve an instance by the price method."""
    from megdt_opt import solve

    problem = read_instance(path)
    return _said(*_timed(lambda: solve(problem, method="prices", gap=gap, time_limit_s=limit_s), repeats))


def do_replan(path: str, gap: float, limit_s: float, repeats: int, then: str, cost_s: float) -> dict[str, Any]:
    """Solve an instance, and with its plan another one anew; beside it the plain solution of the other."""
    from megdt_opt import replan, solve

    plan, problem = solve(read_instance(path), method="prices", gap=gap), read_instance(then)
    plain, plain_times, _ = _timed(lambda: solve(problem, gap=gap, time_limit_s=limit_s), repeats)
    found, times, _ = _timed(lambda: replan(problem, plan, cost_s, gap=gap, time_limit_s=limit_s), repeats)
    return {
        "solve_s": min(plain_times), "replan_s": min(times), "gap": found.allocation.gap,
        "status": str(found.allocation.status), "solve_status": str(plain.status),
    }  # fmt: skip


def do_loop(path: str, gap: float, limit_s: float, repeats: int) -> dict[str, Any]:
    """Solve an instance over and over in a process that has solved nothing before."""
    from megdt_opt import solve

    problem, times = read_instance(path), []
    for _ in range(repeats):
        begin = time.perf_counter()
        solve(problem, gap=gap)
        times.append(time.perf_counter() - begin)
    last = times[len(times) // 2 :]
    return {"total_s": sum(times), "median_later_s": float(np.median(last)), "worst_s": max(times)}


def serve() -> None:
    """Do the tasks of the standard input, one line each."""
    tasks = {"solve": do_solve, "replan": do_replan, "loop": do_loop}
    answers = sys.stdout
    for line in sys.stdin:
        message = json.loads(line)
        try:
            with contextlib.redirect_stdout(sys.stderr):
                answer = tasks[message.pop("task")](**{"gap": 1e-6, **message})
        except Exception as error:
            answer = {"error": f"{type(error).__name__}: {error}"[:300]}
        answers.write(json.dumps(answer) + "\n")
        answers.flush()


if __name__ == "__main__":
    serve()
