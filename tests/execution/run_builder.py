"""Builds runs with plausible predictions from an option's program."""

from __future__ import annotations

import numpy as np
from standin_model import SPEC

from megdt_opt.execution import Chain, Pace, Run
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.schedule import predict
from megdt_opt.program.stages import Compute, Kind, is_edge, leaves
from megdt_opt.program.wire import payload_byte

STANDIN = "standin_model:StandIn"


def slot(leaf, step_s):
    """Slot of a stage at full speed [s]."""
    if not isinstance(leaf, Compute):
        return 0.0
    if leaf.kind is Kind.DENOISE:
        return step_s * leaf.amount * ((leaf.rows[1] - leaf.rows[0]) / 16 if leaf.rows else 1)
    return 2 * step_s


def size_bit(leaf):
    """Bits of a send; a coded picture is guessed."""
    if leaf.precision in ("png", "jpeg"):
        return 8 * 6000
    return 8 * payload_byte(leaf.tensors, leaf.precision if leaf.precision != "raw" else "fp32")


def make_run(
    option: Option | None = None,
    *,
    name="user",
    device="u1",
    scheduler="ddim",
    steps=6,
    step_s=0.01,
    edge_share=0.5,
    rate=4e6,
    propagation_s=0.002,
    stages=None,
    shown_at="device",
    spec=SPEC,
    seed=3,
    **more,
) -> Run:
    """A user's run of an option, or of the given stages."""
    setting = Setting(spec=spec, scheduler=scheduler, steps=steps, device=device, shown_at=shown_at)
    stages = stages or program(option, setting)
    draw = np.random.default_rng(seed)

    def seconds(leaf):
        if isinstance(leaf, Compute):
            return slot(leaf, step_s) / (edge_share if is_edge(leaf.at) else 1)
        return size_bit(leaf) / rate + propagation_s

    user = {
        "name": name,
        "device": device,
        "request": {k: draw.standard_normal((1, *s)).astype(np.float32) for k, s in spec.request.items()},
        "camera": draw.integers(0, 256, (1, *spec.image_shape), dtype=np.uint8),
        "seed": seed,
    }
    pace = {"uplink_bit_per_s": rate, "downlink_bit_per_s": rate, "edge_share": edge_share}
    fields = {
        "scheduler": scheduler,
        "steps": steps,
        "propagation_s": propagation_s,
        "predicted": predict(stages, seconds),
        "slot_s": tuple(slot(leaf, step_s) for leaf in leaves(stages)),
    }
    given = {**user, **pace, **fields, **more}
    fields["turn"] = given.setdefault("turn", None)
    return Run.of_user(
        Chain(**{key: given[key] for key in user}),
        stages,
        Pace(**{key: given[key] for key in pace}),
        **{key: given[key] for key in fields},
    )
