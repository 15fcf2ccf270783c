"""Chains at an edge server that serves them one after another: what comes before a turn, in it, and after it.

A program fits where its stages are in series and those of the edge follow one another: the device works and sends, the
edge computes, the device gets the result and goes on. The device so works before and after its turn, while the edge
serves others. Beside the mechanisms of one hand-over there is one of two, which reserved shares never need: the device
begins, the edge goes on, and the device ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from megdt_opt.errors import InvalidInput, NotRepresentable
from megdt_opt.program.blocks import conditioning_tensors, decode, denoise, encode_prompt, latent_tensors, send_latent
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, Setting
from megdt_opt.program.option import Mechanism
from megdt_opt.program.stages import Compute, Parallel, Payload, Send, Series, Stage, is_edge, leaves

TWICE = "SEU-twice"
"""The mechanism of two hand-overs: the device makes steps up to `cut`, the edge up to `back`, the device the rest."""

TURN_MECHANISMS = (TWICE,)
"""Mechanisms that are offered where an edge serves chains in turns, beside those of reserved shares."""


@dataclass(frozen=True, kw_only=True)
class TurnTerms:
    """Terms of one option of one user, as `SequencedEdgeProblem` has them.

    Parameters
    ----------
    release_s : float
        Work of the device before the turn, and the uplink [s]; of a program without edge work all that is no download.
    edge_work_s : float
        Length of the turn on the whole server [s]; 0 = no turn.
    after_s : float
        What follows the turn besides the download [s].
    downlink_bit : float
        Payload of the download [bit].
    """

    release_s: float = 0.0
    edge_work_s: float = 0.0
    after_s: float = 0.0
    downlink_bit: float = 0.0


def first_in_turn(program: Stage) -> int | None:
    """Position of the leaf with which a program's turn begins; None without edge work."""
    return next((n for n, leaf in enumerate(leaves(program)) if _of_edge(leaf)), None)


def last_in_turn(program: Stage) -> int | None:
    """Position of the leaf with which a program's turn ends; None without edge work."""
    return max((n for n, leaf in enumerate(leaves(program)) if _of_edge(leaf)), default=None)


def check_turn(program: Stage) -> None:
    """Refuse programs that do not consist of work before one turn, the turn, and work after it.

    Raises
    ------
    NotRepresentable
        Where stages run side by side, the edge sends before its turn, or computes again after it; names the stage.

    Examples
    --------
    >>> from megdt_opt.program.blocks import decode, denoise
    >>> from megdt_opt.program.stages import EDGE, series
    >>> from megdt_opt.program.turns import check_turn
    >>> check_turn(series(denoise("phone", 0, 3), denoise(EDGE, 3, 5), denoise("phone", 8, 2), decode("phone")))
    >>> check_turn(series(denoise(EDGE, 0, 3), denoise("phone", 3, 5), denoise(EDGE, 8, 2)))
    Traceback (most recent call last):
        ...
    megdt_opt.errors.NotRepresentable: stage 'denoise 8..9 at edge': a chain that comes back to the edge after its turn
    """
    _require_series(program)
    begin, end = first_in_turn(program), last_in_turn(program)
    for n, leaf in enumerate(leaves(program)):
        if isinstance(leaf, Send) and leaf.direction not in ("uplink", "downlink"):
            raise NotRepresentable(f"stage '{leaf.label}': a {leaf.direction} link is no part of a user's own program")
        if begin is None or end is None:
            continue
        if isinstance(leaf, Send) and is_edge(leaf.source) and n < begin:
            raise NotRepresentable(f"stage '{leaf.label}': the edge sends before its turn")
        if begin < n < end and not _of_edge(leaf):
            back = next(later for m, later in enumerate(leaves(program)) if m > n and _of_edge(later))
            raise NotRepresentable(f"stage '{back.label}': a chain that comes back to the edge after its turn")


def turn_terms(
    program: Stage,
    *,
    compute_s: Callable[[Compute], float],
    send_bit: Callable[[Send], float],
    uplink_bit_per_s: float,
    propagation_s: float = 0.0,
) -> TurnTerms:
    """Fold a program into what comes before its turn, the turn, and what comes after it.

    Parameters
    ----------
    program : Stage
        The stage program of one user, of the form that `check_turn` asks for.
    compute_s : callable
        Seconds of a compute stage at its actor's full speed [s].
    send_bit : callable
        Payload of a send stage [bit].
    uplink_bit_per_s : float
        Rate of the user's uplink, which is fixed [bit/s].
    propagation_s : float
        One-way delay added to each send [s].
    """
    check_turn(program)
    before = last_in_turn(program)
    release_s = edge_s = after_s = downlink_bit = 0.0
    for n, leaf in enumerate(leaves(program)):
        if _of_edge(leaf):
            assert isinstance(leaf, Compute)
            edge_s += compute_s(leaf)
            continue
        own_s = compute_s(leaf) if isinstance(leaf, Compute) else propagation_s
        if isinstance(leaf, Send):
            bits = send_bit(leaf)
            if is_edge(leaf.source):
                downlink_bit += bits
            elif bits > 0:
                own_s += bits / uplink_bit_per_s
        if before is None or n < before:
            release_s += own_s
        else:
            after_s += own_s
    return TurnTerms(release_s=release_s, edge_work_s=edge_s, after_s=after_s, downlink_bit=downlink_bit)


def _of_edge(leaf: Compute | Send) -> bool:
    return isinstance(leaf, Compute) and is_edge(leaf.at)


def _require_series(program: Stage) -> None:
    if isinstance(program, Parallel):
        label = next(leaves(program)).label
        raise NotRepresentable(f"stage '{label}': stages side by side have no one turn")
    if isinstance(program, Series):
        for part in program.stages:
            _require_series(part)


def _twice(option: Option, s: Setting) -> tuple[Stage, ...]:
    if not 0 < option.cut < option.back < s.steps:
        raise InvalidInput(
            "cut, back", (option.cut, option.back), f"1 <= cut < back <= {s.steps - 1} denoising steps",
            "Move both hand-overs inside the chain, one behind the other.",
        )  # fmt: skip
    up = Send(
        source=s.device, to=(s.edge,), payload=Payload.LATENT,
        tensors=(*latent_tensors(s, history=True), *conditioning_tensors(s)), precision=option.precision,
    )  # fmt: skip
    return (
        encode_prompt(s.device),
        denoise(s.device, 0, option.cut),
        up,
        denoise(s.edge, option.cut, option.back - option.cut),
        send_latent(s, option.precision, history=True),
        denoise(s.device, option.back, s.steps - option.back),
        decode(s.device),
    )


_made = Mechanism(name=TWICE, stages=_twice, choices=("cut", "back", "precision"))
MECHANISM_REGISTRY.add(TWICE, _made, built_in=True)
