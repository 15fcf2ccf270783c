"""The law of batches: a denoising step of X chains in one pass takes slope X + base, fitted to a calibration."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from megdt_opt.program.batches import batch_s
from megdt_opt.program.stages import Kind
from megdt_opt.si import percent
from megdt_opt.timing.profile import TimingProfile
from megdt_opt.timing.provenance import refuse
from megdt_opt.units import show

LEAST_SIZES = 2
"""Batch sizes that must have been timed [1]."""

_MEASURE = "Calibrate with batches, for example `megdt-opt calibrate --batches 1,2,4,8`"


@dataclass(frozen=True, kw_only=True)
class BatchLaw:
    """A step of X chains takes slope_s X + base_s.

    Parameters
    ----------
    slope_s, base_s : float
        What each chain adds, and what a pass takes whatever it holds [s]; each at least 0, not both 0.
    sizes : tuple of int
        Batch sizes that were timed [1].
    misfit : float
        Largest |law - median| / median over these sizes [1].
    held_out : float or None
        The same over sizes that were timed but not fitted [1]; None where there are none.
    """

    slope_s: float
    base_s: float
    sizes: tuple[int, ...]
    misfit: float
    held_out: float | None = None

    def at(self, chains: int) -> float:
        """Seconds of a step of so many chains [s]."""
        return batch_s(self.slope_s, self.base_s, chains)

    @property
    def words(self) -> str:
        """The law and how well it fits."""
        found = (
            f"a step of X chains takes {show(self.slope_s, 's')} X + {show(self.base_s, 's')}, at most "
            f"{percent(100 * self.misfit, 1, signed=False)} off the medians of batches of {_listed(self.sizes)}"
        )
        if self.held_out is not None:
            found += f" and {percent(100 * self.held_out, 1, signed=False)} off those that were not fitted"
        return found


def batch_law(profile: TimingProfile, who: str = "the edge") -> BatchLaw:
    """The law of batches of a profile's denoising steps.

    By least squares of the relative residuals of the medians (`timing.fit.affine_fit`).

    Parameters
    ----------
    profile : TimingProfile
    who : str
        Whose it is, for messages.

    Raises
    ------
    ProfileError
        Where fewer than two batch sizes were timed, the slope or the intercept is below 0, or both are 0.

    Examples
    --------
    >>> from megdt_opt import TimingProfile
    >>> from megdt_opt.timing.batch_law import batch_law
    >>> law = batch_law(TimingProfile.bundled("twin-cpu"))
    >>> law.sizes, 0.8 < law.base_s / law.slope_s < 1.2, law.at(4) < 4 * law.at(1)
    ((1, 2, 4, 8), True, True)
    """
    fit = profile.fit(Kind.DENOISE)
    place = f"denoise batches of {who} ({profile.model} on {profile.device})"
    if len(fit.sizes) < LEAST_SIZES:
        refuse(
            f"sizes of {place}", fit.sizes, f"at least {LEAST_SIZES} batch sizes that were timed [1]", f"{_MEASURE}."
        )
    remedy = f'{_MEASURE} on a machine that does nothing else, or choose "reserved" or "in_turns" for the edge.'
    for name, value in (("slope", fit.a_s), ("intercept", fit.b_s)):
        if not value >= 0:
            refuse(f"{name} of the {place}", value, f"at least 0 [s], over batches of {_listed(fit.sizes)}", remedy)
    if fit.a_s == fit.b_s == 0:
        refuse(f"slope and intercept of the {place}", (0.0, 0.0), "one above 0 [s]", remedy)
    others = [one for one in profile.held_out_errors() if one.kind == Kind.DENOISE and one.rows is None]
    return BatchLaw(
        slope_s=fit.a_s, base_s=fit.b_s, sizes=fit.sizes, misfit=fit.misfit,
        held_out=max((abs(fit.at(one.batch) / one.measured_s - 1) for one in others), default=None),
    )  # fmt: skip


def _listed(sizes: Sequence[int]) -> str:
    return ", ".join(map(str, sizes))
