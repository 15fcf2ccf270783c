"""The balance point of parallel generation: which share of the content to make at the edge."""

from __future__ import annotations

import math
from dataclasses import dataclass

from megdt_opt.bounds._region import number, part
from megdt_opt.errors import InvalidInput


@dataclass(frozen=True, kw_only=True)
class PeuBalance:
    """Best share of the content at the edge.

    Parameters
    ----------
    share : float
        Share made at the edge [1].
    latency_s : float
        Latency of the larger branch there [s].
    clamped : str
        "" where both branches end together; "edge first" or "device first" where that branch ends earlier even at the
        end of the allowed interval.

    Examples
    --------
    >>> from megdt_opt.bounds import PeuBalance
    >>> PeuBalance(share=0.5, latency_s=2.0, clamped="").share
    0.5
    """

    share: float
    latency_s: float
    clamped: str


def peu_balance(
    *,
    edge_constant_s: float,
    edge_whole_s: float,
    device_constant_s: float,
    device_whole_s: float,
    share_min: float = 0.0,
    share_max: float = 1.0,
) -> PeuBalance:
    """Share of the content made at the edge at which both branches end together.

    Proposition. Let the edge branch take e0 + x e1 (requests, prompt and delays in e0; steps over the edge share and
    bits over the rate, both for the whole content, in e1) and the device branch d0 + (1 - x) d1. The larger of the two
    is least at x* = (d0 + d1 - e0)/(e1 + d1), clamped to [share_min, share_max]; its value there is
    (e0 d1 + e1 (d0 + d1))/(e1 + d1) where nothing is clamped.
    Proof. One branch increases in x, the other decreases, so the larger one is least where they cross; left of x* the
    device branch is the larger, right of it the edge branch, so the end of the interval nearest to x* is best outside.
    Region: branches affine in the share, with held edge share and rate; fusion and decoding come after and shift
    nothing. With e0 > d0 + d1 (the edge cannot be back before the device is done) x* is clamped to share_min: at a
    share of 0 the edge branch would not run at all, and "local" at d0 + d1 is the better option; symmetrically at 1.
    Overlapping rows belong to e0 and d0. Where e1 + d1 = 0 every share is equal; share_min is returned.
    Source: arXiv 2407.02804 describes the mechanism; the balance is ours.

    Parameters
    ----------
    edge_constant_s, edge_whole_s : float
        e0 and e1 [s].
    device_constant_s, device_whole_s : float
        d0 and d1 [s].
    share_min, share_max : float
        Allowed interval [1].

    Returns
    -------
    PeuBalance
        The share, its latency, and which end of the interval it was clamped to.

    Raises
    ------
    InvalidInput
        Where a time is negative or not finite, or the interval is empty.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.peu_balance(edge_constant_s=0.2, edge_whole_s=1.0, device_constant_s=0.1, device_whole_s=4.1)
    PeuBalance(share=0.784313725490196, latency_s=0.984313725490196, clamped='')
    """
    e0, e1 = number("edge_constant_s", edge_constant_s, "s"), number("edge_whole_s", edge_whole_s, "s")
    d0, d1 = number("device_constant_s", device_constant_s, "s"), number("device_whole_s", device_whole_s, "s")
    low, high = part("share_min", share_min), part("share_max", share_max)
    if low > high:
        raise InvalidInput("share_min", low, f"at most share_max = {high:g} [1]", "Lower it, or raise share_max.")
    wanted = (d0 + d1 - e0) / (e1 + d1) if e1 + d1 > 0 else low
    share = min(max(wanted, low), high)
    if share == wanted and e1 + d1 > 0:
        # a sum of terms of one sign, without the cancellation of e0 + x e1 at small x
        return PeuBalance(share=share, latency_s=(e0 * d1 + e1 * (d0 + d1)) / (e1 + d1), clamped="")
    edge_s, device_s = e0 + share * e1, d0 + (1 - share) * d1
    clamped = "" if math.isclose(edge_s, device_s) else "edge first" if edge_s < device_s else "device first"
    return PeuBalance(share=share, latency_s=max(edge_s, device_s), clamped=clamped)
