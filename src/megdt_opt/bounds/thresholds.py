"""Where one mechanism begins to beat another."""

from __future__ import annotations

import math
from dataclasses import dataclass

from megdt_opt.bounds._region import number
from megdt_opt.errors import InvalidInput
from megdt_opt.radio.rates import shannon_band


def download_threshold_bit_per_s(
    *,
    image_bit: float,
    seed_bit: float,
    device_decode_s: float,
    edge_decode_s: float,
    edge_share: float = 1.0,
    compress_s: float = 0.0,
    decompress_s: float = 0.0,
) -> float:
    """Downlink rate below which E2U beats downloading the picture [bit/s].

    Proposition. With T = device_decode - decompress - (edge_decode + compress)/edge_share, the time that E2U loses by
    decoding on the device, E2U is faster iff (image - seed)/R > T. So for image > seed it is faster exactly below
    R* = (image - seed)/T if T > 0, and at every rate if T <= 0 (inf is returned). For image <= seed and T >= 0 it is
    never faster (0 is returned). Proof: the two latencies share the request, the prompt and the N steps; the rest is
    subtracted. For the same rate and edge share in both, hence exact for one user alone, and for any user whose shares
    are held. Region: not image < seed together with T < 0, where E2U wins *above* the rate: that raises. Source:
    arXiv 2407.02804 names both mechanisms; the subtraction is ours.

    Parameters
    ----------
    image_bit, seed_bit : float
        Picture as it is coded, latent as it is sent [bit].
    device_decode_s, edge_decode_s : float
        Decoding the latent on the device and on a whole edge server [s].
    edge_share : float
        Edge share of the user [1].
    compress_s, decompress_s : float
        Coding the picture on a whole edge server, restoring it on the device [s].

    Returns
    -------
    float
        The rate R* [bit/s]; inf where E2U is faster at every rate, 0 where at none.

    Raises
    ------
    InvalidInput
        Where a number is out of its range, or E2U wins above a rate instead of below one.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.download_threshold_bit_per_s(image_bit=6e6, seed_bit=1e6, device_decode_s=0.3, edge_decode_s=0.05)
    20000000.0
    """
    image, seed = number("image_bit", image_bit, "bit"), number("seed_bit", seed_bit, "bit")
    share = number("edge_share", edge_share, "1", above_zero=True)
    on_device_s = number("device_decode_s", device_decode_s, "s") - number("decompress_s", decompress_s, "s")
    at_edge_s = (number("edge_decode_s", edge_decode_s, "s") + number("compress_s", compress_s, "s")) / share
    lost_s, saved_bit = on_device_s - at_edge_s, image - seed
    if saved_bit < 0 and lost_s < 0:
        raise InvalidInput(
            "seed_bit",
            seed_bit,
            f"at most image_bit ({image:g} bit) where E2U decodes faster",
            "E2U wins above the rate (seed_bit - image_bit)/(time saved): there is no rate below which it does.",
        )
    if saved_bit <= 0:
        return 0.0
    return saved_bit / lost_s if lost_s > 0 else math.inf


def download_threshold_hz(
    rate_bit_per_s: float, *, efficiency: float | None = None, snr_hz: float | None = None
) -> float:
    """Band that carries a threshold rate [Hz]: E2U beats the download in narrower bands.

    Proposition. R/e for the linear law; for the Shannon law the inverse of b log2(1 + g/b), which increases in b to
    its supremum g/ln 2: a threshold beyond that is never reached (inf). Proof: either law is increasing, so the
    comparison of rates is one of bands. Region: one user's band; rates of at least 0.
    Source: `megdt_opt.radio.rates`.

    Parameters
    ----------
    rate_bit_per_s : float
        As `download_threshold_bit_per_s` returns it; inf stays inf [bit/s].
    efficiency, snr_hz : float
        Exactly one: spectral efficiency [bit/s/Hz], or SNR-bandwidth product [Hz].

    Returns
    -------
    float
        The band [Hz]; inf where the rate is never reached.

    Raises
    ------
    InvalidInput
        Where a number is out of its range, or not exactly one of efficiency and snr_hz is given.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.download_threshold_hz(20e6, efficiency=4.0)
    5000000.0
    >>> round(bounds.download_threshold_hz(20e6, snr_hz=1e8))
    4368262
    """
    rate = number("rate_bit_per_s", rate_bit_per_s, "bit/s", finite=False)
    if (efficiency is None) == (snr_hz is None):
        raise InvalidInput("efficiency", efficiency, "exactly one of efficiency and snr_hz", "Give one of them.")
    if efficiency is not None:
        return rate / number("efficiency", efficiency, "bit/s/Hz", above_zero=True)
    product = number("snr_hz", snr_hz, "Hz", above_zero=True)
    return math.inf if math.isinf(rate) else float(shannon_band(rate, product))


