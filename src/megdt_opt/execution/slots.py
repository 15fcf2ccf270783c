"""A compute stage in its reserved slot."""

from __future__ import annotations

import time
from typing import Any

import torch

from megdt_opt.execution.clock import Ended, wait_until
from megdt_opt.execution.run_state import RunState, Walk
from megdt_opt.program.stages import Compute


def run_compute(
    session: RunState, walk: Walk, leaf: Compute, index: int, ready_s: float
) -> tuple[dict[str, Any], Ended]:
    """Execute a compute stage.

    In paced mode each piece (a denoising step, or the whole stage) has a slot on an absolute schedule
    that begins at `ready_s`: the real compute runs at its beginning, the rest is waited. In raw mode a
    piece that took m seconds is followed by (1/share - 1) m of waiting, which is the reserved share. In kernel mode
    pieces follow each other at once, and the quota of the process makes them wait.

    A share is a rate of service, and pieces of other users cannot be interrupted: a short stage may
    have to wait for one and end late, and the next catches up. So the next compute stage of a chain
    keeps to the schedule; only what leaves the actor leaves it late. In packet scheduling this is
    known as packetised processor sharing, late by one piece of another user at most.

    Returns
    -------
    row : dict
        Stamps of the stage.
    ended : Ended
        When what follows may begin.
    """
    walk.store(index)
    pieces = walk.work(index).pieces(leaf)
    stop = walk.stops[index]
    share = walk.run.pace[index]
    slot_s = walk.run.slot_s[index] / share / len(pieces)
    paced = session.options.mode == "paced"
    wait_until(ready_s, stop)
    start_s, process_s = time.monotonic(), time.process_time()
    busy_s = cpu_s = waiting_s = 0.0
    late = 0
    due_s = ready_s
    for number, piece in enumerate(pieces, start=1):
        due_s = ready_s + number * slot_s
        asked = time.monotonic()
        with session.turns.turn(due_s, stop):
            begin, used_s = time.monotonic(), time.thread_time()
            with torch.no_grad():
                piece()
            end = time.monotonic()
            cpu_s += time.thread_time() - used_s
        waiting_s += begin - asked
        busy_s += end - begin
        if paced:
            late += end > due_s + session.options.slack_s
            wait_until(due_s, stop)
        elif session.options.mode == "raw":
            wait_until(end + (1 / share - 1) * (end - begin), stop)
    end_s = time.monotonic()
    if session.options.mode == "kernel":
        cpu_s = time.process_time() - process_s
    overrun_s = max(0.0, end_s - due_s) if paced else 0.0
    if overrun_s <= session.options.slack_s:
        overrun_s = 0.0  # wake-up jitter, which the absolute schedule absorbs
    row = {
        "start_s": start_s - session.start_s,
        "end_s": end_s - session.start_s,
        "busy_s": busy_s,
        "cpu_s": cpu_s,
        "waiting_s": waiting_s + start_s - ready_s,
        "overrun_s": overrun_s,
        "late_steps": late,
    }
    if not paced:
        return row, Ended(end_s, end_s)
    return row, Ended(due_s, due_s if overrun_s == 0 else end_s)
