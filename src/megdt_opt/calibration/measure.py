"""`calibrate`: the timing profile of a model on a device."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from time import perf_counter
from typing import Any

import torch
from torch import Tensor

from megdt_opt.calibration.environment import hardware, software, torch_device
from megdt_opt.calibration.inputs import example_requests, has_real_requests, pictures
from megdt_opt.calibration.jobs import Jobs
from megdt_opt.calibration.sessions import Sessions, in_sessions
from megdt_opt.calibration.settings import CODECS, Batches, Settings
from megdt_opt.calibration.timing_loop import Progress, Rounds
from megdt_opt.errors import InvalidInput
from megdt_opt.models.codec import compress
from megdt_opt.models.memory import memory_of
from megdt_opt.models.reference import reference_kernel
from megdt_opt.models.registry import adapters_of, load_model
from megdt_opt.models.requests import reference_byte
from megdt_opt.models.sketches import sketching
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.samplers import is_offered
from megdt_opt.program.stages import Kind
from megdt_opt.timing.cells import CODED
from megdt_opt.timing.profile import Provenance, TimingProfile
from megdt_opt.timing.provenance import utc_now
from megdt_opt.timing.reference import Reference

_PICTURES = 16

_METHOD = (
    "perf_counter around the stage; every cell once per round in random order; first run apart, then "
    "warm-up, then every raw sample kept; a denoising sample is the mean of consecutive single-step calls "
    "lasting about 0.1 s (one step where a step takes longer); on a processor, the reference kernel before and after "
    "every sample; garbage collector off; accelerator "
    "synchronised before the clock is read"
)


def calibrate(  # wide: each is one setting of a measurement, by keyword
    model: SplitModel | str,
    *,
    device: str = "cpu",
    kinds: Sequence[Kind | str] | None = None,
    batches: Batches = (1, 2, 4),
    rows: Sequence[int] | None = None,
    samples: int = 20,
    warmup: int = 3,
    sessions: int = 1,
    pause_s: float = 0.0,
    wait_s: float = 0.0,
    threads: int = 1,
    precision: str = "fp32",
    held_out_batches: Batches = (3,),
    held_out_rows: Sequence[int] = (),
    requests: Sequence[Mapping[str, Tensor]] | None = None,
    scheduler: str | None = None,
    name: str | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> TimingProfile:
    """Time each stage of a model on a device.

    Parameters
    ----------
    model : SplitModel or str
        The bundled twin, a `DiffusersModel`, anything with the same stages, or what `load_model` takes: "twin".
    device : str
        Torch device [name] on which the model already is.
    kinds : sequence of Kind, optional
        Stages to time; by default all, with those that you registered, but the image codecs only for trained weights
        with real requests (a random picture's file size means nothing), and adapters only for a model that takes them.
    batches : sequence of int, or mapping of Kind to one
        Chains computed together [1]; batch 1 is always timed. Fusing and coding are timed alone.
    rows : sequence of int, optional
        Rows of the latent regions at which a denoising step is timed (parallel generation) [rows]; by
        default every region where there are at most eight, else quarters; () for none.
    samples : int
        Samples of each cell in each session, all kept, at least 1 [1].
    warmup : int
        Runs of each cell discarded after its first, in each session, at least 1 [1].
    sessions : int
        How often all of it is repeated, at least 1 [1]. From two sessions on the profile's intervals say where a later
        session's times lie; with one they cover the noise within it alone.
    pause_s : float
        Time from one session to the next, in which the machine may drift [s].
    wait_s : float
        Longest that each session waits for other processes to leave the threads their cores [s]. What they then still
        take is in `Provenance.idle_share`, and the intervals are wider by it.
    threads : int
        Torch threads while timing [1]; the executor's processes have one.
    precision : str
        Arithmetic of the model, "fp32", "fp16" or "bf16"; checked against the model's own where it tells.
    held_out_batches : sequence of int, or mapping
        Batches timed in the same rounds, but left out of all fits (`TimingProfile.held_out_errors`).
    held_out_rows : sequence of int
        Likewise for regions [rows].
    requests : sequence of mapping, optional
        Requests of batch 1 to time and to generate pictures from; by default the model's examples.
    scheduler : str, optional
        Sampler of the denoising steps; by default the model's first.
    name : str, optional
        Name of the device in the profile; by default the torch device's.
    seed : int
        Of the order of the samples.
    on_progress : callable, optional
        Called before every run with (runs done, runs in all, what runs next).

    Returns
    -------
    TimingProfile
        With every raw sample and full provenance.

    Raises
    ------
    InvalidInput
        If an argument cannot be used; the message names it and the remedy.

    Examples
    --------
    >>> from megdt_opt import calibrate
    >>> from megdt_opt.models.registry import load_model
    >>> made = calibrate(load_model("twin"), kinds=["decode"], batches=(1, 2), held_out_batches=(), samples=6)
    >>> made.batches("decode"), len(made.cells[0].samples_s), made.provenance.precision
    ((1, 2), 6, 'fp32')
    """
    settings = Settings(
        kinds=kinds,
        batches=batches,
        held_out_batches=held_out_batches,
        rows=rows,
        held_out_rows=held_out_rows,
    )
    rounds = Rounds(samples=samples, warmup=warmup, threads=threads, seed=seed)
    repeated = Sessions(count=sessions, pause_s=pause_s, wait_s=wait_s)
    where = torch_device(device)
    if isinstance(model, str):
        model = load_model(model, device=device, precision=precision)
    _check_agrees(model, where, precision)
    spec = model.spec
    scheduler = scheduler if scheduler is not None else spec.schedulers[0]
    if not is_offered(scheduler, spec.schedulers):
        raise InvalidInput("scheduler", scheduler, f"one of {spec.schedulers}", "Choose one of them.")
    weights = str(getattr(model, "weights", "trained"))
    coded = weights == "trained" and (requests is not None or has_real_requests(model))
    adaptable = adapters_of(spec) is not None
    stages = settings.stages(coded=coded, sketched=bool(spec.sketch), adaptable=adaptable)
    fitted, held_out = settings.cells(stages, spec)
    if requests is None:
        requests = example_requests(model, max(settings.largest_batch(stages), _PICTURES))
    codecs = (*(CODECS if set(stages) & set(CODED) else ()), *(str(kind) for kind in stages if kind is Kind.SKETCH))
    created, speed = utc_now(), _Speed(model, where)
    with memory_of(f"timing the stages of {spec.name}, picture {spec.image_shape}"):
        shown = pictures(model, requests[:_PICTURES], scheduler=scheduler) if codecs else []
        jobs = Jobs(model, where, requests, scheduler, shown)
        listed = [jobs.stage(key) for key in (*fitted, *held_out)]
        cells, loads = in_sessions(listed, rounds, repeated, device=where, on_progress=on_progress, beside=speed.kernel)
    provenance = Provenance(
        created=created,
        source="measured",
        hardware=hardware(where),
        software=software(where),
        precision=precision,
        method=f"{_METHOD}; sampler {scheduler}",
        weights=weights,
        threads=threads,
        warmup=warmup,
        latent_shape=spec.latent_shape,
        image_shape=spec.image_shape,
        passes_per_step=spec.passes_per_step,
        texts=loads.sentences,
        idle_share=loads.idle_share if where.type == "cpu" else 1.0,
    )
    return TimingProfile(
        device=name if name is not None else device,
        model=spec.name,
        provenance=provenance,
        cells=tuple(cells[: len(fitted)]),
        held_out=tuple(cells[len(fitted) :]),
        image_byte_samples={codec: _sizes(model, shown, codec) for codec in codecs},
        image_reference_byte_samples=_reference_sizes(spec, requests[:_PICTURES], codecs),
        reference=speed.reference,
    )


class _Speed:
    """How fast the machine is while a model is timed, by the reference kernel; accelerators have none."""

    def __init__(self, model: SplitModel, device: torch.device) -> None:
        self._weight_byte = max(1, model.spec.weight_byte.get(Kind.DENOISE, 0))
        self._kernel = reference_kernel(self._weight_byte) if device.type == "cpu" else None
        self._samples_s: list[float] = []
        if self._kernel is not None:
            self._kernel()  # the first run is slower

    @property
    def kernel(self) -> Callable[[], float] | None:
        """Runs the kernel once, and returns how long that took [s]; None where there is none."""
        return None if self._kernel is None else self._take

    def _take(self) -> float:
        assert self._kernel is not None
        begin = perf_counter()
        self._kernel()
        self._samples_s.append(perf_counter() - begin)
        return self._samples_s[-1]

    @property
    def reference(self) -> Reference | None:
        """What was taken."""
        if not self._samples_s:
            return None
        return Reference(weight_byte=self._weight_byte, samples_s=tuple(self._samples_s))


def _sizes(model: SplitModel, shown: Sequence[Tensor], codec: str) -> tuple[int, ...]:
    code = sketching(model).sketch if codec == Kind.SKETCH else partial(compress, codec=codec)
    return tuple(int(code(picture).numel()) for picture in shown)


def _reference_sizes(
    spec: ModelSpec, asked: Sequence[Mapping[str, Tensor]], codecs: Sequence[str]
) -> dict[str, tuple[int, ...]]:
    """Sizes of the requests' reference pictures by codec; empty where they have none [byte]."""
    found: dict[str, tuple[int, ...]] = {}
    for codec in codecs:
        sizes = [reference_byte(spec, {n: t.cpu().numpy() for n, t in one.items()}, codec) for one in asked]
        if None not in sizes:
            found[codec] = tuple(n for n in sizes if n is not None)
    return found


def _check_agrees(model: Any, device: torch.device, precision: str) -> None:
    """Refuse to label a profile with a precision or device that the model does not have."""
    own = getattr(model, "precision", precision)
    if own != precision:
        raise InvalidInput("precision", precision, f"the model's own, {own!r}", "Load the model at this precision.")
    at = torch.device(getattr(model, "device", device))
    if at.type != device.type:
        raise InvalidInput("device", str(device), f"the model's own, {at.type!r}", "Load the model on this device.")
