"""Execution of stage programs: a process per actor, paced links, reserved shares, stamped stages.

`Cluster` runs programs; its processes load torch, the coordinator does not.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from megdt_opt.execution.job import ExecutionOptions, Probe, StageTime, UserRun
from megdt_opt.execution.model import DEFAULT_MODEL, SplitModel
from megdt_opt.execution.record import Execution, StageRow

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster

__all__ = [
    "DEFAULT_MODEL",
    "Cluster",
    "Execution",
    "ExecutionOptions",
    "Probe",
    "SplitModel",
    "StageRow",
    "StageTime",
    "UserRun",
]


def __getattr__(name: str) -> Any:
    # grpc comes with an extra; records can be read without it
    if name == "Cluster":
        from megdt_opt.execution.cluster import Cluster

        return Cluster
    raise AttributeError(f"module 'megdt_opt.execution' has no attribute {name!r}")
