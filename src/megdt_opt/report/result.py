"""result.json: everything that was planned and measured, in plain data."""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from typing import Any

from megdt_opt.execution.record import Execution
from megdt_opt.pictures import Picture
from megdt_opt.planning import Plan
from megdt_opt.raw_check import RawCheck
from megdt_opt.stages import leaves
from megdt_opt.verification import Verification


def result_text(
    plan: Plan,
    execution: Execution | None,
    verification: Verification | None,
    pictures: Sequence[Picture],
    raw: Sequence[RawCheck],
) -> str:
    """Strict JSON; what is infinite or unknown is null."""
    machines = plan.table.machines
    data: dict[str, Any] = {
        "scenario": plan.scenario.name,
        "objective": plan.scenario.objective,
        "objective_s": plan.objective_s,
        "lower_bound_s": plan.lower_bound_s,
        "gap": plan.gap,
        "status": plan.status,
        "method": plan.method,
        "solve_s": plan.solve_s,
        "users": [
            {
                "name": u.name,
                "option": u.option.name,
                "mechanism": u.option.mechanism,
                "protocol": u.option.protocol,
                "cut": u.option.cut,
                "precision": u.option.precision,
                "downlink_hz": u.downlink_hz,
                "uplink_hz": u.uplink_hz,
                "edge_share": u.edge_share,
                "latency_s": u.latency_s,
                "refresh_hz": u.refresh_hz,
                "bottleneck": u.bottleneck,
                "stages": [
                    {"stage": leaf.label, "start_s": t.start_s, "duration_s": t.duration_s}
                    for leaf, t in zip(leaves(u.program), u.stages, strict=True)
                ],
            }
            for u in plan.users
        ],
        "baselines": [b.to_dict() for b in plan.baselines],
        "robustness": None if plan.robustness is None else plan.robustness.to_dict(),
        "notes": list(plan.notes),
        "execution": None if execution is None else _execution(execution),
        "verification": None if verification is None else verification.to_dict(),
        "raw": [r.to_dict() for r in raw],
        "pictures": [
            {
                "user": p.user,
                "option": p.option,
                "identical_to_unsplit": p.identical,
                "psnr_db": p.psnr_db,
                "objects_read": p.found,
                "objects": p.objects,
            }
            for p in pictures
        ],
        "provenance": {
            "edge": machines.edge.provenance.to_dict(),
            "devices": [profile.provenance.to_dict() for profile in machines.devices],
        },
    }
    return json.dumps(_strict(data), indent=1, allow_nan=False) + "\n"


def _execution(execution: Execution) -> dict[str, Any]:
    return {
        "mode": execution.mode,
        "stretch": dict(execution.stretch),
        "predicted_s": execution.predicted_s,
        "measured_s": execution.measured_s,
        "error_percent": execution.error_percent,
        "overruns": len(execution.overruns),
        "busy_fraction": execution.busy_fraction,
        "environment": dict(execution.environment),
        "stages": [
            {
                "user": r.user,
                "stage": r.label,
                "predicted_start_s": r.predicted_start_s,
                "predicted_s": r.predicted_duration_s,
                "measured_start_s": r.start_s,
                "measured_s": r.end_s - r.start_s,
                "busy_s": r.busy_s,
                "waiting_s": r.waiting_s,
                "serialise_s": r.serialise_s,
                "overrun_s": r.overrun_s,
                "payload_byte": r.payload_byte,
            }
            for r in execution.rows
        ],
    }


def _strict(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(k): _strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple):
        return [_strict(v) for v in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
