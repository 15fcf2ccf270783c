"""Validators of the single-user forms, the thresholds, the balance point and generation splitting."""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import fields, replace
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from typing import Any

import numpy as np

from megdt_opt.bounds import (
    Alone,
    best_seu,
    best_seu_device_first,
    centralised_s,
    device_joins_in,
    download_threshold_bit_per_s,
    download_threshold_hz,
    e2u_s,
    energy_delay_front,
    generation_split,
    local_s,
    peu_balance,
    peu_s,
    seu_device_first_s,
    seu_s,
    u2e_s,
)
from megdt_opt.bounds.checks import instances, precise
from megdt_opt.bounds.checks.validation import Check, above, apart, validator
from megdt_opt.problem.allocation_problem import AllocationProblem
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.program.mechanisms import Option
from megdt_opt.scenario.options import OptionTable
from megdt_opt.solving import solve


def alone_s(x: Alone, option: Option) -> float:
    """Closed form of an option's single-user optimum [s]."""
    match option.mechanism:
        case "SEU":
            return seu_s(x, option.cut)
        case "SEU-UE-first":
            return seu_device_first_s(x, option.cut)
    forms = {"centralised": centralised_s, "local": local_s, "E2U": e2u_s, "U2E": u2e_s, "PEU": peu_s}
    return forms[option.mechanism](x)


