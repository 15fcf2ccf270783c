"""One user alone: the least latency of every mechanism, in one line each.

Alone, a user competes with nobody. Rate and edge speed increase in the share under either rate law, and shares have
no price, so its optimum takes the whole bands and as much of the edge as its chain can use, f = min(cap, servers).
What remains is the sum of the stages' times (the larger of two sums for PEU). Every form is written here from the
mechanism's description (Xu et al., arXiv 2407.02804, and `program.mechanisms`), not from its stage program, so that
comparing the two tests both.

Symbols: N steps of s seconds on a whole edge server or t seconds on the device; R_u, R_d the rates on the whole bands;
f the edge share; δ the propagation delay of a message.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import numpy as np

from megdt_opt.bounds._region import number
from megdt_opt.errors import InvalidInput
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.problem.placement_problem import PlacementProblem
from megdt_opt.problem.sequenced_edge_problem import SequencedEdgeProblem
from megdt_opt.program.stages import Compute, Kind, Payload, is_edge, leaves
from megdt_opt.scenario.options import OptionTable


@dataclass(frozen=True, kw_only=True)
class Alone:
    """One user with a whole cell to itself; what a mechanism does not use may stay 0.

    Parameters
    ----------
    steps : int
        Denoising steps N [1].
    edge_step_s, device_step_s : float
        One denoising step on a whole edge server, and on the device [s].
    edge_encode_s, device_encode_s : float
        Encoding the prompt [s].
    edge_decode_s, device_decode_s : float
        Decoding the latent [s].
    compress_s, decompress_s : float
        Coding the picture on a whole edge server, and restoring it on the device [s].
    sense_s, fuse_s : float
        Features of a camera frame (U2E), and joining two parts (PEU), both on the device [s].
    sensed_steps : int
        Steps that follow a sensed latent (U2E) [1].
    edge_part_step_s, device_part_step_s : float
        One step on each side's part of the latent (PEU) [s].
    request_bit, image_bit : float
        Request, picture as it is coded [bit].
    seed_bit, handover_bit : float
        Latent down at the end of the chain (E2U), and within it with the sampler's history (SEU) [bit].
    handover_up_bit, feature_bit, part_bit : float
        Latent and conditioning up (SEU, device first), sensed latent and conditioning up (U2E), one part down (PEU)
        [bit].
    uplink_bit_per_s, downlink_bit_per_s : float
        Rates on the whole bands [bit/s].
    edge_share : float
        min(share cap, edge servers) [1].
    propagation_s : float
        One-way delay of a message [s].
    shown_at : str
        "device" or "edge": where the picture is wanted.

    Raises
    ------
    InvalidInput
        Where a number is negative, not finite or zero where it divides; names field, value and unit.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, local_s
    >>> local_s(Alone(steps=20, device_step_s=0.5, device_decode_s=0.4))
    10.4
    """

    steps: int
    edge_step_s: float = 0.0
    device_step_s: float = 0.0
    edge_encode_s: float = 0.0
    device_encode_s: float = 0.0
    edge_decode_s: float = 0.0
    device_decode_s: float = 0.0
    compress_s: float = 0.0
    decompress_s: float = 0.0
    sense_s: float = 0.0
    fuse_s: float = 0.0
    sensed_steps: int = 0
    edge_part_step_s: float = 0.0
    device_part_step_s: float = 0.0
    request_bit: float = 0.0
    image_bit: float = 0.0
    seed_bit: float = 0.0
    handover_bit: float = 0.0
    handover_up_bit: float = 0.0
    feature_bit: float = 0.0
    part_bit: float = 0.0
    uplink_bit_per_s: float = 1.0
    downlink_bit_per_s: float = 1.0
    edge_share: float = 1.0
    propagation_s: float = 0.0
    shown_at: str = "device"

    def __post_init__(self) -> None:
        for field in fields(self):
            value = getattr(self, field.name)
            if field.name == "shown_at":
                if value not in ("device", "edge"):
                    raise InvalidInput("shown_at", value, "'device' or 'edge'", "Choose one of them.")
                continue
            unit = "s" if field.name.endswith("_s") else "bit" if field.name.endswith("_bit") else "1"
            needed = field.name in ("uplink_bit_per_s", "downlink_bit_per_s", "edge_share", "steps")
            number(field.name, value, "bit/s" if field.name.endswith("bit_per_s") else unit, above_zero=needed)
        for name in ("steps", "sensed_steps"):
            if getattr(self, name) != int(getattr(self, name)):
                raise InvalidInput(name, getattr(self, name), "a whole number of steps [1]", "Count denoising steps.")

    @classmethod
    def of(cls, table: OptionTable, user: int, option: int) -> Alone:
        """Times and payloads of one option of a scenario, one by one, as if its user were alone.

        Parameters
        ----------
        table : OptionTable
        user, option : int
            Row and column of the table.

        Returns
        -------
        Alone
            What the stages of the option take alone: whole bands, and as much of the edge as its chain can use.

        Raises
        ------
        Infeasible
            Where a user of the scenario has no option at all.
        InvalidInput
            Where the scenario has several edge servers.
        """
        scenario = table.scenario
        problem = (table if table.serving is None else table.reserved()).waived_problem()
        if isinstance(problem, PlacementProblem | SequencedEdgeProblem | BatchedEdgeProblem):
            raise InvalidInput("edges", len(table.sites), "one edge server [1]", "State edge in place of edges.")
        if isinstance(problem, SequencedEdgeProblem):
            raise InvalidInput("edge.discipline", scenario.discipline, "'reserved' shares", "Choose it.")
        found: dict[str, float] = {}
        for leaf in leaves(table.program(user, option)):
            if isinstance(leaf, Compute):
                seconds = table.machines.compute_s(leaf, user)
                side = "edge" if is_edge(leaf.at) else "device"
                match leaf.kind:
                    case Kind.DENOISE:
                        part = "_part" if leaf.rows is not None else ""
                        found[f"{side}{part}_step_s"] = seconds / leaf.amount
                        found["sensed_steps"] = leaf.amount
                    case Kind.ENCODE_PROMPT:
                        found[f"{side}_encode_s"] = seconds
                    case Kind.DECODE:
                        found[f"{side}_decode_s"] = seconds
                    case kind:
                        found[f"{kind}_s"] = seconds
            else:
                found[_BITS[leaf.payload, leaf.direction]] = table.send_bit(leaf, user)
        for side in ("uplink", "downlink"):
            band = getattr(problem, f"{side}_hz")
            found[f"{side}_bit_per_s"] = float(problem.rate(side, np.full(problem.users, float(band)))[user])
        return cls(
            steps=scenario.steps,
            edge_share=min(float(problem.share_caps[user]), problem.edge_capacity),
            propagation_s=scenario.channel.propagation_s,
            shown_at=scenario.users[user].shown_at,
            **found,  # type: ignore[arg-type]
        )


_BITS = {
    (Payload.REQUEST, "uplink"): "request_bit",
    (Payload.IMAGE, "downlink"): "image_bit",
    (Payload.SEED, "downlink"): "seed_bit",
    (Payload.LATENT, "downlink"): "handover_bit",
    (Payload.LATENT, "uplink"): "handover_up_bit",
    (Payload.FEATURE, "uplink"): "feature_bit",
    (Payload.FEATURE, "downlink"): "part_bit",
}


def centralised_s(x: Alone) -> float:
    """Least latency of "centralised" [s].

    Proposition. q/R_u + (enc + N s + dec + compress)/f + I/R_d + decompress + 2δ; where the picture is kept at the
    edge, q/R_u + (enc + N s + dec)/f + δ. Proof: see the module. Region: one user, any rate law. Source: arXiv
    2407.02804 (baseline).

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    float
        Least latency [s].

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, centralised_s
    >>> round(centralised_s(Alone(steps=20, edge_step_s=0.05, image_bit=4e6, downlink_bit_per_s=2e6)), 3)
    3.0
    """
    up_s = x.request_bit / x.uplink_bit_per_s + x.propagation_s
    return up_s + (x.edge_encode_s + x.steps * x.edge_step_s + x.edge_decode_s) / x.edge_share + _download_s(x)


def local_s(x: Alone) -> float:
    """Latency of "local" [s].

    Proposition. enc + N t + dec, all on the device. Proof: no stage uses a shared resource, so no share enters.
    Region: any number of users. Source: arXiv 2407.02804 (baseline).

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    float
        Least latency [s].

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, local_s
    >>> local_s(Alone(steps=20, device_step_s=0.5, device_decode_s=0.4))
    10.4
    """
    return x.device_encode_s + x.steps * x.device_step_s + x.device_decode_s


def e2u_s(x: Alone) -> float:
    """Least latency of "E2U" [s].

    Proposition. q/R_u + (enc + N s)/f + z/R_d + dec + 2δ with the decoder on the device. Proof: see the module.
    Region: one user whose device shows the picture. Source: arXiv 2407.02804, ES-to-UE generation.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    float
        Least latency [s].

    Raises
    ------
    InvalidInput
        Where the picture is shown at the edge: the mechanism ends on the device.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, e2u_s
    >>> round(e2u_s(Alone(steps=20, edge_step_s=0.05, seed_bit=3e5, downlink_bit_per_s=2e6)), 3)
    1.15
    """
    _shown_on_device(x, "E2U")
    edge_s = (x.edge_encode_s + x.steps * x.edge_step_s) / x.edge_share
    return x.request_bit / x.uplink_bit_per_s + edge_s + _seed_s(x) + x.propagation_s


def seu_s(x: Alone, cut: int) -> float:
    """Least latency of "SEU" with its first `cut` steps at the edge [s].

    Proposition. q/R_u + enc_d + (enc_e + n s)/f + h/R_d + (N - n) t + dec + 2δ for 0 < n < N. Proof: see the module.
    Region: one user whose device shows the picture; the hand-over lies inside the chain. Source: arXiv 2407.02804,
    sequential ES-and-UE generation.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.
    cut : int
        Denoising steps before the hand-over, n in 1..N - 1 [1].

    Returns
    -------
    float
        Least latency [s].

    Raises
    ------
    InvalidInput
        Where the cut is not an integer in 1..N - 1, or the picture is shown at the edge.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, seu_s
    >>> seu_s(Alone(steps=20, edge_step_s=0.0625, device_step_s=0.25), 12)
    2.75
    """
    _shown_on_device(x, "SEU")
    n = _inner(x, cut)
    edge_s = (x.edge_encode_s + n * x.edge_step_s) / x.edge_share
    device_s = x.device_encode_s + (x.steps - n) * x.device_step_s + x.device_decode_s
    air_s = x.request_bit / x.uplink_bit_per_s + x.handover_bit / x.downlink_bit_per_s + 2 * x.propagation_s
    return edge_s + device_s + air_s


def best_seu(x: Alone) -> tuple[int, float]:
    """Best cut of "SEU" and its latency (1, s).

    Proposition. n = N - 1 if s/f < t, else n = 1. Proof: the latency is affine in n with the slope s/f - t, so its
    least value on 1..N - 1 is at an end; at equality every cut ties and the first is returned. Region: N >= 2, one
    user, constant step times and payload. Source: the bang-bang theorem for a single user (`bang_bang`).

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    cut : int
        Denoising steps at the edge [1].
    latency_s : float
        Its latency [s].

    Raises
    ------
    InvalidInput
        Where N = 1 leaves no hand-over inside the chain, or the picture is shown at the edge.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, best_seu
    >>> best_seu(Alone(steps=20, edge_step_s=0.0625, device_step_s=0.25))
    (19, 1.4375)
    """
    cut = _inner(x, x.steps - 1 if x.edge_step_s / x.edge_share < x.device_step_s else 1)
    return cut, seu_s(x, cut)


def seu_device_first_s(x: Alone, cut: int) -> float:
    """Least latency of "SEU-UE-first" with its first `cut` steps on the device [s].

    Proposition. enc_d + n t + h/R_u + (N - n) s/f + z/R_d + dec + 2δ; where the picture is kept at the edge,
    enc_d + n t + h/R_u + ((N - n) s + dec_e)/f + δ. Proof: see the module. Region: one user, 0 < n < N. Source: arXiv
    2407.02804, sequential generation with the device first.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.
    cut : int
        Denoising steps before the hand-over, n in 1..N - 1 [1].

    Returns
    -------
    float
        Least latency [s].

    Raises
    ------
    InvalidInput
        Where the cut is not an integer in 1..N - 1.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, seu_device_first_s
    >>> seu_device_first_s(Alone(steps=20, edge_step_s=0.0625, device_step_s=0.25), 12)
    3.5
    """
    n = _inner(x, cut)
    head_s = x.device_encode_s + n * x.device_step_s + x.handover_up_bit / x.uplink_bit_per_s + x.propagation_s
    edge_s = (x.steps - n) * x.edge_step_s / x.edge_share
    return head_s + edge_s + (_seed_s(x) if x.shown_at == "device" else x.edge_decode_s / x.edge_share)


def best_seu_device_first(x: Alone) -> tuple[int, float]:
    """Best cut of "SEU-UE-first" and its latency (1, s).

    Proposition. n = 1 if s/f < t, else n = N - 1. Proof: the latency is affine in n with the slope t - s/f. Region and
    source: as `best_seu`.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    cut : int
        Denoising steps on the device [1].
    latency_s : float
        Its latency [s].

    Raises
    ------
    InvalidInput
        Where N = 1 leaves no hand-over inside the chain.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, best_seu_device_first
    >>> best_seu_device_first(Alone(steps=20, edge_step_s=0.0625, device_step_s=0.25))
    (1, 1.4375)
    """
    cut = _inner(x, 1 if x.edge_step_s / x.edge_share < x.device_step_s else x.steps - 1)
    return cut, seu_device_first_s(x, cut)


def u2e_s(x: Alone) -> float:
    """Least latency of "U2E" [s].

    Proposition. enc_d + sense + v/R_u + (M s + dec)/f + δ, and where the device shows the picture compress/f + I/R_d +
    decompress + δ more; M steps follow the sensed latent. Proof: see the module. Region: one user with a sensor.
    Source: arXiv 2407.02804, UE-to-ES generation.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    float
        Least latency [s].

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, u2e_s
    >>> round(u2e_s(Alone(steps=20, sensed_steps=12, edge_step_s=0.05, feature_bit=6e5, uplink_bit_per_s=1e6)), 3)
    1.2
    """
    head_s = x.device_encode_s + x.sense_s + x.feature_bit / x.uplink_bit_per_s + x.propagation_s
    return head_s + (x.sensed_steps * x.edge_step_s + x.edge_decode_s) / x.edge_share + _download_s(x)


def peu_s(x: Alone) -> float:
    """Least latency of "PEU" for given parts [s].

    Proposition. max(q/R_u + (enc_e + N s')/f + y/R_d + 2δ, enc_d + N t') + fuse + dec, with s' and t' the step times
    of the two parts. Proof: see the module; the larger branch is non-increasing in every share too. Region: one user
    whose device shows the picture. `peu_balance` chooses the parts. Source: arXiv 2407.02804, parallel generation.

    Parameters
    ----------
    x : Alone
        Times and payloads of the user.

    Returns
    -------
    float
        Least latency [s].

    Raises
    ------
    InvalidInput
        Where the picture is shown at the edge: the mechanism ends on the device.

    Examples
    --------
    >>> from megdt_opt.bounds import Alone, peu_s
    >>> x = Alone(steps=20, edge_part_step_s=0.04, device_part_step_s=0.1, part_bit=2e5, downlink_bit_per_s=2e6)
    >>> round(peu_s(x), 3)  # the device's part takes longer than the edge's and its download
    2.0
    """
    _shown_on_device(x, "PEU")
    edge_s = (x.edge_encode_s + x.steps * x.edge_part_step_s) / x.edge_share
    air_s = x.request_bit / x.uplink_bit_per_s + x.part_bit / x.downlink_bit_per_s + 2 * x.propagation_s
    device_s = x.device_encode_s + x.steps * x.device_part_step_s
    return max(edge_s + air_s, device_s) + x.fuse_s + x.device_decode_s


def _download_s(x: Alone) -> float:
    if x.shown_at == "edge":
        return 0.0
    return x.compress_s / x.edge_share + x.image_bit / x.downlink_bit_per_s + x.decompress_s + x.propagation_s


def _seed_s(x: Alone) -> float:
    return x.seed_bit / x.downlink_bit_per_s + x.device_decode_s + x.propagation_s


def _shown_on_device(x: Alone, mechanism: str) -> None:
    if x.shown_at != "device":
        raise InvalidInput("shown_at", x.shown_at, f"'device': {mechanism} ends there", "Choose another mechanism.")


def _inner(x: Alone, cut: int) -> int:
    if isinstance(cut, bool) or cut != int(cut) or not 0 < cut < x.steps:
        raise InvalidInput(
            "cut",
            cut,
            f"a hand-over inside the chain, 1..{x.steps - 1} steps [1]",
            "Move it inside the chain, or take E2U or local.",
        )
    return int(cut)
