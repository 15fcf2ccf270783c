"""Steps of several chains in one pass of the model, at the edge: a batch waits for its members and for its turn."""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch

from megdt_opt.errors import ExecutionError, InvalidInput
from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.clock import Ended, Stopped, Turns, wait_until
from megdt_opt.execution.job import ExecutionOptions
from megdt_opt.execution.run_state import RunState, Walk
from megdt_opt.execution.stage_work import StageWork
from megdt_opt.models.split_model import SplitModel, TogetherModel
from megdt_opt.program.batches import batch_s
from megdt_opt.program.stages import Compute

_LOOK_S = 0.05
"""A member that waits looks this often whether it was given up [s]."""


def together(model: SplitModel) -> TogetherModel:
    """The model as one that makes steps of several chains in one pass; raises InvalidInput where it does not."""
    if not isinstance(model, TogetherModel):
        expected = "one with `denoise_together` (megdt_opt.models.split_model.TogetherModel)"
        raise InvalidInput(
            "model", type(model).__name__, expected, 'Add it, or choose "reserved" or "in_turns" for the edge.'
        )
    return model


@dataclass(frozen=True)
class Member:
    """A chain that has come to a batch: its stages, the leaf, the step it makes, and when it could begin [s]."""

    work: StageWork
    leaf: Compute
    step: int
    ready_s: float


@dataclass(frozen=True)
class Made:
    """A batch that was made, on the monotonic clock [s]: begin, end of its slot and of its pass, its members' number,
    and by chain what went wrong with a member."""

    begin_s: float
    due_s: float
    end_s: float
    busy_s: float
    cpu_s: float
    chains: int
    late: bool
    failed: Mapping[str, Exception]


