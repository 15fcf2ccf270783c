"""Sessions of a calibration: the same cells timed again after a pause, and what other processes took meanwhile."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from time import perf_counter

import torch

from megdt_opt.calibration.environment import OtherLoad, wait_until_idle
from megdt_opt.calibration.timing_loop import Job, Progress, Rounds, check_count, take
from megdt_opt.errors import InvalidInput
from megdt_opt.si import percent
from megdt_opt.timing.cells import Cell


@dataclass(frozen=True, kw_only=True)
class Sessions:
    """How often a calibration is repeated; `calibrate` says what the fields mean.

    Raises
    ------
    InvalidInput
        If the count is no integer of at least 1, or a time is no finite number of at least 0.
    """

    count: int = 1
    pause_s: float = 0.0
    wait_s: float = 0.0

    def __post_init__(self) -> None:
        check_count("sessions", self.count)
        for name in ("pause_s", "wait_s"):
            value = getattr(self, name)
            if not isinstance(value, int | float) or isinstance(value, bool) or not 0.0 <= value < math.inf:
                raise InvalidInput(name, value, "a finite time of at least 0 [s]", "Give it in seconds.")
        if self.pause_s > 0.0 and self.count == 1:
            raise InvalidInput("pause_s", self.pause_s, "0 s with one session", "Ask for several sessions.")


@dataclass(frozen=True, kw_only=True)
class Loads:
    """What other processes took during the sessions of a calibration.

    Parameters
    ----------
    sentences : tuple of str
        In words; empty where the system does not tell.
    idle_share : float
        Least part of the threads' time that they left in any session [1].
    """

    sentences: tuple[str, ...]
    idle_share: float


def in_sessions(
    jobs: Sequence[Job],
    rounds: Rounds,
    sessions: Sessions,
    *,
    device: torch.device,
    on_progress: Progress | None,
    beside: Callable[[], float] | None = None,
) -> tuple[list[Cell], Loads]:
    """Time all jobs in every session; one cell for each job, with the samples of all sessions, in the jobs' order.

    `beside` is run between the samples (`timing_loop.take`).
    """
    begin, shares, said = perf_counter(), [], []
    merged: list[Cell] = []
    each = rounds.runs(len(jobs))
    for number in range(sessions.count):

        def tell(done: int, _: int, what: str, number: int = number) -> None:
            if on_progress is not None:
                on_progress(number * each + done, sessions.count * each, what)

        def busy(share: float) -> None:
            tell(0, each, f"waiting: other processes leave {percent(100 * share, 0, signed=False)} of the cores needed")

        if number:
            tell(0, each, "pause")
            time.sleep(sessions.pause_s)
        wait_until_idle(rounds.threads, sessions.wait_s, busy)
        load, start_s = OtherLoad(), perf_counter() - begin
        cells = take(jobs, replace(rounds, seed=rounds.seed + number), device=device, on_progress=tell, beside=beside)
        shares.append(load.idle_share(rounds.threads))
        prefix = f"session {number + 1}: " if sessions.count > 1 else ""
        said += [prefix + sentence for sentence in load.sentence()]
        merged = [_joined(*pair, start_s) for pair in zip(merged, cells, strict=True)] if merged else cells
    return merged, Loads(sentences=tuple(said), idle_share=min(shares))


def _joined(before: Cell, later: Cell, start_s: float) -> Cell:
    """A cell with the samples of a further session, which began so long after the first one [s]."""
    return replace(
        before,
        samples_s=(*before.samples_s, *later.samples_s),
        at_s=(*before.at_s, *(round(start_s + at, 3) for at in later.at_s)),
        reference_s=(*before.reference_s, *later.reference_s),
        sessions=(*(before.sessions or (len(before.samples_s),)), len(later.samples_s)),
    )
