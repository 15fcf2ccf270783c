"""What a verification of a certificate says."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Verdict:
    """Outcome of a verification.

    Parameters
    ----------
    holds : bool
        Whether the bound is proven.
    bound_s : float
        The bound that the leaves prove [s]; at least the certificate's where it holds.
    exact : bool
        Whether the arithmetic was rational.
    leaves : int
        Leaves checked.
    reason : str
        What failed.
    """

    holds: bool
    bound_s: float
    exact: bool
    leaves: int
    reason: str = ""
