"""From a plan, or a rival of it, to the runs that the executor takes."""

from __future__ import annotations

from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

from megdt_opt.execution.batch_schedule import BatchSchedule
from megdt_opt.execution.job import Chain, Run
from megdt_opt.models.requests import camera_of, request_of
from megdt_opt.planning.baselines import RESERVED_SHARES, Baseline
from megdt_opt.planning.groups import GROUP_SHARES, GroupPlan, group_plans
from megdt_opt.planning.in_batches import batches_of_users
from megdt_opt.planning.user_plan import UserPlan, user_plan
from megdt_opt.program.schedule import Pace, schedule
from megdt_opt.program.stages import Compute, Stage, leaves
from megdt_opt.scenario.options import OptionTable
from megdt_opt.scenario.scenario import User


def user_runs(table: OptionTable, users: Sequence[UserPlan], groups: Sequence[GroupPlan] = ()) -> list[Run]:
    """Runs of these users' programs at their shares; one for each group that shares steps."""
    scenario = table.scenario
    how: dict[str, Any] = {
        "scheduler": scenario.scheduler,
        "steps": scenario.steps,
        "propagation_s": scenario.channel.propagation_s,
    }
    chains = {user.name: _chain(table, user) for user in scenario.users}
    leads = dict(chains)
    runs = []
    for group in groups:
        members = [chains.pop(name) for name in group.riders]
        more = {**how, "predicted": group.stages, "slot_s": _slots_s(table, group.program.program)}
        runs.append(Run.of_group(group.program, members, group.pace, leads[group.lead], **more))
    for chosen in users:
        if chosen.name not in chains:
            continue
        pace = Pace(
            uplink_bit_per_s=chosen.uplink_bit_per_s,
            downlink_bit_per_s=chosen.downlink_bit_per_s,
            edge_share=chosen.edge_share,
        )
        more = {**how, "predicted": chosen.stages, "slot_s": _slots_s(table, chosen.program)}
        more["turn"] = None if chosen.turn is None else chosen.turn.place
        runs.append(Run.of_user(chains[chosen.name], chosen.program, pace, parts=chosen.parts, **more))
    return runs


def batch_schedule(table: OptionTable, users: Sequence[UserPlan]) -> BatchSchedule | None:
    """The batches in which an edge makes steps of these users; None where it makes none."""
    batches = batches_of_users([user.batched for user in users])
    if not batches:
        return None
    law, edge = table.batch_law(), str(table.sites[0].name)
    return BatchSchedule(
        edge=edge, start_s=min(user.batched.start_s for user in users if user.batched is not None),
        slope_s=law.slope_s, base_s=law.base_s, batches=tuple(tuple(users[k].name for k in batch) for batch in batches),
    )  # fmt: skip


def fallback_runs(table: OptionTable) -> dict[str, Run]:
    """What each user's device runs if it is cut off: the whole generation by itself, where the device can make it.

    A user whose picture is shown at the edge, and one whose device has not the memory or the energy, is not among them.
    """
    found = {}
    for k, user in enumerate(table.scenario.users):
        stages, _ = table.alone(k)
        if stages is not None:
            slots = _slots_s(table, stages)
            found[user.name] = Run.of_user(
                _chain(table, user), stages, Pace(), scheduler=table.scenario.scheduler, steps=table.scenario.steps,
                predicted=schedule(stages, slots), slot_s=slots,
            )  # fmt: skip
    return found


def _chain(table: OptionTable, user: User) -> Chain:
    return Chain(
        name=user.name,
        device=user.name,
        request=request_of(user.subject, table.spec),
        camera=camera_of(user.subject, table.spec, user.picture, user.adapter) if user.senses else None,
        seed=user.seed,
    )


def _slots_s(table: OptionTable, program: Stage) -> tuple[float, ...]:
    return tuple(table.seconds(leaf) if isinstance(leaf, Compute) else 0.0 for leaf in leaves(program))


def baseline_parts(table: OptionTable, rival: Baseline) -> tuple[tuple[UserPlan, ...], tuple[GroupPlan, ...]]:
    """A baseline's users and the groups that share steps in it, in the form of a plan's."""
    table = table.reserved() if rival.name == RESERVED_SHARES else table
    problem = table.problem() if rival.trunk else table.waived_problem()
    start_s = dict(zip(rival.order, rival.start_s, strict=True))
    answer = SimpleNamespace(
        option=[table.index(name) for name in rival.options], downlink_hz=rival.downlink_hz,
        uplink_hz=rival.uplink_hz, edge_share=rival.edge_share, part=rival.part or None, trunk=rival.trunk,
        order=rival.order, start_s=start_s, batches=rival.batches,
        **{share: getattr(rival, share) for share in GROUP_SHARES},
    )  # fmt: skip
    groups = group_plans(table, problem, answer) if rival.trunk else ()
    return tuple(user_plan(table, problem, k, answer, groups) for k in range(len(rival.options))), groups