class BatchSteps:
    """The batches of a run at one edge server.

    The thread of whichever member completes a batch makes it; the others wait for it. Where the pass fails, each member
    makes its step by itself, so that a fault is that of its chain alone.

    Parameters
    ----------
    schedule : BatchSchedule
        What was planned.
    model : SplitModel
        The model.
    options : ExecutionOptions
        How the run is made.
    turns : Turns
        The process's turn at the processor.
    """

    def __init__(self, schedule: BatchSchedule, model: SplitModel, options: ExecutionOptions, turns: Turns) -> None:
        self.schedule = schedule
        self._model = together(model)
        self._options = options
        self._turns = turns
        self._change = threading.Condition()
        self._members = [set(batch) for batch in schedule.batches]
        self._here: list[dict[str, Member]] = [{} for _ in schedule.batches]
        self._made: dict[int, Made] = {}
        self._next = 0
        self._busy = False
        self._free_s = 0.0

    def start(self, start_s: float) -> None:
        """Count the schedule from a common start on the monotonic clock [s]."""
        self._free_s = start_s + self.schedule.start_s

    def leave(self, chain: str) -> None:
        """Give a chain's batches up that have not begun; the others of them no longer wait for it."""
        with self._change:
            for number in range(self._next + self._busy, len(self._members)):
                self._members[number].discard(chain)
            self._skip()
            self._change.notify_all()

    def make(self, number: int, chain: str, member: Member, stop: threading.Event) -> Made:
        """Wait for a batch that a chain is in, and make it if all others are there.

        Raises
        ------
        Stopped
            If the chain's stage is given up meanwhile.
        ExecutionError
            If the chain's step failed.
        """
        with self._change:
            self._here[number][chain] = member
            self._change.notify_all()
            while not self._ready(number):
                if number in self._made:
                    return self._of(number, chain)
                if stop.is_set():
                    raise Stopped
                self._change.wait(_LOOK_S)
            self._busy = True
            members = {name: self._here[number][name] for name in sorted(self._members[number])}
        made: Made | None = None
        try:
            made = self._run(members, stop)
        finally:
            with self._change:
                self._busy = False
                if made is not None:
                    self._made[number], self._free_s = made, made.due_s
                    self._next += 1
                self._skip()
                self._change.notify_all()
        return self._of(number, chain)

    def _of(self, number: int, chain: str) -> Made:
        """A batch that was made, for one of its chains; raises ExecutionError where its step failed."""
        made = self._made[number]
        if chain in made.failed:
            raise ExecutionError(f"batch {number}: {made.failed[chain]}") from made.failed[chain]
        return made

    def _ready(self, number: int) -> bool:
        return number == self._next and not self._busy and self._members[number] <= self._here[number].keys()

    def _skip(self) -> None:
        """Leave out batches that nobody is left in; to be called with the lock held."""
        while self._next < len(self._members) and not self._members[self._next] and not self._busy:
            self._next += 1

    def _run(self, members: Mapping[str, Member], stop: threading.Event) -> Made:
        """Make a batch in its slot."""
        begin_s = max(self._free_s, *(member.ready_s for member in members.values()))
        due_s = begin_s + batch_s(self.schedule.slope_s, self.schedule.base_s, len(members))
        wait_until(begin_s, stop)
        with self._turns.turn(due_s, stop):
            started_s, used_s = time.monotonic(), time.thread_time()
            failed = self._steps(members)
            end_s, cpu_s = time.monotonic(), time.thread_time() - used_s
        paced = self._options.mode == "paced"
        late = paced and end_s > due_s + self._options.slack_s
        if paced:
            wait_until(due_s, threading.Event())  # what is made is made, whoever is given up meanwhile
        else:
            due_s = end_s
        return Made(started_s, due_s, max(end_s, due_s), end_s - started_s, cpu_s, len(members), late, failed)

    def _steps(self, members: Mapping[str, Member]) -> dict[str, Exception]:
        """A step of each member in one pass or, where that fails, of each by itself; what went wrong, by chain."""
        try:
            self._pass(list(members.values()))
        except Exception as error:  # whatever a member's items do to the model is that member's fault
            if len(members) == 1:
                return dict.fromkeys(members, error)
            return {chain: fault for one in members.items() for chain, fault in self._steps(dict([one])).items()}
        return {}

    def _pass(self, members: list[Member]) -> None:
        """One pass of the model; nobody's state changes where it fails."""
        items = [member.work.before(member.leaf) for member in members]
        with torch.no_grad():
            after = self._model.denoise_together(
                [state for state, _ in items], [conditioning for _, conditioning in items],
                schedulers=[member.work.scheduler for member in members], steps=members[0].work.run.steps,
                at=[member.step for member in members],
            )  # fmt: skip
        for member, state in zip(members, after, strict=True):
            member.work.after(member.leaf, state)


def run_batched(
    session: RunState, batches: BatchSteps, walk: Walk, leaf: Compute, index: int, ready_s: float
) -> tuple[dict[str, Any], Ended]:
    """Execute a denoising stage whose steps are made in batches; returns stamps and when what follows may begin.

    Real compute counts for each member in equal parts.
    """
    walk.store(index)
    stop, chain = walk.stops[index], walk.run.chain[index]
    wait_until(ready_s, stop)
    made: list[Made] = []
    due_s = ready_s
    for step, number in enumerate(batches.schedule.numbers(chain), start=leaf.first):
        made.append(batches.make(number, chain, Member(walk.work(index), leaf, step, due_s), stop))
        due_s = made[-1].due_s
    end_s = time.monotonic()
    overrun_s = max(0.0, end_s - due_s) if session.options.mode == "paced" else 0.0
    if overrun_s <= session.options.slack_s:
        overrun_s = 0.0
    row = {
        "start_s": made[0].begin_s - session.start_s,
        "end_s": end_s - session.start_s,
        "busy_s": sum(one.busy_s / one.chains for one in made),
        "cpu_s": sum(one.cpu_s / one.chains for one in made),
        "waiting_s": made[0].begin_s - ready_s,
        "overrun_s": overrun_s,
        "late_steps": sum(one.late for one in made),
        "step_s": [[one.begin_s - session.start_s, one.end_s - session.start_s] for one in made],
    }
    if session.options.mode == "raw":
        return row, Ended(end_s, end_s)
    return row, Ended(due_s, due_s if overrun_s == 0 else end_s)
