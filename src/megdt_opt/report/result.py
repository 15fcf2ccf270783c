"""result.json: everything that was planned and measured, as strict JSON."""

from __future__ import annotations

import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from importlib import metadata
from typing import Any

import numpy as np

from megdt_opt.execution.record import Execution
from megdt_opt.planning.baselines import missing
from megdt_opt.planning.groups import GroupPlan
from megdt_opt.planning.plan import Plan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.stages import leaves
from megdt_opt.report.facts import best_single, error_summary, headline, mechanisms, times_the_plan
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.trials.costs import measured_costs
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import Verification
from megdt_opt.verdict.verdict import Verdict

FORMAT = "megdt-opt result 1"


def result_text(
    plan: Plan,
    execution: Execution | None = None,
    verification: Verification | None = None,
    pictures: Sequence[Picture] = (),
    raw: Sequence[RawCheck] = (),
    verdict: Verdict | None = None,
) -> str:
    """The file's text; what is infinite or undefined is null, units are in the names."""
    data = {
        "format": FORMAT,
        "version": _version(),
        "verdict": None if verdict is None else verdict.to_dict(),
        "headline": headline(plan, execution, verification),
        **_plan(plan),
        "execution": None if execution is None else _execution(plan, execution),
        "verification": None if verification is None else _verification(verification),
        "raw": [check.to_dict() for check in raw],
        "pictures": [
            {
                "user": p.user,
                "option": p.option,
                "identical_to_unsplit": p.identical,
                "psnr_db": p.psnr_db,
                "identical_to_replay": None if p.replayed_db is None else math.isinf(p.replayed_db),
                "objects_read": p.found,
                "objects": p.objects,
            }
            for p in pictures
        ],
        "provenance": _provenance(plan),
    }
    return json.dumps(strict(data), indent=1, allow_nan=False, ensure_ascii=False) + "\n"


def strict(value: Any) -> Any:
    """Plain data that strict JSON can hold; NaN and infinities become None."""
    if isinstance(value, Mapping):
        return {str(k): strict(v) for k, v in value.items()}
    if isinstance(value, list | tuple | np.ndarray):
        return [strict(v) for v in value]
    if isinstance(value, bool | np.bool_):
        return bool(value)
    if isinstance(value, int | np.integer):
        return int(value)
    if isinstance(value, float | np.floating):
        return float(value) if math.isfinite(value) else None
    if value is None or isinstance(value, str):
        return value
    raise TypeError(f"result.json cannot hold a {type(value).__name__}")


def _version() -> str | None:
    try:
        return metadata.version("megdt-opt")
    except metadata.PackageNotFoundError:
        return None


def _plan(plan: Plan) -> dict[str, Any]:
    single = best_single(plan)
    return {
        "scenario": plan.scenario.name,
        "scenario_data": plan.scenario.model_dump(mode="json", exclude_none=True),
        "objective": plan.scenario.objective,
        "objective_unit": "s" if plan.scenario.objective_is_time else "1",
        "objective_s": plan.objective_s,
        "lower_bound_s": plan.lower_bound_s,
        "gap": plan.gap,
        "status": plan.status,
        "method": plan.method,
        "bound_source": plan.bound_source,
        "solve_s": plan.solve_s,
        "mechanisms": mechanisms(plan),
        "users": [_user(plan, k, user) for k, user in enumerate(plan.users)],
        "groups": [_group(group) for group in plan.groups],
        "baselines": [b.to_dict() | {"times_the_plan": times_the_plan(plan, b.objective_s)} for b in plan.baselines],
        "missing_baselines": missing(plan.table) if plan.baselines else {},
        "best_single_mechanism": None if single is None else single.name,
        "speed_up": None if single is None else times_the_plan(plan, single.objective_s),
        "robustness": None if plan.robustness is None else plan.robustness.to_dict(),
        "edge_resident_byte": {name: byte for name, (byte, _) in plan.edge_resident.items()},
        "edge_part_byte": plan.edge_parts,
        "edge_load_s": {name: seconds for name, (_, seconds) in plan.edge_resident.items()},
        "notes": plan.notes,
    }


def _group(group: GroupPlan) -> dict[str, Any]:
    names = (
        "members", "riders", "receivers", "lead", "steps", "hosted", "precision", "reserve", "uplink_hz", "edge_share",
        "multicast_hz", "multicast_bit_per_s", "similarity", "alike",
    )  # fmt: skip
    stages = [{"stage": name, "start_s": time.start_s, "duration_s": time.duration_s} for name, time in group.shared]
    return {name: getattr(group, name) for name in names} | {"stages": stages}


