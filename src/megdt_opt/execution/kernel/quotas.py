"""Shares of a processor core by the kernel's quota, in control groups of version 1 or 2."""

from __future__ import annotations

import contextlib
import os
import time
from dataclasses import dataclass
from pathlib import Path

from megdt_opt.errors import ExecutionError

PERIOD_S = 0.02
"""Period of every quota [s]: the shortest at which a share holds; the spread of its unknown phase grows with it."""

LEAST_SHARE = 0.05
"""Smallest share that can be set [1]: the kernel takes no quota below 1 ms."""

ROOT = Path("/sys/fs/cgroup")
PARENT = "megdt-opt"


@dataclass(frozen=True)
class Throttling:
    """How often a group has been stopped so far, and for how long in all [s]."""

    periods: int = 0
    count: int = 0
    duration_s: float = 0.0


class Quotas:
    """Groups of processes below one parent group. The interface is found by writing a quota and reading it back.

    Parameters
    ----------
    root : Path
        Where control groups are mounted.

    Raises
    ------
    ExecutionError
        If neither version grants a quota here; says what was tried.
    """

    def __init__(self, root: Path = ROOT) -> None:
        tried = []
        for version, top in ((1, root / "cpu"), (1, root / "cpu,cpuacct"), (2, root), (2, root / "unified")):
            self.version, self.parent = version, top / PARENT
            if not top.is_dir():
                continue
            try:
                self._make()
                self.add("probe")
                if self.hold("probe", 0.25) == 0.25:
                    self.remove("probe")
                    return
                tried.append(f"{self.parent}: a quota reads back otherwise")
            except OSError as error:
                tried.append(f"{self.parent}: {error.strerror}")
            self.close()
        said = "; ".join(tried) or f"no control groups at {root}"
        raise ExecutionError(f"no processor quotas: {said}")

    def add(self, name: str) -> None:
        """Make a group without a limit."""
        (self.parent / name).mkdir(exist_ok=True)

    def join(self, name: str, pid: int) -> None:
        """Move a process, with all its threads, into a group."""
        self._write(name, "cgroup.procs", str(pid))

    def hold(self, name: str, share: float | None) -> float:
        """Set a group's share of one core, None for no limit; the share that reads back, 0 for none [1]."""
        period = round(PERIOD_S * 1e6)
        quota = None if share is None else round(period * share)
        if self.version == 2:
            self._write(name, "cpu.max", f"{'max' if quota is None else quota} {period}")
            found, over = self._read(name, "cpu.max").split()
            return 0.0 if found == "max" else int(found) / int(over)
        self._write(name, "cpu.cfs_quota_us", "-1")  # the period of a group with a quota may not be changed
        self._write(name, "cpu.cfs_period_us", str(period))
        if quota is not None:
            self._write(name, "cpu.cfs_quota_us", str(quota))
        found = self._read(name, "cpu.cfs_quota_us")
        return 0.0 if int(found) < 0 else int(found) / int(self._read(name, "cpu.cfs_period_us"))

    def throttling(self, name: str) -> Throttling:
        """What the kernel has counted of a group."""
        values = dict(line.split() for line in self._read(name, "cpu.stat").splitlines())
        duration_s = int(values["throttled_usec"]) / 1e6 if self.version == 2 else int(values["throttled_time"]) / 1e9
        return Throttling(int(values["nr_periods"]), int(values["nr_throttled"]), duration_s)

    def remove(self, name: str) -> None:
        """Remove a group; what still runs in it is moved out first."""
        group = self.parent / name
        for pid in group.joinpath("cgroup.procs").read_text().split():
            with contextlib.suppress(OSError):
                self.parent.parent.joinpath("cgroup.procs").write_text(pid)
        for patience_s in (0.0, 0.05, 0.2, 1.0):  # a process that has just ended may still be counted
            time.sleep(patience_s)
            with contextlib.suppress(OSError):
                group.rmdir()
                return
        group.rmdir()

    def close(self) -> None:
        """Remove all groups."""
        if self.parent.is_dir():
            for group in sorted(self.parent.iterdir()):
                if group.is_dir():
                    self.remove(group.name)
            self.parent.rmdir()

    def _make(self) -> None:
        self.parent.mkdir(exist_ok=True)
        if self.version == 1:
            self.parent.joinpath("cpu.shares").write_text("65536")  # ahead of the machine's other jobs
            return
        for above in (self.parent.parent, self.parent):
            above.joinpath("cgroup.subtree_control").write_text("+cpu")
        self.parent.joinpath("cpu.weight").write_text("10000")

    def _write(self, name: str, file: str, text: str) -> None:
        self.parent.joinpath(name, file).write_text(text)

    def _read(self, name: str, file: str) -> str:
        return self.parent.joinpath(name, file).read_text().strip()


def pin(pid: int, core: int) -> tuple[int, ...]:
    """Keep all threads of a process on one core; the cores that read back."""
    for thread in os.listdir(f"/proc/{pid}/task"):
        with contextlib.suppress(ProcessLookupError):  # a thread may end meanwhile
            os.sched_setaffinity(int(thread), {core})
    return tuple(sorted(os.sched_getaffinity(pid)))
