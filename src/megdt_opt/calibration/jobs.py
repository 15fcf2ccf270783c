"""The stages of a model as jobs for the timing loop."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from itertools import cycle

import torch
from torch import Tensor

from megdt_opt.calibration.inputs import Tensors, batched
from megdt_opt.calibration.timing_loop import Job, Run
from megdt_opt.models.chain import Chain
from megdt_opt.models.codec import compress, decompress
from megdt_opt.models.own_stages import rehearsal
from megdt_opt.models.planned import example_adapted
from megdt_opt.models.sketches import guidance, sketching
from megdt_opt.models.split_model import Rows, SplitModel
from megdt_opt.program.kinds import DENOISING, own_stage
from megdt_opt.program.mechanisms import split_rows
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import StageKey

_OVERLAP = 4  # latent rows that both sides of a parallel generation make, as `Setting` has it


class Jobs:
    """Makes jobs that time a model's stages as the executor runs them.

    Parameters
    ----------
    model : SplitModel
        The model.
    device : torch.device
        Where it runs.
    requests : sequence of mapping
        Requests of batch 1, reused in turn.
    scheduler : str
        Sampler of the denoising steps.
    pictures : sequence of Tensor
        Generated pictures for the image codecs, uint8 (1, rows, columns, 3).
    """

    def __init__(
        self,
        model: SplitModel,
        device: torch.device,
        requests: Sequence[Mapping[str, Tensor]],
        scheduler: str,
        pictures: Sequence[Tensor],
    ) -> None:
        self._model = model
        self._device = device
        self._requests = requests
        self._scheduler = scheduler
        self._pictures = pictures

    def stage(self, key: StageKey) -> Job:
        """The job of one stage."""
        spec = self._model.spec
        return Job(
            key=key,
            rows_total=None if key.rows is None else spec.latent_shape[1],
            run=self._run(key),
            units_max=spec.steps_default if key.kind in DENOISING else 1,
        )

    def _run(self, key: StageKey) -> Run:
        model = self._model
        match key.kind:
            case Kind.ENCODE_PROMPT:
                request = self._request(key.batch)
                return lambda units: _repeat(units, lambda: model.encode_prompt(request))
            case Kind.DENOISE | Kind.DENOISE_SKETCH:
                begin, conditioning = self._begin(key), self._conditioning(key)
                steps, rows = model.spec.steps_default, _region(key)
                chain = Chain(model, begin, conditioning, scheduler=self._scheduler, steps=steps, rows=rows)
                return lambda units: _repeat(units, chain.step)
            case Kind.DECODE:
                latent = self._latent(key.batch)
                return lambda units: _repeat(units, lambda: model.decode(latent))
            case Kind.SENSE:
                image = torch.full((key.batch, *model.spec.image_shape), 127, dtype=torch.uint8).to(self._device)
                return lambda units: _repeat(units, lambda: model.sense(image))
            case Kind.ADAPT:
                own = example_adapted(model)
                return lambda units: _repeat(units, own.adapted)
            case Kind.FUSE:
                a, b = split_rows(model.spec, 0.5, max(_OVERLAP, model.spec.region_multiple))
                whole = self._latent(key.batch)
                part_a = whole[:, :, a[0] : a[1]].contiguous()
                part_b = whole[:, :, b[0] : b[1]].contiguous()
                return lambda units: _repeat(units, lambda: model.fuse(part_a, a, part_b, b))
            case Kind.SKETCH:
                shown = cycle(self._pictures or [_grey(model)])
                return lambda units: _repeat(units, lambda: sketching(model).sketch(next(shown)))
            case Kind.READ_SKETCH:
                drawn = cycle([sketching(model).sketch(picture) for picture in self._pictures or [_grey(model)]])
                return lambda units: _repeat(units, lambda: sketching(model).read_sketch(next(drawn)))
            case Kind.COMPRESS:
                turn = cycle(self._pictures)
                return lambda units: _repeat(units, lambda: compress(next(turn), key.codec))
            case Kind.DECOMPRESS:
                files = cycle([compress(picture, key.codec) for picture in self._pictures])
                shape = model.spec.image_shape
                return lambda units: _repeat(units, lambda: decompress(next(files), shape))
        users = own_stage(key.kind)
        assert users is not None  # a key's kind is a stage of the package or of a user
        once = rehearsal(users, model, self._request(key.batch))
        return lambda units: _repeat(units, once)

    def _request(self, batch: int) -> Tensors:
        return batched([self._requests[n % len(self._requests)] for n in range(batch)], self._device)

    def _conditioning(self, key: StageKey) -> Tensors:
        with torch.no_grad():
            if key.kind is Kind.DENOISE_SKETCH:
                return guidance(self._model, self._request(key.batch))
            return self._model.encode_prompt(self._request(key.batch))

    def _begin(self, key: StageKey) -> Tensors:
        steps = self._model.spec.steps_default
        rows = _region(key)
        states = [
            self._model.start(seed, scheduler=self._scheduler, steps=steps, rows=rows) for seed in range(key.batch)
        ]
        return batched(states, self._device)

    def _latent(self, batch: int) -> Tensor:
        generator = torch.Generator().manual_seed(0)
        return torch.randn(batch, *self._model.spec.latent_shape, generator=generator).to(self._device)


def _grey(model: SplitModel) -> Tensor:
    return torch.full((1, *model.spec.image_shape), 127, dtype=torch.uint8)


def _region(key: StageKey) -> Rows | None:
    return None if key.rows is None else (0, key.rows)


def _repeat(units: int, call: Callable[[], object]) -> None:
    for _ in range(units):
        call()
