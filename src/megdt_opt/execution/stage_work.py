"""The compute of each stage kind on an actor's items."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial

import torch
from torch import Tensor

from megdt_opt.errors import ExecutionError, MalformedMessage
from megdt_opt.execution.graph import entry_of, regions
from megdt_opt.execution.job import Chain, Run
from megdt_opt.execution.serial import Store
from megdt_opt.models.codec import compress, decompress
from megdt_opt.models.own_stages import run_own_stage
from megdt_opt.models.sketches import sketching
from megdt_opt.models.split_model import AdaptableModel, SplitModel
from megdt_opt.program.kinds import own_stage
from megdt_opt.program.model_spec import ALONE
from megdt_opt.program.samplers import entered
from megdt_opt.program.stages import Compute, Kind

Piece = Callable[[], None]
"""A part of a stage that runs in one go: a denoising step, or the whole of any other stage."""


class StageWork:
    """The stages of one chain on one actor.

    Parameters
    ----------
    model : SplitModel
        The model.
    run : Run
        What is executed.
    chain : Chain
        Whose stages.
    store : dict
        Items of the chain at this actor; the stages read and write them.

    Attributes
    ----------
    scheduler : str
        The chain's sampler, as models are told it.
    denoising : SplitModel
        Makes the chain's steps here: the model, with the user's adapter once a stage has loaded it.
    """

    def __init__(self, model: SplitModel, run: Run, chain: Chain, store: Store) -> None:
        self._model = model
        self.denoising = model
        self.run = run
        self._seed = chain.seed
        self._store = store
        stages = run.stages_of(chain.name)
        self._regions = regions(stages)
        self.scheduler = entered(run.scheduler, entry_of(stages))

    def pieces(self, leaf: Compute) -> list[Piece]:
        """Parts of a stage, to be called in order."""
        match leaf.kind:
            case Kind.DENOISE | Kind.DENOISE_SKETCH:
                return [partial(self._denoise, leaf, leaf.first + n) for n in range(leaf.amount)]
            case Kind.ENCODE_PROMPT:
                return [self._encode_prompt]
            case Kind.SENSE:
                return [self._sense]
            case Kind.ADAPT:
                return [self._adapt]
            case Kind.FUSE:
                return [self._fuse]
            case Kind.DECODE:
                return [self._decode]
            case Kind.SKETCH:
                return [lambda: self._sketch(leaf)]
            case Kind.READ_SKETCH:
                return [self._read_sketch]
            case Kind.COMPRESS:
                return [lambda: self._compress(leaf)]
            case Kind.DECOMPRESS:
                return [lambda: self._decompress(leaf)]
        return [lambda: self._own(leaf)]

    def _encode_prompt(self) -> None:
        self._store["conditioning"] = self._model.encode_prompt(self._item("request"))

    def _sense(self) -> None:
        camera = self._item("camera")
        self._store["sensed"] = {"latent": self._model.sense(next(iter(camera.values())))}

    def _adapt(self) -> None:
        if not isinstance(self._model, AdaptableModel):
            raise ExecutionError(f"the model {self._model.spec.name!r} takes no adapters")
        self.denoising = self._model.adapted()

    def before(self, leaf: Compute) -> tuple[Mapping[str, Tensor], Mapping[str, Tensor]]:
        """State and conditioning of a denoising stage's next step."""
        state = self._store.get(leaf.item)
        return self._begin(leaf) if state is None else state, self._conditioning(leaf)

    def after(self, leaf: Compute, state: dict[str, Tensor]) -> None:
        """Take the state after a step of a denoising stage."""
        self._store[leaf.item] = state

    def _denoise(self, leaf: Compute, step: int) -> None:
        state, conditioning = self.before(leaf)
        self._store[leaf.item] = self.denoising.denoise(
            state,
            conditioning,
            scheduler=self.scheduler,
            steps=self.run.steps,
            first=step,
            count=1,
            rows=leaf.rows,
        )

    def _begin(self, leaf: Compute) -> dict[str, Tensor]:
        scheduler, steps, seed = self.scheduler, self.run.steps, self._seed
        if leaf.first == 0:
            return self._model.start(seed, scheduler=scheduler, steps=steps, rows=leaf.rows)
        if "sensed" not in self._store or leaf.rows is not None:
            raise ExecutionError(
                f"step {leaf.first} has neither an item {leaf.item!r} nor a sensed latent to begin with"
            )
        latent = self._item("sensed")["latent"]
        return self._model.start_from(latent, seed, scheduler=scheduler, steps=steps, first=leaf.first)

    def _conditioning(self, leaf: Compute) -> Mapping[str, Tensor]:
        if leaf.kind is Kind.DENOISE:
            return self._item("conditioning")
        prompt = {} if self._model.spec.sketch == ALONE else self._item("conditioning")
        return {**prompt, **self._item("guide")}

    def _sketch(self, leaf: Compute) -> None:
        (pixels,) = self._item(self._image_item(leaf)).values()
        self._store["sketch"] = {"bytes": sketching(self._model).sketch(pixels)}

    def _read_sketch(self) -> None:
        self._store["guide"] = sketching(self._model).read_sketch(self._item("sketch")["bytes"])

    def _fuse(self) -> None:
        a, b = self._item("part_a")["latent"], self._item("part_b")["latent"]
        for item in ("part_a", "part_b"):
            if item not in self._regions:
                raise ExecutionError(f"no denoise stage tells the rows of item {item!r}")
        fused = self._model.fuse(a, self._regions["part_a"], b, self._regions["part_b"])
        self._store["state"] = {"latent": fused}

    def _decode(self) -> None:
        self._store["image"] = {"pixels": self._model.decode(self._item("state")["latent"])}

    def _compress(self, leaf: Compute) -> None:
        item = self._image_item(leaf)
        (pixels,) = self._item(item).values()
        self._store[item] = {"bytes": compress(pixels, leaf.codec)}

    def _decompress(self, leaf: Compute) -> None:
        item = self._image_item(leaf)
        (data,) = self._item(item).values()
        name = "image" if item == "camera" else "pixels"
        self._store[item] = {name: decompress(data, self._model.spec.image_shape)}

    def _own(self, leaf: Compute) -> None:
        stage = own_stage(leaf.kind)
        assert stage is not None  # a leaf's kind is a stage of the package or of a user
        self._store.update(run_own_stage(stage, self._model, self._store))

    @staticmethod
    def _image_item(leaf: Compute) -> str:
        return "camera" if leaf.item == "camera" else "image"

    def _item(self, name: str) -> Mapping[str, Tensor]:
        if name not in self._store:
            raise MalformedMessage(f"item {name!r} is not at this actor; it has {sorted(self._store)}")
        return self._store[name]


def first_items(chain: Chain, actor: str) -> Store:
    """Items that an actor has before the run: the request and the camera picture of its user."""
    if actor != chain.device:
        return {}
    items: Store = {"request": {k: torch.from_numpy(v.copy()) for k, v in chain.request.items()}}
    if chain.camera is not None:
        items["camera"] = {"image": torch.from_numpy(chain.camera.copy())}
    return items
