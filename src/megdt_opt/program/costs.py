"""Costs of a stage program besides latency: edge seconds and memory, device memory and joules, messages."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Kind, Send, Stage, is_edge, leaves

_PART = {
    Kind.ENCODE_PROMPT: "encode_prompt",
    Kind.SENSE: "sense",
    Kind.DENOISE: "denoise",
    Kind.DECODE: "decode",
}


@dataclass(frozen=True, kw_only=True)
class Costs:
    """What an option costs.

    Parameters
    ----------
    edge_s : float
        Seconds of a whole edge server [s].
    edge_byte, device_byte : int
        Weights that the edge and the device must hold [byte]; activations are not counted.
    device_s : float
        Seconds that the device computes [s].
    device_compute_j : float or None
        Energy of that computing [J]; None where the device's power is unknown.
    messages : int
        Messages exchanged: the device coordination of the mechanism [1].
    """

    edge_s: float
    edge_byte: int
    device_byte: int
    device_s: float
    device_compute_j: float | None
    messages: int


def program_costs(
    program: Stage,
    spec: ModelSpec,
    *,
    compute_s: Callable[[Compute], float],
    compute_power_w: float | None = None,
) -> Costs:
    """Costs of a program; `compute_s` as for `latency.latency_terms`."""
    edge_s = device_s = 0.0
    edge_parts: set[str] = set()
    device_parts: set[str] = set()
    messages = 0
    for leaf in leaves(program):
        if isinstance(leaf, Send):
            messages += 1
            continue
        seconds = compute_s(leaf)
        part = _PART.get(leaf.kind)
        if is_edge(leaf.at):
            edge_s += seconds
            edge_parts |= {part} if part else set()
        else:
            device_s += seconds
            device_parts |= {part} if part else set()
    return Costs(
        edge_s=edge_s,
        edge_byte=sum(spec.weight_byte.get(p, 0) for p in edge_parts),
        device_byte=sum(spec.weight_byte.get(p, 0) for p in device_parts),
        device_s=device_s,
        device_compute_j=None if compute_power_w is None else compute_power_w * device_s,
        messages=messages,
    )
