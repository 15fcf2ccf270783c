"""The metrics of a run, a row each: users, stages, actors, faults."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from megdt_opt.execution.record import Execution


def metrics_of(run: Execution) -> Iterator[dict[str, Any]]:
    """Rows of plain data; what is undefined is None. Units are in the names.

    Examples
    --------
    >>> from megdt_opt import Execution
    >>> from megdt_opt.trials.metrics import metrics_of
    >>> list(metrics_of(Execution(rows=(), mode="raw", stretch={}, environment={}, cpu_s={"edge": 1.5})))
    [{'metric': 'run', 'mode': 'raw', 'users': 0, 'stages': 0}, {'metric': 'actor', 'actor': 'edge', 'cpu_s': 1.5}]
    """
    yield {"metric": "run", "mode": run.mode, "users": len(run.users), "stages": len(run.rows)}
    predicted, measured, error = run.predicted_s, run.measured_s, run.error_percent
    for user in run.users:
        yield {
            "metric": "user",
            "user": user,
            "predicted_s": predicted[user],
            "measured_s": measured[user],
            "error_percent": error[user] if math.isfinite(error[user]) else None,
        }
    for row in run.rows:
        yield {
            "metric": "stage",
            "user": row.user,
            "index": row.index,
            "stage": row.label,
            "actor": row.actor,
            "start_s": row.start_s,
            "end_s": row.end_s,
            "busy_s": row.busy_s,
            "cpu_s": row.cpu_s,
            "waiting_s": row.waiting_s,
            "overrun_s": row.overrun_s,
            "payload_byte": row.payload_byte,
        }
    for actor, cpu_s in run.cpu_s.items():
        yield {"metric": "actor", "actor": actor, "cpu_s": cpu_s}
    for fault in run.faults:
        yield {"metric": "fault", "user": fault.user, "at_s": fault.at_s, "fell_back": fault.fell_back,
               "cause": fault.cause}  # fmt: skip
