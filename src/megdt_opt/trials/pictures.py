"""Judging the pictures of an execution: against the unsplit run, and against the scene they should show."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from megdt_opt.execution.graph import entry_of
from megdt_opt.execution.record import Fault
from megdt_opt.models.planned import PlannedModel, load_planned
from megdt_opt.models.registry import MODELS
from megdt_opt.models.requests import camera_of, request_of
from megdt_opt.models.sketches import sketching
from megdt_opt.models.split_model import SplitModel
from megdt_opt.planning.user_plan import UserPlan
from megdt_opt.program.groups import GROUP_MECHANISMS
from megdt_opt.program.model_spec import WITH_PROMPT
from megdt_opt.program.samplers import entered
from megdt_opt.program.stages import Compute, Kind, Stage, actors, leaves
from megdt_opt.quality.pictures import psnr_db as psnr_db
from megdt_opt.scenario.adapters import uses_adapter
from megdt_opt.scenario.options import OptionTable
from megdt_opt.trials.adapted import adapted_latent
from megdt_opt.trials.execute import planned_models
from megdt_opt.trials.runs import batch_schedule, user_runs


@dataclass(frozen=True, kw_only=True)
class Picture:
    """One user's picture, beside what it is compared with. All pictures are uint8 (rows, columns, 3).

    Parameters
    ----------
    user : str
    option : str
        Name of the option that made it.
    executed : array
        Made by the execution.
    unsplit : array
        Made by one process with the same seed and no hand-over.
    truth : array or None
        The rendered scene, in the surroundings of a bundled adapter's user; None for pipelines, whose prompts show no
        known picture.
    psnr_db : float
        Executed against unsplit [dB]; infinite where they are equal bit for bit.
    found, objects : int or None
        Objects of the scene that the detector reads in the executed picture (kind, colour, position within 2
        pixels), and objects of the scene; None for pipelines.
    replayed_db : float or None
        Executed against what the planned split makes in one process, every payload packed as it is sent [dB]; infinite
        where they are equal bit for bit. None where the unsplit picture is the same, where none was asked for, after a
        fault, and for steps that several users share or that are made in batches, which no replay of one user makes.
    """

    user: str
    option: str
    executed: NDArray[np.uint8]
    unsplit: NDArray[np.uint8]
    truth: NDArray[np.uint8] | None
    psnr_db: float
    found: int | None
    objects: int | None
    replayed_db: float | None = None

    @property
    def identical(self) -> bool:
        """Whether the hand-over changed no bit."""
        return bool(np.array_equal(self.executed, self.unsplit))


def unsplit(
    table: OptionTable, user: int, program: Stage, models: dict[str, SplitModel] | None = None
) -> NDArray[np.uint8]:
    """The user's picture made by one process, uint8 (rows, columns, 3); `program` is what was executed, and `models`
    holds those that were loaded, by precision.

    A parallel generation is compared with the undivided one; a sensed one starts from the same camera frame, and one by
    sketch goes through the same sketch. Where the user has an adapter, the steps and rows that ran on the device have
    it, and those of the edge have not.
    """
    import torch

    # one thread, as in every process of the execution: sums in another order differ in the last bits
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        known, precision = {} if models is None else models, _precision(table, user, program)
        model = known.setdefault(precision, known.get(precision) or load_planned(table.spec, precision=precision))
        scenario = table.scenario
        who = scenario.users[user]
        scheduler, steps = scenario.scheduler, scenario.steps
        request = {name: torch.from_numpy(value) for name, value in request_of(who.subject, table.spec).items()}
        conditioning = model.encode_prompt(request)
        first = entry_of(tuple(leaves(program)))
        scheduler = entered(scheduler, first)
        state = model.start(who.seed, scheduler=scheduler, steps=steps)
        if any(isinstance(leaf, Compute) and leaf.kind is Kind.SENSE for leaf in leaves(program)):
            frame = camera_of(who.subject, table.spec, who.picture, who.adapter)
            state = model.start_from(
                model.sense(torch.from_numpy(frame)), who.seed, first=first, scheduler=scheduler, steps=steps
            )
        how: dict[str, Any] = {"scheduler": scheduler, "steps": steps}
        if who.device.refiner is not None:
            own = [x for x in leaves(program) if isinstance(x, Compute) and x.at == who.name and x.denoises]
            cut = min(leaf.first for leaf in own)
            state = model.denoise(state, conditioning, first=first, count=cut - first, **how)
            model = load_planned(table.spec, precision=precision, refiner=who.device.refiner)
            conditioning, first = model.encode_prompt(request), cut
        made = [leaf for leaf in leaves(program) if isinstance(leaf, Compute) and leaf.kind is Kind.SKETCH]
        if any(leaf.item == "camera" for leaf in made):
            pixels = torch.from_numpy(camera_of(who.subject, table.spec, who.picture, who.adapter))
        elif uses_adapter(program):
            pixels = model.decode(adapted_latent(model, who, program, state, conditioning, how))
        else:
            state = model.denoise(state, conditioning, first=first, count=steps - first, **how)
            pixels = model.decode(state["latent"])
        if made:
            pixels = _from_sketch(model, pixels, conditioning, who.seed, how)
        picture: NDArray[np.uint8] = pixels.numpy()[0]
        return picture
    finally:
        torch.set_num_threads(threads)


def _from_sketch(model: SplitModel, pixels: Any, prompt: Mapping[str, Any], seed: int, how: Mapping[str, Any]) -> Any:
    """Pixels that are made anew from the sketch of others, with the encoded prompt where the generator takes it."""
    guide = sketching(model).read_sketch(sketching(model).sketch(pixels))
    given = {**prompt, **guide} if model.spec.sketch == WITH_PROMPT else guide
    state = model.denoise(model.start(seed, **how), given, first=0, count=how["steps"], **how)
    return model.decode(state["latent"])


class _Replays:
    """Pictures that planned splits make in this process: hand-overs that lose something lose the same here."""

    def __init__(self, table: OptionTable, users: Sequence[UserPlan], models: dict[str, SplitModel]) -> None:
        in_batches = batch_schedule(table, users) is not None
        self._runs = {} if in_batches else {run.name: run for run in user_runs(table, users)}
        self._planned = planned_models(table)
        self._models = models

    def of(self, user: UserPlan) -> NDArray[np.uint8] | None:
        """A user's picture, uint8 (rows, columns, 3); None for who shares steps or batches with others."""
        import torch

        from megdt_opt.quality.measure import pictures_of

        if user.name not in self._runs or user.option.mechanism in GROUP_MECHANISMS:
            return None
        run = self._runs[user.name]
        threads = torch.get_num_threads()
        torch.set_num_threads(1)
        try:
            models = {str(actor): self._model(self._planned[str(actor)]) for actor in actors(run.program)}
            with torch.no_grad():
                (made,) = pictures_of(run.program, run.chains, models, scheduler=run.scheduler, steps=run.steps)
            return made
        finally:
            torch.set_num_threads(threads)

    def _model(self, planned: PlannedModel) -> SplitModel:
        plain = planned == PlannedModel(spec=planned.spec, precision=planned.precision)
        key = planned.precision if plain else repr(planned)  # plain ones serve the unsplit runs too
        if key not in self._models:
            self._models[key] = planned.load()
        return self._models[key]


