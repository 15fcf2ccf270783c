"""The timing loop on a clock of its own: what it keeps, in which order, and what drift does to it."""

from __future__ import annotations

import gc

import pytest
import torch

from megdt_opt.calibration.timing_loop import Job, Rounds, take
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import StageKey
from megdt_opt.timing.fit import affine_fit
from megdt_opt.timing.profile import Cell

pytestmark = pytest.mark.alone  # times of the machine


class Machine:
    """Seconds pass only in stages; it may slow down as they pass."""

    def __init__(self, slowdown_per_s: float = 0.0) -> None:
        self.now = 0.0
        self.slowdown_per_s = slowdown_per_s
        self.ran: list[tuple[str, int]] = []
        self.collecting: list[bool] = []
        self.threads: list[int] = []

    def job(self, batch: int, cost_s: float, units_max: int = 1, first_extra_s: float = 0.0) -> Job:
        extra = [first_extra_s]

        def run(units: int) -> None:
            self.now += units * cost_s * (1.0 + self.slowdown_per_s * self.now) + extra[0]
            extra[0] = 0.0
            self.ran.append((str(batch), units))
            self.collecting.append(gc.isenabled())
            self.threads.append(torch.get_num_threads())

        return Job(key=StageKey(kind=Kind.DENOISE, batch=batch), run=run, units_max=units_max)


@pytest.fixture
def machine(monkeypatch: pytest.MonkeyPatch) -> Machine:
    made = Machine()
    monkeypatch.setattr("megdt_opt.calibration.timing_loop.perf_counter", lambda: made.now)
    return made


def run(machine: Machine, jobs: list[Job], samples: int = 8, warmup: int = 2, seed: int = 0) -> list[Cell]:
    rounds = Rounds(samples=samples, warmup=warmup, threads=1, seed=seed)
    return take(jobs, rounds, device=torch.device("cpu"), on_progress=None)


def test_every_sample_is_kept_and_the_first_run_is_apart(machine: Machine) -> None:
    cell = run(machine, [machine.job(1, 0.2, first_extra_s=3.0)])[0]
    assert cell.first_s == pytest.approx(3.2)
    assert cell.samples_s == pytest.approx((0.2,) * 8)
    assert len(machine.ran) == 1 + 2 + 8
    assert list(cell.at_s) == sorted(cell.at_s)


def test_short_steps_are_averaged_over_a_tenth_of_a_second_and_long_ones_are_not(machine: Machine) -> None:
    cells = run(machine, [machine.job(1, 0.03, units_max=20), machine.job(2, 0.5, units_max=20)])
    assert cells[0].samples_s == pytest.approx((0.03,) * 8)
    assert {units for batch, units in machine.ran[6:] if batch == "1"} == {4}
    assert {units for batch, units in machine.ran if batch == "2"} == {1}


def test_a_stage_that_a_plan_runs_once_is_never_looped(machine: Machine) -> None:
    run(machine, [machine.job(1, 0.001)])
    assert {units for _, units in machine.ran} == {1}


def test_cells_take_turns_in_random_order(machine: Machine) -> None:
    jobs = [machine.job(n, 0.2) for n in (1, 2, 3, 4)]
    run(machine, jobs, samples=6)
    order = [batch for batch, _ in machine.ran[12:]]
    rounds = [order[i : i + 4] for i in range(0, len(order), 4)]
    assert all(sorted(part) == ["1", "2", "3", "4"] for part in rounds)
    assert len({tuple(part) for part in rounds}) > 1


def test_drift_does_not_look_like_a_cost_of_the_batch(machine: Machine) -> None:
    machine.slowdown_per_s = 0.002  # 30 % slower at the end
    sizes = (1, 2, 4, 8)
    cells = run(machine, [machine.job(n, 0.04 * n + 0.1) for n in sizes], samples=40)
    fit = affine_fit([c.batch for c in cells], [c.samples_s for c in cells])
    assert machine.now > 30
    assert fit.b_s / fit.a_s == pytest.approx(0.1 / 0.04, rel=0.05)
    assert fit.misfit < 0.01


def test_the_collector_and_the_threads_are_as_before_afterwards(machine: Machine) -> None:
    before = torch.get_num_threads()
    run(machine, [machine.job(1, 0.2)])
    assert gc.isenabled()
    assert not any(machine.collecting)
    assert set(machine.threads) == {1}
    assert torch.get_num_threads() == before


def test_they_are_so_after_a_failure_too(machine: Machine) -> None:
    def fail(_: int) -> None:
        raise MemoryError

    with pytest.raises(MemoryError):
        run(machine, [Job(key=StageKey(kind=Kind.DECODE), run=fail)])
    assert gc.isenabled()
    assert torch.is_grad_enabled()


def test_progress_counts_every_run(machine: Machine) -> None:
    seen: list[tuple[int, int]] = []
    take(
        [machine.job(n, 0.2) for n in (1, 2)],
        Rounds(samples=3, warmup=1, threads=1, seed=0),
        device=torch.device("cpu"),
        on_progress=lambda done, total, _: seen.append((done, total)),
    )
    assert seen == [(n, 10) for n in range(11)]
