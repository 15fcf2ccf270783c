"""The latent of a program whose device has its user's adapter, made in one process."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from megdt_opt.execution.graph import entry_of
from megdt_opt.models.planned import with_adapter
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.stages import Compute, Kind, Stage, leaves
from megdt_opt.scenario.user import User

if TYPE_CHECKING:
    from torch import Tensor


def adapted_latent(
    model: SplitModel,
    user: User,
    program: Stage,
    state: Mapping[str, Tensor],
    conditioning: Mapping[str, Tensor],
    how: Mapping[str, Any],
) -> Tensor:
    """The latent after the last step: steps and rows of the device with the adapter, all others without.

    Parameters
    ----------
    model : SplitModel
    user : User
        The one with the adapter.
    program : Stage
        What is executed; steps that are in no stage of it, the common ones of a group, run without the adapter.
    state : mapping of str to Tensor
        Before the first step of the program's chain.
    conditioning : mapping of str to Tensor
    how : mapping
        "scheduler" and "steps" of the chain.
    """
    found = [x for x in leaves(program) if isinstance(x, Compute) and x.kind is Kind.DENOISE]
    own = with_adapter(model, str(user.adapter)).adapted()
    parts = [leaf for leaf in found if leaf.rows is not None]
    if parts:
        bands: list[Any] = []
        for leaf in parts:
            begin = model.start(user.seed, rows=leaf.rows, **how)
            made = (own if leaf.at == user.name else model).denoise(
                begin, conditioning, first=0, count=how["steps"], rows=leaf.rows, **how
            )
            bands += [made["latent"], leaf.rows]
        return model.fuse(*bands)
    known, at = dict(state), entry_of(tuple(leaves(program)))
    for leaf in [x for x in found if x.at == user.name]:
        known = model.denoise(known, conditioning, first=at, count=leaf.first - at, **how) if leaf.first > at else known
        known = own.denoise(known, conditioning, first=leaf.first, count=leaf.amount, **how)
        at = leaf.first + leaf.amount
    if at < how["steps"]:
        known = model.denoise(known, conditioning, first=at, count=how["steps"] - at, **how)
    return known["latent"]
