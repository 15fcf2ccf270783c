"""Whether a program can run: every stage finds its items at its actor, and the picture ends where it is wanted."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.errors import InvalidInput
from megdt_opt.program.kinds import Kind, own_stage
from megdt_opt.program.model_spec import ALONE
from megdt_opt.program.option import Setting
from megdt_opt.program.samplers import state_shapes
from megdt_opt.program.stages import Compute, Parallel, Send, Series, Stage

Held = dict[str, dict[str, "Item"]]
"""What each actor holds: items by name."""

_REMEDY = "Correct the stages: an item is made where it is used, or sent there."


@dataclass(frozen=True)
class Item:
    """An item at an actor.

    Parameters
    ----------
    tensors : frozenset of str or None
        Names of its tensors; None where only a user's stage knows them.
    step, entered : int
        For a latent, the next step of its chain, and the one at which the chain was entered.
    """

    tensors: frozenset[str] | None
    step: int = 0
    entered: int = 0


def check_dataflow(program: Stage, setting: Setting, *, senses: bool, shown_at: str) -> None:
    """Walk a program as an execution does.

    Parameters
    ----------
    program : Stage
    setting : Setting
    senses : bool
        Whether the device has a camera's frame at the start.
    shown_at : str
        "device" or "edge": who must hold the picture at the end.

    Raises
    ------
    InvalidInput
        At the first stage that lacks an item, or sends one that is not as it says; names the stage.
    """
    start: dict[str, Item] = {"request": _named(*setting.spec.request)}
    if senses:
        start["camera"] = _named("image")
    held = _walk(program, {setting.device: start, setting.edge: {}}, setting)
    end = setting.device if shown_at == "device" else setting.edge
    picture = held[end].get("image")
    if picture is None or picture.tensors not in (None, frozenset({"pixels"})):
        raise InvalidInput(
            f"what {end} holds at the end",
            sorted(held[end]),
            f"the picture's pixels, as it is shown at the {shown_at}",
            "Decode or send the picture there, or say where the mechanism ends (`shown_at`).",
        )


def _named(*tensors: str) -> Item:
    return Item(frozenset(tensors))


def _walk(stage: Stage, held: Held, setting: Setting) -> Held:
    match stage:
        case Series(stages):
            for part in stages:
                held = _walk(part, held, setting)
            return held
        case Parallel(branches):
            ends = [_walk(branch, held, setting) for branch in branches]
            return {actor: {k: v for end in ends for k, v in end[actor].items()} for actor in held}
        case Compute():
            _known_actors(stage, (stage.at,), held)
            return {**held, stage.at: held[stage.at] | _made(stage, held[stage.at], setting)}
        case Send():
            _known_actors(stage, (stage.source, *stage.to), held)
            sent = _sent(stage, held[stage.source])
            return {**held, **{actor: held[actor] | sent for actor in stage.to}}


def _known_actors(leaf: Compute | Send, named: tuple[str, ...], held: Held) -> None:
    for actor in named:
        if actor not in held:
            raise InvalidInput(f"stage '{leaf.label}'", actor, f"an actor out of {sorted(held)}", _REMEDY)


def _take(leaf: Compute | Send, name: str, here: dict[str, Item]) -> Item:
    if name not in here:
        raise InvalidInput(f"stage '{leaf.label}'", sorted(here), f"the item {name!r} at its actor", _REMEDY)
    return here[name]


def _made(leaf: Compute, here: dict[str, Item], setting: Setting) -> dict[str, Item]:
    """Items that a compute stage leaves at its actor."""
    own = own_stage(leaf.kind)
    if own is not None:
        for name in own.takes:
            _take(leaf, name, here)
        return {name: Item(None) for name in own.makes}
    match leaf.kind:
        case Kind.ENCODE_PROMPT:
            _take(leaf, "request", here)
            return {"conditioning": _named(*setting.spec.conditioning)}
        case Kind.SENSE:
            _take(leaf, "camera", here)
            return {"sensed": _named("latent")}
        case Kind.DENOISE | Kind.DENOISE_SKETCH:
            return {leaf.item: _denoised(leaf, here, setting)}
        case Kind.SKETCH:
            _take(leaf, "camera" if leaf.item == "camera" else "image", here)
            return {"sketch": _named("bytes")}
        case Kind.READ_SKETCH:
            _take(leaf, "sketch", here)
            return {"guide": Item(None)}
        case Kind.ADAPT:
            return {}  # an adapter is no item: nothing can send it
        case Kind.FUSE:
            for name in ("part_a", "part_b"):
                _take(leaf, name, here)
            return {"state": _named("latent")}
        case Kind.DECODE:
            _take(leaf, "state", here)
            return {"image": _named("pixels")}
        case _:
            name = "camera" if leaf.item == "camera" else "image"
            _take(leaf, name, here)
            pixels = "image" if name == "camera" else "pixels"
            return {name: _named("bytes" if leaf.kind == Kind.COMPRESS else pixels)}


def _denoised(leaf: Compute, here: dict[str, Item], setting: Setting) -> Item:
    sketched = leaf.kind is Kind.DENOISE_SKETCH
    if sketched:
        _take(leaf, "guide", here)
    if not sketched or setting.spec.sketch != ALONE:
        _take(leaf, "conditioning", here)
    end = leaf.first + leaf.amount
    if end > setting.steps:
        raise InvalidInput(f"stage '{leaf.label}'", end, f"at most {setting.steps} denoising steps", _REMEDY)
    if leaf.item in here:
        if here[leaf.item].tensors is not None and here[leaf.item].step != leaf.first:
            expected = f"step {here[leaf.item].step}, where the chain is"
            raise InvalidInput(f"stage '{leaf.label}'", leaf.first, expected, "Go on where the chain is.")
    elif leaf.first > 0:
        _take(leaf, "sensed", here)
    entered = here[leaf.item].entered if leaf.item in here else leaf.first
    if end == setting.steps:
        return Item(frozenset({"latent"}), end, entered)
    return Item(frozenset(state_shapes(setting.scheduler, (), done=end, entered=entered)), end, entered)


def _sent(leaf: Send, here: dict[str, Item]) -> dict[str, Item]:
    """Items that a send hands over; each travels whole."""
    named: dict[str, set[str]] = {}
    for tensor in leaf.tensors:
        item, _, name = tensor.name.partition(".")
        named.setdefault(item, set()).add(name)
    for item, tensors in named.items():
        there = _take(leaf, item, here).tensors
        if there is not None and there != tensors:
            expected = f"all tensors of the item {item!r}, which are {sorted(there)}"
            raise InvalidInput(f"stage '{leaf.label}'", sorted(tensors), expected, "An item travels whole.")
    return {item: here[item] for item in named}
