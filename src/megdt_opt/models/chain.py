"""A chain of denoising steps that is walked one step a call, to time it or to warm it up."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from megdt_opt.models.split_model import Rows, SplitModel


class Chain:
    """Steps of a chain, one call of the model each as in an execution; it begins again at its end.

    Parameters
    ----------
    model : SplitModel
        The model.
    begin, conditioning : mapping of str to Tensor
        State before the first step, and what the steps are conditioned on.
    scheduler : str
        Sampler.
    steps : int
        Denoising steps of the chain [1].
    rows : tuple of int, optional
        Rows [begin, end) of the latent that the state is of; None = all.
    """

    def __init__(
        self,
        model: SplitModel,
        begin: Mapping[str, Tensor],
        conditioning: Mapping[str, Tensor],
        *,
        scheduler: str,
        steps: int,
        rows: Rows | None,
    ) -> None:
        self._model = model
        self._begin = begin
        self._conditioning = conditioning
        self._scheduler = scheduler
        self._steps = steps
        self._rows = rows
        self._state = begin
        self._next = 0

    def step(self) -> None:
        """Make the next step."""
        self._state = self._model.denoise(
            self._state,
            self._conditioning,
            scheduler=self._scheduler,
            steps=self._steps,
            first=self._next,
            count=1,
            rows=self._rows,
        )
        self._next += 1
        if self._next == self._steps:
            self._state, self._next = self._begin, 0
