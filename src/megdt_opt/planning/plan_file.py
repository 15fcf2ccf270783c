"""Reading a saved plan: everything that can be derived is derived again and compared."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np

from megdt_opt.certificate.certificate import Certificate
from megdt_opt.errors import InvalidInput, MegdtError
from megdt_opt.files import read_json
from megdt_opt.planning.baselines import Baseline
from megdt_opt.planning.plan import FORMAT, Plan, user_plan
from megdt_opt.planning.robustness import Robustness
from megdt_opt.problem.allocation_problem import evaluate
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.scenario.options import Machines, OptionTable
from megdt_opt.scenario.scenario import Scenario
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.tolerances import EXACT

_REMEDY = "Make the plan again with `megdt-opt plan`."


def read_plan(path: Path) -> Plan:
    """Read and check a plan; raises as `Plan.load` does."""
    data = read_json(path, "plan file", fmt=FORMAT, remedy=_REMEDY)
    try:
        return _plan(data)
    except InvalidInput as error:
        raise error.within(str(path)) from None
    except MegdtError:
        raise
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise InvalidInput("plan file", str(path), "all fields of a plan", f"Look at {error}. {_REMEDY}") from None


def _plan(data: dict[str, Any]) -> Plan:
    scenario = Scenario(**data["scenario"])
    # the embedded profiles are the stretched ones, so the scenario's own stretch is not applied again
    profiles = data["profiles"]
    table = OptionTable.build(
        scenario,
        spec=ModelSpec.from_dict(data["spec"]),
        machines=Machines(
            edge=TimingProfile.from_dict(profiles["edge"]),
            devices=tuple(TimingProfile.from_dict(profile) for profile in profiles["devices"]),
        ),
    )
    count = len(scenario.users)
    lists = {key: data[key] for key in ("options", "downlink_hz", "uplink_hz", "edge_share", "latency_s")}
    for key, values in lists.items():
        if not isinstance(values, list) or len(values) != count:
            raise InvalidInput(key, values, f"a list of {count} values, one per user", _REMEDY)
    option = np.array([table.index(str(name)) for name in data["options"]])
    down, up, share = (np.array(data[key], dtype=float) for key in ("downlink_hz", "uplink_hz", "edge_share"))
    problem = table.problem()
    found = evaluate(problem, option, down, up, share)
    if found.violation > EXACT:
        raise InvalidInput("shares", found.violation, "shares that keep every budget and limit", _REMEDY)
    stated = float(data["objective_s"])
    if not abs(found.objective_s - stated) <= EXACT * abs(found.objective_s):
        raise InvalidInput(
            "objective_s", stated, f"{found.objective_s!r} s, which its options and shares give", _REMEDY
        )
    proof = data["certificate"]
    certificate = None if proof is None else Certificate.from_dict(proof)
    if certificate is not None and not certificate.verify(problem).holds:
        raise InvalidInput("certificate", certificate.bound_s, "a proof of its bound for this plan's problem", _REMEDY)
    robust = data["robustness"]
    return Plan(
        table=table,
        users=tuple(user_plan(table, problem, k, int(option[k]), down, up, share) for k in range(count)),
        objective_s=found.objective_s,
        lower_bound_s=float(data["lower_bound_s"]),
        gap=float(data["gap"]),
        status=str(data["status"]),
        method=str(data["method"]),
        solve_s=float(data["solve_s"]),
        certificate=certificate,
        baselines=tuple(Baseline.from_dict(b) for b in data["baselines"]),
        robustness=None if robust is None else Robustness(**{**robust, "survives": tuple(robust["survives"])}),
        notes=tuple(data["notes"]),
    )
