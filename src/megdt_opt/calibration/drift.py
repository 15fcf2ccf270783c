"""Drift: a short re-calibration tells how much faster or slower a device has become."""

from __future__ import annotations

import math
import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from megdt_opt.calibration.environment import OtherLoad, torch_device
from megdt_opt.calibration.inputs import example_requests, pictures
from megdt_opt.calibration.jobs import Jobs
from megdt_opt.calibration.timing_loop import Progress, Rounds, take
from megdt_opt.errors import ProfileError
from megdt_opt.models.split_model import SplitModel
from megdt_opt.program.kinds import Kind, stage_kind
from megdt_opt.timing.cells import CODED
from megdt_opt.timing.fit import median_interval
from megdt_opt.timing.profile import Cell, TimingProfile
from megdt_opt.timing.provenance import utc_now


@dataclass(frozen=True, kw_only=True)
class DriftReport:
    """Times now over times in a profile.

    Parameters
    ----------
    created : str
        When it was taken, ISO 8601 in UTC.
    factor : float
        Of the denoising step, where nearly all time goes; of all stages together where it was not timed
        [1]. Above 1: slower than the profile says.
    interval : tuple of float
        95 % distribution-free interval of `factor` [1].
    by_kind : mapping of Kind to float
        Factor of every stage that was timed again [1].
    cells : tuple of Cell
        The raw samples [s].
    other_cores : float or None
        Cores that other processes kept busy meanwhile [1]; None where the system does not tell.
    """

    created: str
    factor: float
    interval: tuple[float, float]
    by_kind: Mapping[str, float]
    cells: tuple[Cell, ...]
    other_cores: float | None = None

    def factor_of(self, kind: Kind | str) -> float:
        """Factor of one stage; the overall one where it was not timed again [1]."""
        return self.by_kind.get(stage_kind(kind), self.factor)

    def corrected(self, profile: TimingProfile) -> TimingProfile:
        """The profile with every stage scaled by its factor, which its provenance states."""
        reason = f"corrected for drift at {self.created}: denoising x{self.factor:.4f}"
        provenance = replace(profile.provenance, stretches=(*profile.provenance.stretches, reason))
        return replace(
            profile,
            provenance=provenance,
            cells=tuple(cell.scaled(self.factor_of(cell.kind)) for cell in profile.cells),
            held_out=tuple(cell.scaled(self.factor_of(cell.kind)) for cell in profile.held_out),
        )


def recalibrate(
    profile: TimingProfile,
    model: SplitModel,
    *,
    kinds: Sequence[Kind | str] | None = None,
    samples: int = 7,
    warmup: int = 1,
    device: str = "cpu",
    scheduler: str | None = None,
    seed: int = 0,
    on_progress: Progress | None = None,
) -> DriftReport:
    """Time the profile's stages again, shortly, at batch 1 on the whole latent.

    Parameters
    ----------
    profile : TimingProfile
        A measured, unstretched profile of this model on this device.
    model : SplitModel
        The model.
    kinds : sequence of Kind, optional
        Stages to time again; by default all of the profile's but the image codecs.
    samples, warmup : int
        Samples and discarded runs of each stage [1].
    device : str
        Torch device.
    scheduler : str, optional
        Sampler of the denoising steps; by default the model's first.
    seed : int
        Of the order of the samples.
    on_progress : callable, optional
        As in `calibrate`.

    Returns
    -------
    DriftReport

    Raises
    ------
    ProfileError
        If the profile is published, stretched, of another model, or has none of the stages.
    InvalidInput
        If an argument cannot be used.
    """
    rounds = Rounds(samples=samples, warmup=warmup, threads=_usable_threads(profile, model), seed=seed)
    wanted = [k for k in profile.kinds if k not in CODED] if kinds is None else [stage_kind(k) for k in kinds]
    before = [c for c in profile.cells if c.kind in wanted and c.batch == 1 and c.rows is None]
    if not before:
        raise ProfileError(
            f"stages to time again: found {[str(k) for k in wanted]}; expected some of "
            f"{sorted(str(k) for k in profile.kinds)} at batch 1. Name stages that the profile holds."
        )
    where = torch_device(device)
    chosen = scheduler if scheduler is not None else model.spec.schedulers[0]
    requests = example_requests(model, 4)
    shown = pictures(model, requests, scheduler=chosen) if any(c.codec for c in before) else []
    jobs = Jobs(model, where, requests, chosen, shown)
    created, others = utc_now(), OtherLoad()
    cells = take([jobs.stage(c.key) for c in before], rounds, device=where, on_progress=on_progress)
    return replace(_report(created, before, cells), other_cores=others.cores())


def _report(created: str, before: Sequence[Cell], cells: Sequence[Cell]) -> DriftReport:
    ratios: dict[str, list[float]] = {}
    for old, new in zip(before, cells, strict=True):
        ratios.setdefault(old.kind, []).extend(sample / old.median_s for sample in new.samples_s)
    pool = ratios.get(Kind.DENOISE) or [r for part in ratios.values() for r in part]
    return DriftReport(
        created=created,
        factor=statistics.median(pool),
        interval=median_interval(pool),
        by_kind={kind: statistics.median(part) for kind, part in ratios.items()},
        cells=tuple(cells),
    )


def _usable_threads(profile: TimingProfile, model: SplitModel) -> int:
    """Threads of a profile that can be compared with this machine."""
    if profile.published or profile.provenance.threads is None:
        raise ProfileError(
            f"profile of {profile.device}: found {profile.provenance.source} figures; expected a measured profile. "
            f"{profile.provenance.source.capitalize()} figures cannot be taken again; calibrate here."
        )
    if not math.isclose(profile.stretch, 1.0):
        raise ProfileError(
            f"profile of {profile.device}: found a stretch of {profile.stretch:g}; expected 1. "
            "Re-calibrate the profile as it was measured, then stretch it."
        )
    if profile.model != model.spec.name:
        raise ProfileError(
            f"profile of {profile.device}: found model {profile.model!r}; expected {model.spec.name!r}. "
            "Load the profile of this model."
        )
    return profile.provenance.threads