@dataclass(frozen=True, kw_only=True)
class Crowd:
    """Optimum of identical users.

    Parameters
    ----------
    at_edge : int
        Users served by the edge; the others compute locally [1].
    objective_s : float
        Optimum [s].
    joins_above : float
        Users up to which nobody computes locally [1]; inf where that never pays.

    Examples
    --------
    >>> from megdt_opt.bounds import device_joins_in
    >>> device_joins_in(4, local_s=9.0, remote_fixed_s=1.0, remote_shared_s=1.0).joins_above
    8.0
    """

    at_edge: int
    objective_s: float
    joins_above: float


def device_joins_in(
    users: int, *, local_s: float, remote_fixed_s: float, remote_shared_s: float, objective: str = "max"
) -> Crowd:
    """How many of K identical users the edge serves, and from which K on a device computes itself.

    Proposition. Let a user take d alone on its device, or c + a through the edge with every resource to itself, of
    which a scales with the shares. Then n users at the edge take c + n a each, and

        max: nobody computes locally iff c + K a <= d, that is K <= (d - c)/a; the optimum is min(c + K a, d),
        sum: iff c + (2K - 1) a <= d, that is K <= ((d - c)/a + 1)/2; the optimum has n = min(K, floor of that).

    So for the mean, devices join in at half the crowd: a user who leaves the edge also speeds up all the others.
    Proof. For n identical users the optimum over shares is the equal one (the times are convex in the shares, and
    averaging the users' shares keeps the budgets), so each takes a_i n on resource i, together n a. Max: with n < K it
    is max(d, c + n a) >= d, reached with n = 0. Sum: n (c + n a) + (K - n) d grows by c + (2n - 1) a - d with the n-th
    user, which increases in n. Region: identical users and weights, linear rates, no binding share cap (so at most one
    edge server if a chain uses at most one), a > 0. Source: ours; "max" is the comparison in `paper/MEG-DT.md`, lead 5.

    Parameters
    ----------
    users : int
        K [1].
    local_s : float
        d [s].
    remote_fixed_s, remote_shared_s : float
        c and a: bits/(efficiency * band) of each direction and work/servers, summed [s].
    objective : str
        "max" or "sum".

    Returns
    -------
    Crowd
        How many the edge serves, the optimum, and the crowd from which devices join in.

    Raises
    ------
    InvalidInput
        Where a number is out of its range or the objective is neither of the two.

    Examples
    --------
    >>> from megdt_opt import bounds
    >>> bounds.device_joins_in(6, local_s=9.0, remote_fixed_s=1.0, remote_shared_s=1.0, objective="max")
    Crowd(at_edge=6, objective_s=7.0, joins_above=8.0)
    >>> bounds.device_joins_in(6, local_s=9.0, remote_fixed_s=1.0, remote_shared_s=1.0, objective="sum")
    Crowd(at_edge=4, objective_s=38.0, joins_above=4.5)
    """
    if users != int(users) or users < 1:
        raise InvalidInput("users", users, "an integer of at least 1 [1]", "Give the number of users, K.")
    d, c = number("local_s", local_s, "s"), number("remote_fixed_s", remote_fixed_s, "s")
    a = number("remote_shared_s", remote_shared_s, "s", above_zero=True)
    room = (d - c) / a
    if objective == "max":
        n = max(0, min(users, math.floor(room)))
        return Crowd(at_edge=n, objective_s=min(c + users * a, d), joins_above=max(room, 0.0))
    if objective == "sum":
        room = (room + 1) / 2
        n = max(0, min(users, math.floor(room)))
        return Crowd(at_edge=n, objective_s=n * (c + n * a) + (users - n) * d, joins_above=max(room, 0.0))
    raise InvalidInput("objective", objective, "'max' or 'sum'", "Choose one of them.")
