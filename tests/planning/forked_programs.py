"""Mechanisms whose programs are no chain beside one device branch."""

from __future__ import annotations

from megdt_opt import register_mechanism
from megdt_opt.program import blocks
from megdt_opt.program.mechanisms import Option, Setting
from megdt_opt.program.stages import Compute, Kind, Parallel, Payload, Send, Stage, series


def ahead(option: Option, s: Setting) -> tuple[Stage, ...]:
    """The edge encodes the request while the device makes the first steps; then it gets their latent."""
    latent = Send(
        source=s.device, to=(s.edge,), payload=Payload.LATENT, tensors=blocks.latent_tensors(s, history=True),
        precision=option.precision,
    )  # fmt: skip
    at_edge = series(blocks.send_request(s), blocks.encode_prompt(s.edge))
    at_device = series(blocks.encode_prompt(s.device), blocks.denoise(s.device, 0, option.cut))
    return (
        Parallel((at_edge, at_device)),
        latent,
        blocks.denoise(s.edge, option.cut, s.steps - option.cut),
        blocks.send_latent(s, option.precision, history=False),
        blocks.decode(s.device),
    )


def both_up(option: Option, s: Setting) -> tuple[Stage, ...]:
    """As U2E, but the conditioning goes up while the device looks, so that two uploads may run at once."""
    first = s.steps - max(1, round(s.sense_strength * s.steps))
    conditioning, sensed = (
        Send(source=s.device, to=(s.edge,), payload=Payload.FEATURE, tensors=tensors, precision=option.precision)
        for tensors in (blocks.conditioning_tensors(s), blocks.latent_tensors(s, item="sensed"))
    )
    return (
        blocks.encode_prompt(s.device),
        Parallel((conditioning, series(Compute(at=s.device, kind=Kind.SENSE, item="sensed"), sensed))),
        blocks.denoise(s.edge, first, s.steps - first),
        blocks.decode(s.edge),
        *blocks.send_picture(s, option.codec),
    )


def register() -> None:
    """Make both known."""
    register_mechanism("ahead", ahead, choices=("cut", "precision"), quality="exact", replace=True)
    register_mechanism(
        "both-up", both_up, choices=("precision", "codec"), runs_at="edge", senses=True, quality="as U2E", replace=True
    )
