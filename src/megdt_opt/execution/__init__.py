"""Execution of stage programs: a process per actor, paced links, reserved shares, stamped stages.

`Cluster` runs programs; its processes load torch, the coordinator does not.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from megdt_opt.execution.job import Chain, ExecutionOptions, Probe, Run
from megdt_opt.execution.record import Execution, Fault, StageRow
from megdt_opt.models.registry import DEFAULT_MODEL
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.schedule import Pace, StageTime

if TYPE_CHECKING:
    from megdt_opt.execution.cluster import Cluster
    from megdt_opt.execution.link_check import LinkCheck, check_link

_NEEDS_GRPC = {"Cluster": "cluster", "LinkCheck": "link_check", "check_link": "link_check"}

__all__ = [
    "DEFAULT_MODEL",
    "Chain",
    "Cluster",
    "Execution",
    "ExecutionOptions",
    "Fault",
    "LinkCheck",
    "Pace",
    "Probe",
    "Run",
    "SplitModel",
    "StageRow",
    "StageTime",
    "check_link",
]


def __getattr__(name: str) -> Any:
    # grpc comes with an extra; records can be read without it
    if name in _NEEDS_GRPC:
        return getattr(importlib.import_module(f"megdt_opt.execution.{_NEEDS_GRPC[name]}"), name)
    raise AttributeError(f"module 'megdt_opt.execution' has no attribute {name!r}")
