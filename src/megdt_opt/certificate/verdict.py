"""What a verification of a certificate says."""

from __future__ import annotations

from dataclasses import dataclass

EXACT_SIZE = 10_000
"""Numbers of the tables, K * O or K (N + 1), up to which a verification is exact unless it is told."""


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
