"""From a plan, or a rival of it, to the runs that the executor takes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from megdt_opt.execution.job import Chain, Run
from megdt_opt.models.requests import camera_of, request_of
from megdt_opt.planning.baselines import Baseline
from megdt_opt.planning.plan import UserPlan, user_plan
from megdt_opt.program.schedule import Pace
from megdt_opt.program.stages import Compute, leaves
from megdt_opt.scenario.options import OptionTable


def user_runs(table: OptionTable, users: Sequence[UserPlan]) -> list[Run]:
    """Runs of these users' programs at their shares."""
    scenario = table.scenario
    runs = []
    for k, (user, chosen) in enumerate(zip(scenario.users, users, strict=True)):
        runs.append(
            Run.of_user(
                Chain(
                    name=user.name,
                    device=user.name,
                    request=request_of(user.scene, table.spec.name),
                    camera=camera_of(user.scene, table.spec.name) if user.senses else None,
                    seed=user.seed,
                ),
                chosen.program,
                Pace(
                    uplink_bit_per_s=chosen.uplink_bit_per_s,
                    downlink_bit_per_s=chosen.downlink_bit_per_s,
                    edge_share=chosen.edge_share,
                ),
                scheduler=scenario.scheduler,
                steps=scenario.steps,
                propagation_s=scenario.channel.propagation_s,
                predicted=chosen.stages,
                slot_s=tuple(
                    table.machines.compute_s(leaf, k) if isinstance(leaf, Compute) else 0.0
                    for leaf in leaves(chosen.program)
                ),
            )
        )
    return runs


def baseline_users(table: OptionTable, rival: Baseline) -> tuple[UserPlan, ...]:
    """A baseline's users, in the form of a plan's."""
    problem = table.waived_problem()
    down, up, share = (np.array(v) for v in (rival.downlink_hz, rival.uplink_hz, rival.edge_share))
    return tuple(
        user_plan(table, problem, k, table.index(name), down, up, share) for k, name in enumerate(rival.options)
    )
