"""Kinds of compute stages: the package's own, and those that users register."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.program.registry import MECHANISM_PLUGINS, NAME, Registry
from megdt_opt.text_enum import TextEnum


class Kind(TextEnum):
    """What a compute stage does."""

    ENCODE_PROMPT = "encode_prompt"
    SENSE = "sense"
    DENOISE = "denoise"
    DECODE = "decode"
    FUSE = "fuse"
    COMPRESS = "compress"
    DECOMPRESS = "decompress"
    SKETCH = "sketch"
    READ_SKETCH = "read_sketch"
    DENOISE_SKETCH = "denoise_sketch"
    ADAPT = "adapt"


DENOISING = (Kind.DENOISE, Kind.DENOISE_SKETCH)
"""Stages that make steps of a chain: from the encoded prompt, or by what was read from a sketch."""

SKETCHING = (Kind.SKETCH, Kind.READ_SKETCH, Kind.DENOISE_SKETCH)
"""Stages of models that have a generator from sketches."""

Work = Callable[[Any, Mapping[str, Mapping[str, Any]]], Mapping[str, Mapping[str, Any]]]
"""What a user's stage computes: from the model and the items at the actor, each its tensors by name, to new items."""

ITEMS = ("request", "camera", "conditioning", "sensed", "state", "image")
"""Items that a stage of a user's can take when it is timed by itself."""


@dataclass(frozen=True, kw_only=True)
class OwnStage:
    """A compute stage that a user registered.

    Parameters
    ----------
    name : str
    work : callable
        From the model and the items at the actor to the items that it makes.
    takes, makes : tuple of str
        Items that it needs and makes.
    weight_byte : int
        Memory of weights of its own [byte].
    """

    name: str
    work: Work
    takes: tuple[str, ...]
    makes: tuple[str, ...]
    weight_byte: int = 0


OWN_STAGES: Registry[OwnStage | Kind] = Registry("stage", MECHANISM_PLUGINS)
for _kind in Kind:
    OWN_STAGES.add(_kind.value, _kind, built_in=True)


def register_stage(
    name: str,
    work: Work,
    *,
    takes: Sequence[str],
    makes: Sequence[str],
    weight_byte: int = 0,
    replace: bool = False,
) -> None:
    """Make a compute stage of your own known, for programs of mechanisms of your own.

    In a program it is `Compute(at=actor, kind=name)`. Its time comes from a calibration, which times every registered
    stage.

    Parameters
    ----------
    name : str
        What programs, profiles and messages call it.
    work : callable
        Called with the model and the items at the actor ("state" -> {"latent": tensor}, "image" -> {"pixels": tensor},
        as `Store` has them); returns the items that it makes. It must be a deterministic function of these.
    takes : sequence of str
        Items that it needs: of "request", "camera", "conditioning", "sensed", "state" and "image".
    makes : sequence of str
        Items that it returns, all of them.
    weight_byte : int
        Memory of the weights that it brings along [byte].
    replace : bool
        Take the place of a stage of yours of the same name, as one does in a notebook.

    Returns
    -------
    None

    Raises
    ------
    InvalidInput
        Where the name is taken, or an argument does not fit.

    Examples
    --------
    >>> from megdt_opt import register_stage
    >>> def grey(model, items):
    ...     pixels = items["image"]["pixels"]
    ...     return {"image": {"pixels": pixels.float().mean(-1, keepdim=True).byte().expand_as(pixels).contiguous()}}
    >>> register_stage("grey", grey, takes=("image",), makes=("image",))
    """

    def bad(field: str, value: object, expected: str, remedy: str) -> InvalidInput:
        return InvalidInput(f"{field} of the stage {name}", value, expected, remedy)

    if not callable(work):
        raise bad("work", work, "a function of model and items", "Pass the function.")
    for field, items in (("takes", takes), ("makes", makes)):
        if isinstance(items, str) or not items or not all(isinstance(i, str) and NAME.fullmatch(i) for i in items):
            raise bad(field, items, "names of items, at least one", 'Write for example ("state",).')
    if not set(takes) <= set(ITEMS):
        raise bad("takes", takes, f"items out of {ITEMS}", "Take the items that the package's own stages make.")
    if isinstance(weight_byte, bool) or not isinstance(weight_byte, int) or weight_byte < 0:
        raise bad("weight_byte", weight_byte, "a whole number of at least 0 byte", "State the size of its weights.")
    made = OwnStage(name=name, work=work, takes=tuple(takes), makes=tuple(makes), weight_byte=weight_byte)
    OWN_STAGES.add(name, made, replace=replace)


def stage_kind(name: str) -> str:
    """The kind of this name: a `Kind`, or the name of a stage that a user registered.

    Raises
    ------
    InvalidInput
        Where there is none.
    """
    found = OWN_STAGES.require(str(name), "kind")
    return found if isinstance(found, Kind) else found.name


def own_stage(name: str) -> OwnStage | None:
    """The user's stage of this name; None for the package's own."""
    found = OWN_STAGES.find(name)
    return found if isinstance(found, OwnStage) else None
