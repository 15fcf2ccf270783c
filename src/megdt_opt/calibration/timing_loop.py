"""The timing loop: first run, warm-up, then samples of all cells in random order.

All cells are sampled once in each round, in a new random order, so that a machine that drifts during the
calibration slows every batch and region alike instead of looking like a cost of one of them. The
collector of Python's garbage is off while a sample runs, and an accelerator is synchronised before the
clock is read.
"""

from __future__ import annotations

import gc
import random
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from time import perf_counter

import torch

from megdt_opt.errors import InvalidInput
from megdt_opt.models.reference import block_of
from megdt_opt.timing.cells import Cell, StageKey

Progress = Callable[[int, int, str], None]
"""Called with runs done, runs in all, and what runs next."""

Run = Callable[[int], None]
"""Runs a stage as often as it is told."""

_RESOLUTION = 9  # decimals of a stored second: below a nanosecond there is no clock


@dataclass(kw_only=True)
class Job:
    """A cell that is to be timed.

    Parameters
    ----------
    key : StageKey
        What is timed.
    rows_total : int or None
        Rows of the whole latent, where a region of it is timed [1].
    run : callable
        Runs the stage a given number of times.
    units_max : int
        Consecutive stages that one sample may hold [1]: a chain's steps; 1 where a plan runs the stage
        once, because repeating it in a loop would only time warm caches.
    """

    key: StageKey
    run: Run
    rows_total: int | None = None
    units_max: int = 1
    units: int = field(default=1, init=False)

    @property
    def label(self) -> str:
        """What is timed, for a progress bar."""
        region = "" if self.key.rows is None else f", {self.key.rows} of {self.rows_total} rows"
        return f"{self.key.stage}, batch {self.key.batch}{region}"


@dataclass(frozen=True, kw_only=True)
class Rounds:
    """How often, with how many threads and in which order cells are timed.

    Parameters
    ----------
    samples : int
        Samples of each cell, at least 1 [1].
    warmup : int
        Discarded runs of each after its first, at least 1 [1].
    threads : int
        Torch threads while timing, at least 1 [1].
    seed : int
        Of the random order.

    Raises
    ------
    InvalidInput
        If a count is no integer of at least 1.
    """

    samples: int
    warmup: int
    threads: int
    seed: int

    def __post_init__(self) -> None:
        for field_name in ("samples", "warmup", "threads"):
            check_count(field_name, getattr(self, field_name))

    def runs(self, jobs: int) -> int:
        """Runs of so many cells, first runs and warm-up included [1]."""
        return jobs * (1 + self.warmup + self.samples)


def check_count(field_name: str, value: object) -> None:
    """Refuse with InvalidInput what is no integer of at least 1."""
    if not isinstance(value, int) or isinstance(value, bool) or value < 1:
        raise InvalidInput(field_name, value, "an integer of at least 1 [1]", "Raise it.")


def take(
    jobs: Sequence[Job],
    rounds: Rounds,
    *,
    device: torch.device,
    on_progress: Progress | None,
    beside: Callable[[], float] | None = None,
) -> list[Cell]:
    """Time all jobs.

    Parameters
    ----------
    jobs : sequence of Job
        What to time, in the order of their first runs.
    rounds : Rounds
        How often and in which order.
    device : torch.device
        Where the stages run.
    on_progress : callable or None
        Told before every run.
    beside : callable, optional
        Run before and after every sample; returns how long it took [s], of which each cell keeps the mean.

    Returns
    -------
    list of Cell
        One for each job, in the jobs' order.
    """
    total = rounds.runs(len(jobs))
    done = 0
    order = random.Random(rounds.seed)
    first: list[float] = []
    taken: list[list[float]] = [[] for _ in jobs]
    moments: list[list[float]] = [[] for _ in jobs]
    around: list[list[float]] = [[] for _ in jobs]

    def once(job: Job) -> float:
        nonlocal done
        if on_progress is not None:
            on_progress(done, total, job.label)
        done += 1
        return _timed(job, device)

    with _quiet(rounds.threads):
        begin = perf_counter()
        for job in jobs:
            first.append(once(job))
            recent = [once(job) for _ in range(rounds.warmup)]
            job.units = min(job.units_max, block_of(min(recent)))
        for _ in range(rounds.samples):
            before_s = None if beside is None else beside()
            for number in order.sample(range(len(jobs)), len(jobs)):
                moments[number].append(perf_counter() - begin)
                taken[number].append(once(jobs[number]))
                if beside is not None and before_s is not None:
                    after_s = beside()
                    around[number].append((before_s + after_s) / 2)
                    before_s = after_s
    if on_progress is not None:
        on_progress(total, total, "done")
    return [
        Cell(
            kind=job.key.kind,
            batch=job.key.batch,
            rows=job.key.rows,
            rows_total=job.rows_total,
            codec=job.key.codec,
            first_s=round(first[number], _RESOLUTION),
            samples_s=tuple(round(t, _RESOLUTION) for t in taken[number]),
            at_s=tuple(round(t, 3) for t in moments[number]),
            reference_s=tuple(round(t, _RESOLUTION) for t in around[number]),
        )
        for number, job in enumerate(jobs)
    ]


def _timed(job: Job, device: torch.device) -> float:
    synchronise(device)
    begin = perf_counter()
    job.run(job.units)
    synchronise(device)
    return (perf_counter() - begin) / job.units


def synchronise(device: torch.device) -> None:
    """Wait until an accelerator has done what it was given."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()


@contextmanager
def _quiet(threads: int) -> Iterator[None]:
    """Fixed threads, no gradients, no garbage collector; all as before afterwards."""
    before = torch.get_num_threads()
    collecting = gc.isenabled()
    gc.collect()
    gc.disable()
    torch.set_num_threads(threads)
    try:
        with torch.no_grad():
            yield
    finally:
        torch.set_num_threads(before)
        if collecting:
            gc.enable()
