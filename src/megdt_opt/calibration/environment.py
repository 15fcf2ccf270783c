"""What a calibration ran on: processor and versions, nothing that identifies the machine's owner."""

from __future__ import annotations

import os
import platform
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter, process_time

import torch

from megdt_opt.errors import InvalidInput
from megdt_opt.machine import cores, cpu_model, versions


def torch_device(name: str) -> torch.device:
    """A torch device by its name.

    Raises
    ------
    InvalidInput
        If torch does not know it, or this machine does not have it.
    """
    remedy = 'Use "cpu", or run on a machine that has the device with a torch build for it.'
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise InvalidInput("device", name, "a torch device such as 'cpu' or 'cuda'", remedy) from error
    there = {
        "cpu": True,
        "cuda": torch.cuda.is_available(),
        "mps": torch.backends.mps.is_available(),
    }.get(device.type, False)
    if not there:
        raise InvalidInput("device", name, "a device that this machine has", remedy)
    return device


def hardware(device: torch.device) -> dict[str, str | int]:
    """Description of a device for a profile's provenance."""
    if device.type == "cuda":
        facts = torch.cuda.get_device_properties(device)
        return {
            "kind": "cuda",
            "processor": str(facts.name),
            "cores": int(facts.multi_processor_count),
            "memory_mib": int(facts.total_memory) // 2**20,
            "host": cpu_model(),
        }
    described: dict[str, str | int] = {"kind": device.type, "processor": cpu_model(), "cores": cores()}
    if device.type == "cpu":
        described["instructions"] = torch.backends.cpu.get_cpu_capability()
    return described


def software(device: torch.device) -> dict[str, str]:
    """Versions for a profile's provenance."""
    found = {"python": platform.python_version(), "torch": torch.__version__, "os": platform.system()}
    found |= versions("diffusers", "transformers", "numpy", "megdt-opt")
    if device.type == "cuda":
        found["cuda"] = str(torch.version.cuda)
        found["cudnn"] = str(torch.backends.cudnn.version())  # type: ignore[no-untyped-call]
    return found


_IDLE = 0.95
"""Part of the threads' time from which on the machine counts as idle [1]."""

_LEAST_SHARE = 0.05
"""Where all cores are busy, the scheduler still gives a share [1]."""

_LOOK_S = 1.0
"""How long it takes to see whether a machine is busy [s]."""


class OtherLoad:
    """How many cores other processes kept busy meanwhile: what shares the cores is measured too.

    Made when a measurement begins; `sentence` closes it. Known on Linux only.
    """

    def __init__(self) -> None:
        self._busy_s = _busy_s()
        self._own_s = process_time()
        self._begin = perf_counter()

    def cores(self) -> float | None:
        """Mean number of cores that other processes have used since the beginning [1]; None if unknown."""
        busy_s = _busy_s()
        wall_s = perf_counter() - self._begin
        if busy_s is None or self._busy_s is None or wall_s <= 0.0:
            return None
        return max(0.0, (busy_s - self._busy_s - (process_time() - self._own_s)) / wall_s)

    def idle_share(self, threads: int) -> float:
        """Part of the time of some threads that other processes left to them, at least [1]; 1 where that is unknown.

        With fewer free cores than threads the work waits: times are up to one over this part too long.
        """
        used = self.cores()
        left = 1.0 if used is None else (cores() - used) / threads
        return 1.0 if left >= _IDLE else max(left, _LEAST_SHARE)

    def sentence(self) -> tuple[str, ...]:
        """The same as a note for a provenance."""
        used = self.cores()
        return () if used is None else (f"other processes kept {used:.2f} cores busy meanwhile",)


def wait_until_idle(threads: int, longest_s: float, tell: Callable[[float], None]) -> None:
    """Wait until other processes leave some threads their cores, but no longer than that [s].

    `tell` is called with the part of the threads' time that is left to them [1], before each further wait.
    """
    end = perf_counter() + longest_s
    while (left_s := end - perf_counter()) > 0.0:
        load = OtherLoad()
        time.sleep(min(_LOOK_S, left_s))
        share = load.idle_share(threads)
        if share == 1.0:
            return
        tell(share)


def _busy_s() -> float | None:
    """Seconds that all cores together have worked since the system began."""
    try:
        fields = Path("/proc/stat").read_text(encoding="ascii").split("\n", 1)[0].split()
        ticks = [int(n) for n in fields[1:9]]
        return (sum(ticks) - ticks[3] - ticks[4]) / float(os.sysconf("SC_CLK_TCK"))  # less idle and waiting
    except (OSError, ValueError, IndexError, AttributeError):
        return None
