"""Costs of a stage program besides latency: edge seconds and memory, device memory and joules, messages."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from megdt_opt.errors import InvalidInput
from megdt_opt.program.kinds import own_stage
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.stages import Compute, Kind, Send, Stage, is_edge, leaves

_BITS = re.compile(r"(?:fp|bf|tf|int|w)(\d+)(?:a\d+)?|(\d+(?:\.\d+)?)-bit")

_PART: dict[str, str] = {
    Kind.ENCODE_PROMPT: "encode_prompt",
    Kind.SENSE: "sense",
    Kind.DENOISE: "denoise",
    Kind.DENOISE_SKETCH: "denoise",
    Kind.DECODE: "decode",
}
"""Parts of a model that stages need; what a user's stage brings along goes by its own name."""


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


def weight_bits(precision: str) -> float | None:
    """Bits of a weight in a precision such as "fp16", "w8a16" or "6-bit"; None where its name does not tell."""
    found = _BITS.fullmatch(precision)
    return None if found is None else float(next(number for number in found.groups() if number is not None))


def program_costs(
    program: Stage,
    spec: ModelSpec,
    *,
    compute_s: Callable[[Compute], float],
    compute_power_w: float | None = None,
    edge_precision: str | None = None,
    device_precision: str | None = None,
) -> Costs:
    """Costs of a program.

    Parameters
    ----------
    program : Stage
        The stage program of one user.
    spec : ModelSpec
        The model.
    compute_s : callable
        As for `latency.latency_terms`.
    compute_power_w : float, optional
        Power of the device while it computes [W].
    edge_precision, device_precision : str, optional
        Precisions in which they hold the weights; by default that in which the spec counts them.

    Raises
    ------
    InvalidInput
        For a precision whose name does not tell how many bits a weight has.
    """
    edge_s = device_s = 0.0
    messages = 0
    for leaf in leaves(program):
        if isinstance(leaf, Send):
            messages += len(leaf.to)
        elif is_edge(leaf.at):
            edge_s += compute_s(leaf)
        else:
            device_s += compute_s(leaf)
    return Costs(
        edge_s=edge_s,
        edge_byte=resident_byte([program], spec, is_edge, edge_precision),
        device_byte=resident_byte([program], spec, lambda actor: not is_edge(actor), device_precision),
        device_s=device_s,
        device_compute_j=None if compute_power_w is None else compute_power_w * device_s,
        messages=messages,
    )


def resident_byte(
    programs: Iterable[Stage], spec: ModelSpec, among: Callable[[str], bool], precision: str | None = None
) -> int:
    """Weights that some actors must hold for some programs, each part of the model once [byte].

    Parameters
    ----------
    programs : iterable of Stage
    spec : ModelSpec
        The model.
    among : callable
        Whether an actor of this name is one of them.
    precision : str, optional
        Precision in which they hold the weights; by default that in which the spec counts them.

    Raises
    ------
    InvalidInput
        For a precision whose name does not tell how many bits a weight has.
    """
    found: dict[str, int] = {}
    for program in programs:
        found |= resident_parts(program, spec, among, precision)
    return sum(found.values())


def resident_parts(
    program: Stage, spec: ModelSpec, among: Callable[[str], bool], precision: str | None = None
) -> dict[str, int]:
    """Parts of the model that have weights and that some actors must hold for a program, with their sizes [byte];
    parameters and errors as for `resident_byte`."""
    parts = {part_of(leaf) for leaf in leaves(program) if isinstance(leaf, Compute) and among(leaf.at)}
    sizes = {part: _weights(spec, part, precision) for part in sorted(parts)}
    return {part: byte for part, byte in sizes.items() if byte}


def part_of(leaf: Compute) -> str:
    """The part of the model that a stage needs; of a user's own stage its kind."""
    return _PART.get(leaf.kind, str(leaf.kind))


def _weights(spec: ModelSpec, part: str, precision: str | None) -> int:
    """Bytes of a part's weights in a precision."""
    counted = spec.weight_byte.get(part, 0)
    stage = own_stage(part)
    own = 0 if stage is None else stage.weight_byte
    if precision is None or precision == spec.weight_precision:
        return counted + own
    bits, base = weight_bits(precision), weight_bits(spec.weight_precision)
    if bits is None or base is None:
        unknown = precision if bits is None else spec.weight_precision
        expected = "a precision such as 'fp32', 'fp16', 'w8a16' or '4-bit'"
        raise InvalidInput("precision of the weights", unknown, expected, "Name it so in profile and spec.")
    return round(counted * bits / base) + own