def _user(plan: Plan, k: int, user: UserPlan) -> dict[str, Any]:
    table = plan.table
    return {
        "name": user.name,
        "edge": user.edge,
        "option": user.option.name,
        "mechanism": user.option.mechanism,
        "protocol": user.option.protocol,
        "cut": user.option.cut,
        **({"back": user.option.back} if user.option.back else {}),
        "share_at_edge": user.option.share,
        "precision": user.option.precision,
        "codec": user.option.codec,
        "hand_over": user.hand_over,
        "downlink_hz": user.downlink_hz,
        "uplink_hz": user.uplink_hz,
        "downlink_bit_per_s": user.downlink_bit_per_s,
        "uplink_bit_per_s": user.uplink_bit_per_s,
        "edge_share": user.edge_share,
        **({} if user.batched is None else {"batches": asdict(user.batched) | {"waiting_s": user.batched.waiting_s}}),
        **({} if user.turn is None else {"turn": asdict(user.turn) | {"waiting_s": user.turn.waiting_s}}),
        "latency_s": user.latency_s,
        "refresh_hz": user.refresh_hz,
        "bottleneck": user.bottleneck,
        "survives_calibration": None if plan.robustness is None else plan.robustness.survives[k],
        "costs": asdict(user.costs),
        "quality": None if user.quality is None else {name: asdict(figure) for name, figure in user.quality.items()},
        "stages": [
            {"stage": leaf.label, "start_s": time.start_s, "duration_s": time.duration_s}
            for leaf, time in zip(leaves(user.program), user.stages, strict=True)
        ],
        "options_open": int(table.allowed[k].sum()),
        "options": len(table.options),
        "ruled_out": table.summary(k),
    }


def _execution(plan: Plan, execution: Execution) -> dict[str, Any]:
    errors = error_summary(plan, execution)
    return {
        "mode": execution.mode,
        "stretch": execution.stretch,
        "objective_predicted_s": errors.predicted_s,
        "objective_measured_s": errors.measured_s,
        "objective_error_percent": errors.objective_percent,
        "median_error_percent": errors.median_percent,
        "largest_error_percent": errors.largest_percent,
        "predicted_s": execution.predicted_s,
        "measured_s": execution.measured_s,
        "error_percent": execution.error_percent,
        "overruns": len(execution.overruns),
        "late_steps": sum(row.late_steps for row in execution.rows),
        "faults": [asdict(fault) for fault in execution.faults],
        "busy_fraction": execution.busy_fraction,
        "wall_s": execution.wall_s,
        "cpu_s": execution.cpu_s,
        "costs": [asdict(costs) for costs in measured_costs(plan, execution)],
        "environment": execution.environment,
        "stages": [
            {
                "user": row.user,
                "index": row.index,
                "stage": row.label,
                "actor": row.actor,
                "kind": row.kind,
                "predicted_start_s": row.predicted_start_s,
                "predicted_s": row.predicted_duration_s,
                "measured_start_s": row.start_s,
                "measured_s": row.end_s - row.start_s,
                "error_s": row.end_s - row.start_s - row.predicted_duration_s,
                "busy_s": row.busy_s,
                "waiting_s": row.waiting_s,
                "serialise_s": row.serialise_s,
                "overrun_s": row.overrun_s,
                "late_steps": row.late_steps,
                "copies": row.copies,
                "shared": row.shared,
                "fallback": row.fallback,
                "payload_byte": row.payload_byte,
            }
            for row in execution.rows
        ],
    }


def _verification(verification: Verification) -> dict[str, Any]:
    plain = verification.to_dict()
    plain["sets"] = [
        {**each, "median_s": found.median_s} for each, found in zip(plain["sets"], verification.sets, strict=True)
    ]
    plain["misses"] = [
        {**each, "within_noise": found.within_noise}
        for each, found in zip(plain["misses"], verification.misses, strict=True)
    ]
    return plain


def _provenance(plan: Plan) -> dict[str, Any]:
    machines = plan.table.machines

    def one(profile: TimingProfile) -> dict[str, Any]:
        return {"device": profile.device, "model": profile.model, **profile.provenance.to_dict()}

    edges = [{"name": str(name), **one(profile)} for name, profile in machines.edges.items()]
    return {
        **({"edge": edges[0]} if len(edges) == 1 else {"edges": edges}),
        "devices": [
            {"user": user.name, **one(profile)}
            for user, profile in zip(plan.scenario.users, machines.devices, strict=True)
        ],
    }