@validator(
    "single user",
    share=1 / 3,
    covers=("centralised_s", "local_s", "e2u_s", "seu_s", "seu_device_first_s", "u2e_s", "peu_s"),
    exact=True,
    loose="nowhere: all resources to one user",
)
def single_user(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Mechanisms' forms against `solve` with that option alone, and the least of them against all options."""
    table = OptionTable.build(instances.scenario(rng))
    problem = table.waived_problem()
    assert not isinstance(problem, BatchedEdgeProblem)  # whose users choose cuts
    able = np.flatnonzero(problem.allowed_mask[0])
    formed = {int(o): alone_s(Alone.of(table, 0, int(o)), table.options[int(o)]) for o in able}
    drawn = {table.options[o].mechanism: o for o in rng.permutation(list(formed)).tolist()}
    # two mechanisms an instance: each comes up in turn
    names = sorted(drawn)
    for o in {drawn[names[number % len(names)]], drawn[names[(number + 3) % len(names)]]}:
        only = np.zeros_like(problem.allowed_mask)
        only[0, o] = True
        found: Any = solve(replace(problem, allowed=only), method="enumerate")
        yield Check("solver", apart(formed[o], found.objective_s), 1.0)
    if number % 4 == 0:
        best: Any = solve(problem, method="enumerate")
        yield Check("solver", apart(min(formed.values()), best.objective_s))


@validator(
    "best cut alone", covers=("best_seu", "best_seu_device_first"), exact=True, loose="nowhere: affine in the cut"
)
def best_cut(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The end that the slope names against every cut."""
    x = Alone(
        steps=int(rng.integers(2, 30)), edge_step_s=instances.log(rng, -3, 0), device_step_s=instances.log(rng, -3, 0),
        edge_encode_s=0.01, device_encode_s=0.02, device_decode_s=0.1, request_bit=1e4, seed_bit=1e5, handover_bit=2e5,
        handover_up_bit=3e5, uplink_bit_per_s=instances.log(rng, 5, 7), downlink_bit_per_s=instances.log(rng, 5, 7),
        edge_share=float(rng.uniform(0.1, 1.0)),
    )  # fmt: skip
    for best, form in ((best_seu, seu_s), (best_seu_device_first, seu_device_first_s)):
        yield Check("digits", apart(best(x)[1], min(form(x, n) for n in range(1, x.steps))), 1.0)


def _rational(**values: Any) -> Alone:
    """An `Alone` in rational numbers, so that its forms are evaluated without rounding."""
    zero: dict[str, Any] = {
        f.name: Fraction(0) for f in fields(Alone) if f.name not in ("steps", "sensed_steps", "shown_at")
    }
    given: dict[str, Any] = {
        name: value if isinstance(value, int) else Fraction(value) for name, value in values.items()
    }
    return Alone(**(zero | {"uplink_bit_per_s": Fraction(1), "edge_share": Fraction(1)} | given))


@validator(
    "E2U against download",
    covers=("download_threshold_bit_per_s", "download_threshold_hz"),
    exact=True,
    loose="nowhere: a difference of two sums",
)
def download(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The threshold against bisection on the two mechanisms' latencies, in rational numbers."""
    image, seed = instances.log(rng, 5, 7.5), instances.log(rng, 5, 6.5)
    share, snr = float(rng.uniform(0.05, 1)), instances.log(rng, 6, 9)
    times = {"device_decode_s": instances.log(rng, -2, 0.5), "edge_decode_s": instances.log(rng, -3, -0.5)}
    coding = {"compress_s": float(rng.uniform(0, 0.05)), "decompress_s": float(rng.uniform(0, 0.05))}
    base = _rational(
        steps=8, edge_step_s=0.02, image_bit=image, seed_bit=seed, request_bit=1e4, edge_share=share,
        propagation_s=0.003,        downlink_bit_per_s=1.0, **times, **coding,
    )  # fmt: skip

    def lost(rate: Decimal | float) -> Fraction:
        rational: Any = Fraction(rate)
        x = replace(base, downlink_bit_per_s=rational)
        return Fraction(e2u_s(x)) - Fraction(centralised_s(x))

    if image < seed and lost(1e30) < 0:
        return  # outside the region: E2U wins above a rate
    found = download_threshold_bit_per_s(image_bit=image, seed_bit=seed, edge_share=share, **times, **coding)
    if found == 0.0 or math.isinf(found):
        # E2U never wins, or always: look at the slowest and the fastest link that matter
        wrong = [lost(rate) < 0 for rate in (1.0, 1e30)] if found == 0.0 else [lost(rate) > 0 for rate in (1.0, 1e30)]
        yield Check("digits", float(any(wrong)), 1.0)
        return
    high = 1.0
    while lost(high) < 0:
        high *= 2
    truth = precise.bisect(lambda rate: Decimal(-1) if lost(rate) > 0 else Decimal(1), 0.5, high)
    yield Check("digits", apart(found, truth), 1.0)
    band = download_threshold_hz(found, snr_hz=snr)
    if found * math.log(2) < 0.999 * snr:
        yield Check("digits", apart(band, precise.shannon_band_hz(found, snr)))
    else:
        yield Check("digits", float(not (math.isinf(band) or found * math.log(2) < snr)))
    yield Check("digits", apart(download_threshold_hz(found, efficiency=2.5) * 2.5, found))


@validator(
    "device joins in",
    share=1 / 3,
    covers=("device_joins_in",),
    exact=True,
    loose="nowhere for identical users; unlike users switch one by one",
)
def joins_in(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Optimum of identical users, local or through the edge, against `solve`, on both sides of the threshold."""
    objective = ("max", "sum")[number % 2]
    a, c = rng.uniform(0.05, 0.4, 3), float(rng.uniform(0, 0.5))
    d = float(rng.uniform(0.3, 4.0))
    terms = {"local_s": d, "remote_fixed_s": c, "remote_shared_s": float(a.sum()), "objective": objective}
    edge_of = device_joins_in(1, **terms).joins_above  # type: ignore[arg-type]
    most = 8 if objective == "sum" else 5  # "max" takes longer to solve
    for users in {max(1, min(most, math.floor(edge_of) + more)) for more in (0, 1)}:
        crowd = device_joins_in(users, **terms)  # type: ignore[arg-type]
        table = np.tile([1.0, 0.0], (users, 1))
        problem = AllocationProblem(
            fixed_s=np.tile([c, d], (users, 1)), uplink_bit=a[0] * table, edge_work_s=a[1] * table,
            downlink_bit=a[2] * table, downlink_hz=1.0, uplink_hz=1.0, downlink_efficiency=np.ones(users),
            uplink_efficiency=np.ones(users), edge_share_max=np.ones(users), objective=objective,
        )  # fmt: skip
        found = solve(problem, method="enumerate")
        yield Check("solver", apart(crowd.objective_s, found.objective_s), 1.0)
        served = int((found.option == 0).sum())
        if abs(users - edge_of) > 1e-6:
            yield Check("solver", float((served == users) != (users <= edge_of)))


@validator(
    "PEU balance",
    covers=("peu_balance",),
    exact=True,
    loose="nowhere: two lines cross; the grid of real shares is coarser",
)
def balance(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The share against bisection, its latency against every share of a grid solved as options."""
    e0, e1, d0, d1 = (instances.log(rng, -2, 1) for _ in range(4))
    low, high = sorted(rng.uniform(0, 1, 2)) if number % 2 else (0.0, 1.0)
    found = peu_balance(
        edge_constant_s=e0, edge_whole_s=e1, device_constant_s=d0, device_whole_s=d1, share_min=low, share_max=high
    )
    E0, E1, D0, D1 = (Decimal(v) for v in (e0, e1, d0, d1))
    truth = precise.bisect(lambda x: D0 + (1 - x) * D1 - E0 - x * E1, low, high)
    value = precise.least(lambda x: max(E0 + x * E1, D0 + (1 - x) * D1), low, high)
    yield Check("digits", abs(found.share - truth), 1.0)
    yield Check("digits", apart(found.latency_s, value))
    if number % 4 == 0:
        shares = np.unique(np.r_[np.linspace(low, high, 33), found.share])[None]
        best = solve(
            AllocationProblem(
                fixed_s=np.full(shares.shape, 0.2), device_branch_s=np.maximum(d0 + (1 - shares) * d1, 0.0),
                edge_work_s=e0 + shares * e1, uplink_bit=0 * shares, downlink_bit=0 * shares, downlink_hz=1.0,
                uplink_hz=1.0,
            ), method="enumerate",
        )  # fmt: skip
        yield Check("solver", apart(best.objective_s, found.latency_s + 0.2))


@validator(
    "generation splitting", covers=("generation_split",), exact=True, loose="nowhere: convex in the device's share"
)
def splitting(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """The closed form against golden section in 50 digits, its limits, and the power cone program."""
    p = instances.split(rng)
    if number % 10 == 7:
        # the tie U_min = A, where a whole interval of shares is optimal
        p = replace(p, edge_s=p.fastest_device_s, payload_bit=0.0)
    if number % 10 == 8:
        p = replace(p, energy_max_j=0.0)
    found = generation_split(p)
    truth = precise.split_latency_s(
        whole_edge_s=p.whole_edge_s, device_s_at_1_w=p.device_s_at_1_w, exponent=p.exponent,
        energy_max_j=p.energy_max_j, power_max_w=p.power_max_w, share_min=p.share_min,
    )  # fmt: skip
    yield Check("digits", apart(found.latency_s, truth), 1.0)
    yield Check("digits", p.evaluate(found.share, found.power_w).violation)
    tied = p.evaluate(found.share_tied_max, p.power_w(1 - found.share_tied_max))
    yield Check("digits", apart(tied.latency_s, truth))
    if number % 4 == 0:
        solved = solve(p, method="energy_delay", gap=1e-8)
        yield Check("solver", apart(solved.latency_s, found.latency_s))
        yield Check("side", above(solved.lower_bound_s, truth))


@validator(
    "energy-delay front", covers=("energy_delay_front",), exact=True, loose="nowhere: one closed form for each limit"
)
def front(rng: np.random.Generator, number: int) -> Iterator[Check]:
    """Convex, non-increasing, from full edge generation, and the power cone program at one of its points."""
    p = instances.split(rng)
    found = energy_delay_front(p)
    latency = found.latency_s
    yield Check("digits", apart(float(latency[0]), p.whole_edge_s), 1.0)
    yield Check("digits", max(above(float(b), float(a)) for a, b in pairwise(latency)))
    middle = (latency[:-2] + latency[2:]) / 2
    yield Check("digits", max(above(float(b), float(m)) for b, m in zip(latency[1:-1], middle, strict=True)))
    yield Check(
        "digits",
        max(above(float(e), float(m)) for e, m in zip(found.energy_j[1:], found.energy_max_j[1:], strict=True)),
    )
    if number % 5 == 0:
        i = int(rng.integers(1, len(latency)))
        solved = solve(replace(p, energy_max_j=float(found.energy_max_j[i])), method="energy_delay", gap=1e-8)
        yield Check("solver", apart(solved.latency_s, float(latency[i])))
        yield Check("side", above(solved.lower_bound_s, float(latency[i])))