def judge_pictures(
    table: OptionTable,
    users: tuple[UserPlan, ...],
    images: Mapping[str, NDArray[np.uint8]],
    faults: Sequence[Fault] = (),
    *,
    replay: bool = True,
) -> tuple[Picture, ...]:
    """Compare every executed picture; `images` and `faults` as an `Execution` holds them. Who has none is left out.

    Without `replay`, none is compared with its planned split in this process: other machines round otherwise.
    """
    alone = {fault.user for fault in faults if fault.fell_back}
    pictures = []
    models: dict[str, SplitModel] = {}
    replays = _Replays(table, users, models) if replay else None
    for k, chosen in enumerate(users):
        if chosen.name not in images:
            continue
        own = table.alone(k)[0] if chosen.name in alone else None
        executed = images[chosen.name][0]
        reference = unsplit(table, k, own or chosen.program, models)
        truth, found, objects = _shown(table, k, executed)
        lossy = replays is not None and own is None and not np.array_equal(executed, reference)
        again = replays.of(chosen) if replays is not None and lossy else None
        pictures.append(
            Picture(
                user=chosen.name,
                option=chosen.option.name if own is None else f"local, in place of {chosen.option.name}",
                executed=executed,
                unsplit=reference,
                truth=truth,
                psnr_db=psnr_db(executed, reference),
                found=found,
                objects=objects,
                replayed_db=None if again is None else psnr_db(executed, again),
            )
        )
    return tuple(pictures)


def _shown(
    table: OptionTable, user: int, executed: NDArray[np.uint8]
) -> tuple[NDArray[np.uint8] | None, int | None, int | None]:
    """What a picture should show, how many of its objects are read, and how many there are, of models that are read."""
    known = None if table.spec.source else MODELS.find(table.spec.name)
    if known is None or known.score is None:
        return None, None, None
    who = table.scenario.users[user]
    found, objects = known.score(executed, who.subject)
    return camera_of(who.subject, table.spec, adapter=who.adapter)[0], found, objects


def _precision(table: OptionTable, user: int, program: Stage) -> str:
    """Precision of the process in which the user's first denoising step ran."""
    at = next(x.at for x in leaves(program) if isinstance(x, Compute) and x.denoises)
    models = planned_models(table)
    return (models.get(str(at)) or models[table.scenario.users[user].name]).precision
