"""Chains at an edge server that makes steps of several of them in one pass: the form of their programs.

The device sends its request, the edge encodes it and makes the first steps of the chain, and the device gets the latent
and makes what is left. So a program is told by the number of steps that the edge makes, its cut. A device that encodes
the prompt for itself may do it before it sends, or before it goes on: the latter holds up nobody else.
"""

from __future__ import annotations

from collections.abc import Iterable

from megdt_opt.errors import NotRepresentable
from megdt_opt.program.stages import Compute, Kind, Series, Stage, is_edge, leaves, series
from megdt_opt.program.turns import check_turn, first_in_turn


def check_batched(program: Stage) -> None:
    """Refuse programs in which the edge makes more than prompt encodings and the first steps of a whole latent.

    Raises
    ------
    NotRepresentable
        Names the stage.

    Examples
    --------
    >>> from megdt_opt.program.batches import batched_step, check_batched
    >>> from megdt_opt.program.blocks import decode, denoise
    >>> from megdt_opt.program.stages import EDGE, series
    >>> program = series(denoise(EDGE, 0, 3), denoise("phone", 3, 5), decode("phone"))
    >>> check_batched(program)
    >>> batched_step(program)
    0
    >>> check_batched(series(denoise(EDGE, 0, 8), decode(EDGE)))
    Traceback (most recent call last):
        ...
    megdt_opt.errors.NotRepresentable: stage 'decode at edge': in batches, an edge encodes prompts and makes steps alone
    """
    check_turn(program)
    made = 0
    for leaf in leaves(program):
        if not isinstance(leaf, Compute) or not is_edge(leaf.at) or leaf.kind is Kind.ENCODE_PROMPT:
            continue
        if leaf.kind is not Kind.DENOISE:
            raise NotRepresentable(f"stage '{leaf.label}': in batches, an edge encodes prompts and makes steps alone")
        if made or leaf.first > 0 or leaf.rows is not None:
            raise NotRepresentable(f"stage '{leaf.label}': in batches, an edge makes the first steps of a whole latent")
        made += 1


def batched_step(program: Stage) -> int | None:
    """Position of the leaf that an edge makes in batches; None without one."""
    found = (n for n, x in enumerate(leaves(program)) if isinstance(x, Compute) and is_edge(x.at) and _steps(x))
    return next(found, None)


def cut_of(program: Stage) -> int:
    """Steps that the edge makes [1]."""
    position = batched_step(program)
    leaf = None if position is None else list(leaves(program))[position]
    return leaf.amount if isinstance(leaf, Compute) else 0


def encoded_behind(program: Stage) -> Stage:
    """The program in which the device encodes the prompt only when it goes on itself; as it is where what it sends
    needs that, or where stages are side by side.

    Examples
    --------
    >>> from megdt_opt.program.batches import encoded_behind
    >>> from megdt_opt.program.blocks import denoise, encode_prompt
    >>> from megdt_opt.program.stages import EDGE, leaves, series
    >>> program = series(encode_prompt("phone"), denoise(EDGE, 0, 3), denoise("phone", 3, 5))
    >>> [leaf.label for leaf in leaves(encoded_behind(program))]
    ['denoise 0..2 at edge', 'encode_prompt at phone', 'denoise 3..7 at phone']
    """
    begin, every = first_in_turn(program), list(leaves(program))
    if begin is None or not isinstance(program, Series) or len(every) != len(program.stages):
        return program
    before, after = every[:begin], every[begin:]
    moved = [x for x in before if isinstance(x, Compute) and x.kind is Kind.ENCODE_PROMPT]
    needed = any(
        isinstance(x, Compute) or any(tensor.name.startswith("conditioning.") for tensor in x.tensors)
        for x in before
        if x not in moved
    )
    goes_on = next((n for n, x in enumerate(after) if isinstance(x, Compute) and not is_edge(x.at)), None)
    if needed or goes_on is None:
        return program
    return series(*(x for x in before if x not in moved), *after[:goes_on], *moved, *after[goes_on:])


def batch_s(slope_s: float, base_s: float, chains: int) -> float:
    """Seconds of one step of several chains in one pass [s]."""
    return slope_s * chains + base_s


def batch_times_s(start_s: float, slope_s: float, base_s: float, sizes: Iterable[int]) -> list[tuple[float, float]]:
    """When batches of these sizes begin and end, one after another from a start [s].

    Examples
    --------
    >>> from megdt_opt.program.batches import batch_times_s
    >>> [(round(begin_s, 3), round(end_s, 3)) for begin_s, end_s in batch_times_s(0.5, 0.1, 0.2, (2, 1))]
    [(0.5, 0.9), (0.9, 1.2)]
    """
    found, steps, begin_s = [], 0, start_s
    for count, size in enumerate(sizes, 1):
        steps += size
        end_s = start_s + slope_s * steps + base_s * count  # without the rounding of a running sum
        found.append((begin_s, end_s))
        begin_s = end_s
    return found


def _steps(leaf: Compute) -> bool:
    return leaf.kind is Kind.DENOISE
