"""Builds the run of a group whose members share their first steps."""

from __future__ import annotations

import numpy as np
from run_builder import size_bit, slot
from standin_model import SPEC

from megdt_opt.execution import Chain, Pace, Run
from megdt_opt.program.groups import Trunk, group_program
from megdt_opt.program.mechanisms import Setting
from megdt_opt.program.schedule import schedule
from megdt_opt.program.stages import Compute, leaves

PROPAGATION_S = 0.002


def member(device, *, content=0, seed=3, spec=SPEC):
    """A user by its device; the same content is the same request."""
    draw = np.random.default_rng(content)
    request = {k: draw.standard_normal((1, *s)).astype(np.float32) for k, s in spec.request.items()}
    return Chain(name=f"user {device}", device=device, request=request, seed=seed)


def make_group(
    options,
    members,
    *,
    common,
    hosted=False,
    scheduler="ddim",
    steps=6,
    step_s=0.004,
    rate=1e8,
    share=0.7,
    spec=SPEC,
):
    """The run of a group; the first member leads. `share` is the group's, divided by its members."""
    settings = {m.device: Setting(spec=spec, scheduler=scheduler, steps=steps, device=m.device) for m in members}
    trunk = Trunk(lead=settings[members[0].device], steps=common, hosted=hosted)
    made = group_program(trunk, {m.device: (o, settings[m.device]) for m, o in zip(members, options, strict=True)})
    own = Pace(uplink_bit_per_s=rate, downlink_bit_per_s=rate, edge_share=share / len(members))
    pace = made.pace(Pace(uplink_bit_per_s=rate, edge_share=share), rate, dict.fromkeys(settings, own))
    stages = list(leaves(made.program))
    seconds = [
        slot(leaf, step_s) / p if isinstance(leaf, Compute) else size_bit(leaf) / p + PROPAGATION_S
        for leaf, p in zip(stages, pace, strict=True)
    ]
    return Run.of_group(
        made,
        members,
        pace,
        scheduler=scheduler,
        steps=steps,
        propagation_s=PROPAGATION_S,
        predicted=schedule(made.program, seconds),
        slot_s=tuple(slot(leaf, step_s) for leaf in stages),
    )
