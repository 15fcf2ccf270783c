"""What a stage is drawn as: its resource, its text, and its place when branches run side by side."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

from megdt_opt.planning.plan import Plan
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.schedule import StageTime
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, Stage, is_edge, leaves

RESOURCES = ("uplink", "edge compute", "downlink", "device compute")
"""What a stage occupies."""

COLOURS = {
    "uplink": "#E69F00",
    "edge compute": "#0072B2",
    "downlink": "#CC79A7",
    "device compute": "#009E73",
}
"""Colours that readers with any colour vision tell apart (Okabe and Ito, 2008)."""

_SHORT: dict[str, str] = {
    Kind.ENCODE_PROMPT: "prompt",
    Kind.SENSE: "sense",
    Kind.DECODE: "decode",
    Kind.FUSE: "fuse",
    Kind.ADAPT: "adapter",
}


@dataclass(frozen=True, kw_only=True)
class Slice:
    """Part of a lane's height, from 0 (top) to 1 (bottom)."""

    top: float
    bottom: float


_EDGES = ("#0072B2", "#56B4E9", "#003F6B", "#7F9FB8")
"""Colours of several edge servers, in turn; the first two are of the same palette."""


def colours_of(edges: Sequence[str]) -> dict[str, str]:
    """Colour of each resource, edge servers by their names where there are several."""
    if len(edges) == 1:
        return COLOURS
    each = {f"compute at {name}": _EDGES[i % len(_EDGES)] for i, name in enumerate(edges)}
    return {"uplink": COLOURS["uplink"], **each, "downlink": COLOURS["downlink"], "device compute": "#009E73"}


def resource_of(leaf: Compute | Send, colours: Mapping[str, str] = COLOURS) -> str:
    """One of the resources of `colours_of`; device-to-device sends count as uplink, multicasts as downlink."""
    if isinstance(leaf, Send):
        return "downlink" if is_edge(leaf.source) else "uplink"
    if not is_edge(leaf.at):
        return "device compute"
    return "edge compute" if "edge compute" in colours else f"compute at {leaf.at}"


def short_text(leaf: Compute | Send) -> str:
    """A word or two for inside a bar."""
    if isinstance(leaf, Send):
        return f"{leaf.payload} {leaf.precision}"
    if leaf.denoises:
        region = f", {leaf.rows[1] - leaf.rows[0]} rows" if leaf.rows else ""
        return f"{leaf.amount} {'step' if leaf.amount == 1 else 'steps'}{region}"
    return _SHORT.get(leaf.kind, str(leaf.kind))


@dataclass(frozen=True, kw_only=True)
class Bar:
    """A stage in a user's lane, as it was predicted."""

    leaf: Compute | Send
    place: Slice
    time: StageTime


def bars(plan: Plan, user: UserPlan) -> dict[tuple[str, int], Bar]:
    """The stages of a user by whose they are and their number: its own, and common ones that it waits for."""
    whole = Slice(top=0.0, bottom=1.0)
    for group in plan.groups:
        if user.name in group.riders:
            found = enumerate(zip(leaves(group.program.program), group.program.chain, group.stages, strict=True))
            return {
                (chain, number): Bar(leaf=leaf, place=whole, time=time)
                for number, (leaf, chain, time) in found
                if chain == user.name or (chain == group.program.shared and not _for_others(leaf, user.name))
            }
    found_own = enumerate(zip(leaves(user.program), slices(user.program), user.stages, strict=True))
    return {(user.name, number): Bar(leaf=leaf, place=place, time=time) for number, (leaf, place, time) in found_own}


def waited_for(plan: Plan) -> str:
    """What chains wait for at the edge: "turn", "batch", or "" where shares are reserved."""
    if any(user.turn is not None for user in plan.users):
        return "turn"
    return "batch" if any(user.batched is not None for user in plan.users) else ""


def alone_bars(plan: Plan, user: UserPlan) -> dict[int, Bar]:
    """What a user's device runs if it is cut off, by the number of the leaf."""
    names = [each.name for each in plan.users]
    stages, _ = plan.table.alone(names.index(user.name))
    if stages is None:
        return {}
    nowhere, whole = StageTime(start_s=0.0, duration_s=0.0), Slice(top=0.0, bottom=1.0)
    return {number: Bar(leaf=leaf, place=whole, time=nowhere) for number, leaf in enumerate(leaves(stages))}


def _for_others(leaf: Compute | Send, device: str) -> bool:
    """Whether a common stage sends to other devices alone."""
    return isinstance(leaf, Send) and not is_edge(leaf.to[0]) and device not in leaf.to


def slices(program: Stage, whole: Slice | None = None) -> Iterator[Slice]:
    """The place of each leaf, in program order: branches share the height, all else takes it whole."""
    here = whole or Slice(top=0.0, bottom=1.0)
    match program:
        case Series(stages):
            for stage in stages:
                yield from slices(stage, here)
        case Parallel(branches):
            height = (here.bottom - here.top) / len(branches)
            for i, branch in enumerate(branches):
                yield from slices(branch, Slice(top=here.top + i * height, bottom=here.top + (i + 1) * height))
        case _:
            yield here
