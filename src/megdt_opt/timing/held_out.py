"""How far a profile is from cells that none of its fits saw."""

from __future__ import annotations

from dataclasses import dataclass

from megdt_opt.program.stages import Kind


@dataclass(frozen=True, kw_only=True)
class HeldOutError:
    """Predicted against measured time of a cell that no fit saw.

    Parameters
    ----------
    kind : Kind
        The stage.
    batch : int
        Chains together [1].
    rows : int or None
        Rows of the latent region [1]; None = the whole latent.
    predicted_s, measured_s : float
        `TimingProfile.stage_s`, and the median of the samples [s].
    """

    kind: Kind
    batch: int
    rows: int | None
    predicted_s: float
    measured_s: float

    @property
    def error(self) -> float:
        """(predicted - measured)/measured [1]."""
        return self.predicted_s / self.measured_s - 1.0
