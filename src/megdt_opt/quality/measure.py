"""Measuring quality: the stage programs of options, run in this process picture by picture, against one place's."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import torch

from megdt_opt.execution.job import Chain, Run
from megdt_opt.execution.serial import Store, pack, unpack
from megdt_opt.execution.stage_work import StageWork, first_items
from megdt_opt.models.registry import MODELS, Subject
from megdt_opt.models.requests import camera_of, request_of
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.kinds import DENOISING
from megdt_opt.program.mechanisms import Option, Setting, program
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.schedule import Pace, StageTime
from megdt_opt.program.stages import Compute, Send, Stage, actors, leaves
from megdt_opt.quality.factors import WHOLE, Factors
from megdt_opt.quality.pictures import MOST_DB, Picture, frechet, psnr_db, spread, ssim
from megdt_opt.quality.statistic import ONE_SIDED, Statistic
from megdt_opt.quality.table import Row

DEVICE = "device"
"""Name of the device whose chains are measured."""


def pictures_of(
    stages: Stage,
    chains: Sequence[Chain],
    models: Mapping[str, SplitModel],
    *,
    scheduler: str,
    steps: int,
) -> list[Picture]:
    """Pictures of a stage program, run in this process for several requests: every stage as an actor runs it, every
    payload packed and unpacked as it is sent. Denoising steps of all are made in one pass.

    Parameters
    ----------
    stages : Stage
        The program of one user.
    chains : sequence of Chain
        Whose request it is, with which seed; one a picture.
    models : mapping of str to SplitModel
        The model of each actor; of those that it does not name, that of "".
    scheduler : str
        Sampler.
    steps : int
        Denoising steps of the chain [1].

    Returns
    -------
    list of array
        uint8 (rows, columns, 3), one a chain.
    """
    found = tuple(leaves(stages))
    how: dict[str, Any] = {
        "scheduler": scheduler, "steps": steps, "slot_s": (0.0,) * len(found),
        "predicted": (StageTime(start_s=0.0, duration_s=0.0),) * len(found),
    }  # fmt: skip
    pace = Pace(uplink_bit_per_s=1.0, downlink_bit_per_s=1.0, edge_share=1.0)
    runs = [Run.of_user(chain, stages, pace, **how) for chain in chains]
    stores: list[dict[str, Store]] = [
        {actor: first_items(chain, actor) for actor in actors(stages)} for chain in chains
    ]
    known: dict[str, list[StageWork]] = {}  # an adapter that one stage loads serves the next ones
    for leaf in found:
        if isinstance(leaf, Send):
            for own in stores:
                data = pack(own[leaf.source], leaf.tensors, leaf.precision)
                for actor in leaf.to:
                    own[actor].update(unpack(data, leaf.tensors, leaf.precision))
            continue
        actor = str(leaf.at)
        if actor not in known:
            model = models[actor if actor in models else ""]
            each = zip(runs, chains, stores, strict=True)
            known[actor] = [StageWork(model, run, chain, own[leaf.at]) for run, chain, own in each]
        works = known[actor]
        if leaf.kind in DENOISING and len(chains) > 1:
            _denoise(leaf, works, steps)
        else:
            for piece in (piece for work in works for piece in work.pieces(leaf)):
                piece()
    pictures: list[Picture] = []
    for chain, own in zip(chains, stores, strict=True):
        made = next(store["image"]["pixels"] for store in (own[chain.device], *own.values()) if "image" in store)
        pictures.append(made.numpy()[0])
    return pictures


def _denoise(leaf: Compute, works: Sequence[StageWork], steps: int) -> None:
    """The steps of a stage for all chains in one pass each, as far as their tensors have equal shapes."""
    states, conditionings = zip(*(work.before(leaf) for work in works), strict=True)
    joined = [
        {name: torch.cat([part[name] for part in parts]) for name in parts[0]} for parts in (states, conditionings)
    ]
    how: dict[str, Any] = {"scheduler": works[0].scheduler, "steps": steps, "rows": leaf.rows}
    made = works[0].denoising.denoise(joined[0], joined[1], first=leaf.first, count=leaf.amount, **how)
    for number, work in enumerate(works):
        work.after(leaf, {name: value[number : number + 1] for name, value in made.items()})


class Remembering:
    """A model that makes no denoising step twice from equal tensors: chains that are handed over begin alike.

    Parameters
    ----------
    model : SplitModel
        Whose states are few enough to be held, all of them.
    """

    def __init__(self, model: SplitModel) -> None:
        self._model = model
        self._made: dict[tuple[Any, ...], dict[str, torch.Tensor]] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)

    def denoise(
        self,
        state: Mapping[str, torch.Tensor],
        conditioning: Mapping[str, torch.Tensor],
        *,
        first: int,
        count: int,
        **how: Any,
    ) -> dict[str, torch.Tensor]:
        """State after these steps, as the model makes it."""
        given = _digest(conditioning)
        made = dict(state)
        for step in range(first, first + count):
            key = (_digest(made), given, step, tuple(sorted(how.items())))
            if key not in self._made:
                self._made[key] = self._model.denoise(made, conditioning, first=step, count=1, **how)
            made = dict(self._made[key])
        return made


def _digest(tensors: Mapping[str, torch.Tensor]) -> str:
    found = hashlib.sha256()
    for name in sorted(tensors):
        found.update(name.encode() + tensors[name].contiguous().numpy().tobytes())
    return found.hexdigest()


@dataclass(frozen=True, kw_only=True)
class Bench:
    """What pictures are measured on.

    Parameters
    ----------
    spec : ModelSpec
    models : mapping of str to SplitModel
        The model of each actor ("edge", "device"); of those that it does not name, that of "".
    subjects : sequence
        What the pictures are to show, as scenarios state it: scenes, prompts or their seeds.
    whole : SplitModel
        The model that makes pictures in one place, in fp32.
    first_seed : int
        Seed of the first picture's noise; the next one has the next.
    batch : int
        Pictures whose steps are made in one pass [1]; more than 1 for models whose tensors all have a batch dimension.
    """

    spec: ModelSpec
    models: Mapping[str, SplitModel]
    subjects: Sequence[Subject]
    whole: SplitModel
    first_seed: int = 0
    batch: int = 1
    _known: dict[Any, list[Picture]] = field(default_factory=dict, repr=False)

    def pictures(self, option: Option, setting: Setting, *, plain: bool = False) -> list[Picture]:
        """The picture of each subject; `plain` as the model makes them in one place."""
        key = (option, setting.scheduler, setting.steps)
        if plain and key in self._known:
            return self._known[key]
        stages, models = program(option, setting), {"": self.whole} if plain else self.models
        how = {"scheduler": setting.scheduler, "steps": setting.steps}
        made: list[Picture] = []
        for first in range(0, len(self.subjects), self.batch):
            numbers = range(first, min(first + self.batch, len(self.subjects)))
            made += pictures_of(stages, [self.chain(n) for n in numbers], models, **how)  # type: ignore[arg-type]
        if plain:
            self._known[key] = made
        return made

    def chain(self, number: int) -> Chain:
        """The chain of one subject."""
        subject = self.subjects[number]
        return Chain(
            name="user",
            device=DEVICE,
            request=request_of(subject, self.spec),
            seed=self.first_seed + number,
            camera=camera_of(subject, self.spec),
        )

    def truths(self) -> list[Picture] | None:
        """What each picture should show; None for models whose pictures nobody knows beforehand."""
        known = None if self.spec.source else MODELS.find(self.spec.name)
        if known is None or known.score is None:
            return None
        return [camera_of(subject, self.spec)[0] for subject in self.subjects]

    def reference(self, option: Option) -> Option:
        """The option that makes the same picture in one place: a local one, or of one that starts from a camera's
        frame the same without loss."""
        if option.mechanism == "U2E":
            return replace(option, precision="fp32", codec="raw" if option.codec else "")
        return Option(mechanism=WHOLE)


def measure(
    bench: Bench,
    options: Sequence[Option],
    *,
    steps: int,
    scheduler: str,
    tell: Callable[[Row], None] | None = None,
    **more: Any,
) -> list[Row]:
    """Measure what options do to pictures.

    Parameters
    ----------
    bench : Bench
        The model, and what the pictures show.
    options : sequence of Option
    steps : int
        Denoising steps of a chain [1].
    scheduler : str
        Sampler.
    tell : callable, optional
        Is given each row as it is made.
    **more
        Factors that an option does not have: `decoder`, `adapter`, `computed`.

    Returns
    -------
    list of Row
        One an option.

    Raises
    ------
    InvalidInput
        For a cut or share outside its range.
    """
    torch.set_num_threads(1)  # as every process of an execution
    setting = Setting(spec=bench.spec, scheduler=scheduler, steps=steps, device=DEVICE)
    rows = []
    for option in options:
        found = bench.pictures(option, setting)
        references = bench.pictures(bench.reference(option), setting, plain=True)
        factors = Factors.of(option, steps=steps, scheduler=scheduler, **more)
        rows.append(judged(bench, factors, found, references))
        if tell is not None:
            tell(rows[-1])
    return rows


def judged(bench: Bench, factors: Factors, pictures: Sequence[Picture], references: Sequence[Picture]) -> Row:
    """The row of some pictures, one a subject of the bench, against those made in one place."""
    pairs = list(zip(pictures, references, strict=True))
    metrics = {
        "psnr_db": Statistic.over([min(psnr_db(p, r), MOST_DB) for p, r in pairs]),
        "ssim": Statistic.over([ssim(p, r) for p, r in pairs]),
    }
    truths, known = bench.truths(), MODELS.find(bench.spec.name)
    if truths is not None and known is not None and known.score is not None:
        shown = list(zip(pictures, truths, strict=True))
        metrics["psnr_truth_db"] = Statistic.over([min(psnr_db(p, t), MOST_DB) for p, t in shown])
        metrics["ssim_truth"] = Statistic.over([ssim(p, t) for p, t in shown])
        read = [known.score(p, subject) for p, subject in zip(pictures, bench.subjects, strict=True)]
        whole = Statistic.over([found / objects for found, objects in read])
        share = sum(found for found, _ in read) / sum(objects for _, objects in read)
        metrics["read"] = replace(whole, mean=share)
        if known.features is not None and len(pictures) > 20:
            made, due = (known.features(np.stack(each)) for each in zip(*shown, strict=True))
            distance, error = frechet(made, due), spread(made, due)
            metrics["frechet"] = Statistic(distance, distance + ONE_SIDED * error, error)
    return Row(factors=factors, count=len(pictures), metrics=metrics)
