"""Times of one compute stage by itself, and the warm-up that precedes every timed run."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial

import torch
from torch import Tensor

from megdt_opt.execution.job import Probe
from megdt_opt.models.chain import Chain
from megdt_opt.models.codec import compress, decompress
from megdt_opt.models.own_stages import rehearsal
from megdt_opt.models.planned import example_adapted
from megdt_opt.models.reference import block_of
from megdt_opt.models.sketches import guidance, sketching
from megdt_opt.models.split_model import Rows, SplitModel
from megdt_opt.program.kinds import DENOISING, own_stage
from megdt_opt.program.stages import Kind

WARM_UP = 2
"""Untimed repetitions before the first sample."""


def measure(model: SplitModel, probe: Probe, samples: int, *, warm_up: int = WARM_UP) -> list[tuple[float, float]]:
    """Time a stage.

    Parameters
    ----------
    model : SplitModel
        The model.
    probe : Probe
        What to time.
    samples : int
        Timed repetitions; for denoising, single steps that walk through the chain.
    warm_up : int
        Untimed repetitions before them.

    Returns
    -------
    list of (float, float)
        Wall and processor seconds of each sample [s].
    """
    with torch.no_grad():
        task = _task(model, probe)
        for _ in range(warm_up):
            task()
        times: list[tuple[float, float]] = []
        for _ in range(samples):
            if probe.gap_s > 0:
                time.sleep(probe.gap_s)
            begin, used = time.monotonic(), time.thread_time()
            task()
            times.append((time.monotonic() - begin, time.thread_time() - used))
        return times


def measure_beside(
    model: SplitModel, probe: Probe, samples: int, reference: Callable[[], float], *, warm_up: int = WARM_UP
) -> list[tuple[float, float]]:
    """Time a stage and the reference kernel by turns, as a calibration does, so that both meet the same machine.

    Parameters
    ----------
    model, probe, samples, warm_up
        As in `measure`.
    reference : callable
        Runs the kernel, and returns the processor seconds that it took [s].

    Returns
    -------
    list of (float, float)
        Processor seconds of the stage, of a chain's steps the mean, and of the kernel around it [s].
    """

    def used_s(count: int) -> float:
        begin = time.thread_time()
        for _ in range(count):
            task()
        return (time.thread_time() - begin) / count

    with torch.no_grad():
        task = _task(model, probe)
        recent_s = [used_s(1) for _ in range(warm_up)]
        count = block_of(min(recent_s)) if probe.kind in DENOISING else 1
        before_s = reference()
        pairs: list[tuple[float, float]] = []
        for _ in range(samples):
            stage_s, after_s = used_s(count), reference()
            pairs.append((stage_s, (before_s + after_s) / 2))
            before_s = after_s
        return pairs


def default_regions(model: SplitModel) -> tuple[Rows, Rows]:
    """Two halves of the latent that overlap by one region multiple on each side."""
    rows, lap = model.spec.latent_shape[1], model.spec.region_multiple
    half = rows // 2 // lap * lap
    return (0, min(rows, half + lap)), (max(0, half - lap), rows)


def _task(model: SplitModel, probe: Probe) -> Callable[[], object]:
    spec = model.spec
    match probe.kind:
        case Kind.ENCODE_PROMPT:
            request = _request(model)
            return lambda: model.encode_prompt(request)
        case Kind.DENOISE | Kind.DENOISE_SKETCH:
            scheduler = probe.scheduler or spec.schedulers[0]
            begin = model.start(0, scheduler=scheduler, steps=probe.steps, rows=probe.rows)
            given = model.encode_prompt if probe.kind is Kind.DENOISE else partial(guidance, model)
            known = given(_request(model))
            return Chain(model, begin, known, scheduler=scheduler, steps=probe.steps, rows=probe.rows).step
        case Kind.SENSE:
            image = torch.zeros(1, *spec.image_shape, dtype=torch.uint8)
            return lambda: model.sense(image)
        case Kind.DECODE:
            latent = _latent(model)
            return lambda: model.decode(latent)
        case Kind.ADAPT:
            return example_adapted(model).adapted
        case Kind.FUSE:
            (a, b), whole = default_regions(model), _latent(model)
            part_a, part_b = whole[:, :, a[0] : a[1]], whole[:, :, b[0] : b[1]]
            return lambda: model.fuse(part_a, a, part_b, b)
        case Kind.SKETCH:
            shown = model.decode(_latent(model))
            return lambda: sketching(model).sketch(shown)
        case Kind.READ_SKETCH:
            drawn = sketching(model).sketch(model.decode(_latent(model)))
            return lambda: sketching(model).read_sketch(drawn)
        case Kind.COMPRESS:
            pixels = model.decode(_latent(model))
            return lambda: compress(pixels, probe.codec)
        case Kind.DECOMPRESS:
            data = compress(model.decode(_latent(model)), probe.codec)
            return lambda: decompress(data, spec.image_shape)
    own = own_stage(probe.kind)
    assert own is not None  # `Probe` takes stages of the package and of users alone
    return rehearsal(own, model, _request(model))


def _request(model: SplitModel) -> dict[str, Tensor]:
    return {name: torch.zeros(1, *shape) for name, shape in model.spec.request.items()}


def _latent(model: SplitModel) -> Tensor:
    generator = torch.Generator().manual_seed(0)
    return torch.randn(1, *model.spec.latent_shape, generator=generator)
