"""Seeded problems that are malformed, extreme, or limited: what `experiments/fuzz.py` feeds to every route."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

Rng = np.random.Generator
Fields = dict[str, Any]

MALFORMED, EXTREME, LIMITED = "malformed", "extreme", "limited"
"""Kinds of cases."""

_TABLES = ("fixed_s", "downlink_bit", "uplink_bit", "edge_work_s")


@dataclass(frozen=True)
class Case:
    """Arguments of one problem and of one call of `solve`.

    Parameters
    ----------
    number : int
    kind : str
        One of `MALFORMED` (something in it cannot be used), `EXTREME` and `LIMITED`.
    traits : tuple of str
        What it is made of.
    fields : dict
        Arguments of `AllocationProblem`.
    gap, time_limit_s, method : object
        Arguments of `solve`, in a malformed case of any type.
    near : float or None
        Where the deadlines are this factor times the latencies of an allocation that `fuzz_judge` works out.
    deadlines, airtimes : array, (K,) and (K, O), or None
        Where deadlines, and limits on airtime, are these factors times the latencies and airtimes of such an
        allocation.
    """

    number: int
    kind: str
    traits: tuple[str, ...]
    fields: Fields
    gap: Any = 1e-6
    time_limit_s: Any = None
    method: Any = "prices"
    near: float | None = None
    deadlines: NDArray[np.float64] | None = None
    airtimes: NDArray[np.float64] | None = None

    @property
    def malformed(self) -> bool:
        """Whether something in it cannot be used."""
        return self.kind == MALFORMED


def draw_case(number: int, seed: int = 0, *, limited: bool = False) -> Case:
    """Case `number` of a seed: a limited one, or else one of which two of five are malformed."""
    rng = np.random.default_rng([seed, number, 77])
    if limited:
        return _limited(number, rng)
    return _malformed(number, rng) if number % 5 < 2 else _extreme(number, rng)


# ---- limited


def _limited(number: int, rng: Rng) -> Case:
    """Numbers as people have them, every objective, and limits at and about what an allocation just keeps: all of them
    are to be closed."""
    shape = int(rng.integers(1, 5)), int(rng.integers(1, 4))
    users = shape[0]
    spread, there = float(rng.choice([0.3, 1.0, 3.0])), float(rng.choice([0.5, 0.8, 1.0]))
    objective = str(rng.choice(["sum", "max", "mixed", "missed"]))
    f: Fields = {"objective": objective, "downlink_hz": 1.0, "uplink_hz": 1.0}
    f["edge_capacity"] = float(rng.choice([0.3, 1.0, 2.0]))
    f |= {name: rng.lognormal(0.0, spread, shape) * (rng.random(shape) < there) for name in _TABLES}
    for side in ("downlink", "uplink"):
        if rng.random() < 0.5:
            f[f"{side}_snr_hz"] = 10.0 ** rng.uniform(-6, 3, users)
        else:
            f[f"{side}_efficiency"] = rng.lognormal(0.0, 1.0, users)
    if rng.random() < 0.4:
        f["edge_share_max"] = rng.choice([0.2, 0.5, 1e9], users)
    if rng.random() < 0.6:
        f["weight"] = rng.lognormal(0.0, 1.0, users)
    if rng.random() < 0.3:
        f["device_branch_s"] = rng.lognormal(0.0, spread, shape)
    if objective == "mixed":
        f["max_weight"] = float(rng.lognormal(0.0, 1.5))
    deadlines = airtimes = None
    if objective == "missed":
        deadlines = rng.choice([0.5, 0.8, 1.0, 1.01, 1.5], users)
        f["deadline_s"] = np.ones(users)  # in place of those that follow
    elif rng.random() < 0.5:
        deadlines = rng.choice([0.7, 0.9, 0.99, 1.0, 1.0 + 1e-9, 1.001, 1.1, 2.0, 1e6], users)
    if rng.random() < 0.3:
        airtimes = rng.choice([0.9, 1.0, 1.0, 1.2, 3.0], shape)
    return Case(number, LIMITED, (objective,), f, deadlines=deadlines, airtimes=airtimes)


# ---- extreme


def _extreme(number: int, rng: Rng) -> Case:
    users = int(rng.choice([1, 1, 2, 2, 3, 4]))
    options = int(rng.choice([1, 2, 3, 4] if users < 4 else [1, 2, 3]))
    scale = _SCALES[int(rng.integers(len(_SCALES)))]
    traits = [scale.__name__.strip("_")]
    fields: Fields = {"objective": str(rng.choice(["max", "sum"]))}
    shape = (users, options)
    fields["fixed_s"] = scale(rng, shape) * (rng.random(shape) < 0.7)
    for name in _TABLES[1:]:
        fields[name] = scale(rng, shape) * (rng.random(shape) < 0.75)
    for name in ("downlink_hz", "uplink_hz", "edge_capacity"):
        fields[name] = float(scale(rng, (1,))[0])
    for side in ("downlink", "uplink"):
        law = "snr_hz" if rng.random() < 0.4 else "efficiency"
        if law == "snr_hz":
            traits.append("shannon")
        fields[f"{side}_{law}"] = scale(rng, (users,))
    for trait, chance, change in _TRAITS:
        if rng.random() < chance:
            traits.append(trait)
            change(rng, fields, shape, scale)
    near = None
    if rng.random() < 0.25:
        near = 1.0 + float(rng.choice([-1, 1]) * rng.choice([0.0, 1e-12, 1e-9, 1e-6, 1e-3, 0.1]))
        traits.append("near deadlines")
    gap = float(rng.choice([1e-6, 1e-6, 1e-6, 1e-9, 1e-12, 0.0, 0.5]))
    limit = rng.choice([None, None, None, None, 1e-9, 1e-3, 5.0])
    return Case(
        number,
        EXTREME,
        tuple(dict.fromkeys(traits)),
        fields,
        gap,
        None if limit is None else float(limit),
        "auto" if number % 2 else "prices",
        near,
    )


def _usual(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
    return rng.uniform(0.1, 10.0, shape)


def _mixed_magnitudes(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """1e-12 to 1e12 within one array."""
    result: NDArray[np.float64] = 10.0 ** rng.uniform(-12, 12, shape)
    return result


def _field_magnitudes(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Each array of one magnitude, 1e-12 to 1e12."""
    result: NDArray[np.float64] = 10.0 ** rng.uniform(-12, 12) * rng.uniform(0.3, 3.0, shape)
    return result


def _mild_magnitudes(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
    result: NDArray[np.float64] = 10.0 ** rng.uniform(-4, 4, shape)
    return result


def _ties(rng: Rng, shape: tuple[int, ...]) -> NDArray[np.float64]:
    """Small whole numbers: options, users and limits tie exactly."""
    return rng.integers(1, 3, shape).astype(float)


_SCALES = (_usual, _mixed_magnitudes, _field_magnitudes, _mild_magnitudes, _ties)
Scale = Callable[[Rng, tuple[int, ...]], NDArray[np.float64]]


def _no_payloads(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    for name in rng.choice(_TABLES[1:], int(rng.integers(1, 4)), replace=False):
        f[str(name)] = np.zeros(shape)


def _no_budget(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f[str(rng.choice(["downlink_hz", "uplink_hz", "edge_capacity"]))] = 0.0


def _no_rate(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    names = [n for n in f if n.endswith(("efficiency", "snr_hz"))]
    name = names[int(rng.integers(len(names)))]
    f[name] = f[name] * (rng.random(shape[0]) < 0.5)


def _one_allowed(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    allowed = np.zeros(shape, bool)
    allowed[np.arange(shape[0]), rng.integers(0, shape[1], shape[0])] = True
    f["allowed"] = allowed


def _forbidden(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["allowed"] = rng.random(shape) < 0.6


def _duplicated(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    for name in _TABLES:
        f[name] = np.repeat(f[name][:, :1], shape[1], axis=1)


def _same_users(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    for name, value in f.items():
        if isinstance(value, np.ndarray):
            f[name] = np.repeat(value[:1], shape[0], axis=0)


def _branches(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["device_branch_s"] = scale(rng, shape) * (rng.random(shape) < 0.6)


def _weights(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["weight"] = 10.0 ** rng.uniform(-9, 9, shape[0])


def _caps(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["edge_share_max"] = rng.choice([1e-9, 1e-3, 0.3, 1.0, 1e9], shape[0])


def _airtime(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    """Airtime limits around what a user needs alone, or tiny, or huge, or zero."""
    law = f.get("uplink_efficiency", f.get("uplink_snr_hz"))
    with np.errstate(divide="ignore", invalid="ignore", over="ignore"):
        if "uplink_efficiency" in f:
            alone = f["uplink_bit"] / (law[:, None] * f["uplink_hz"])
        else:
            alone = f["uplink_bit"] / (f["uplink_hz"] * np.log2(1 + law / f["uplink_hz"]))[:, None]
    alone = np.where(np.isfinite(alone) & (alone > 0), alone, 1.0)
    f["uplink_airtime_max_s"] = alone * rng.choice([1.0, 1 + 1e-9, 1.5, shape[0], 10.0, 1e6, 1e-9, 0.0], shape)


def _deadlines(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["deadline_s"] = scale(rng, (shape[0],)) * 10.0 ** rng.uniform(-1, 4)


def _power_limit(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    """Uplink under Shannon's law with so wide a band that the rate is next to its supremum g / ln 2."""
    f.pop("uplink_efficiency", None)
    f["uplink_snr_hz"] = _usual(rng, (shape[0],))
    f["uplink_hz"] = 10.0 ** rng.uniform(0, 12)
    f["uplink_bit"] = _usual(rng, shape)
    least_s = f["uplink_bit"] * np.log(2.0) / f["uplink_snr_hz"][:, None]
    if rng.random() < 0.5:
        f["uplink_airtime_max_s"] = least_s * (1 + 10.0 ** rng.uniform(-12, 0))


def _mixed_objective(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["objective"], f["max_weight"] = "mixed", float(rng.choice([0.0, 1e-9, 1.0, 1e9]))


def _missed_objective(rng: Rng, f: Fields, shape: tuple[int, int], scale: Scale) -> None:
    f["objective"] = "missed"
    f["deadline_s"] = scale(rng, (shape[0],)) * 10.0 ** rng.uniform(-1, 4)


_TRAITS: tuple[tuple[str, float, Callable[[Rng, Fields, tuple[int, int], Scale], None]], ...] = (
    ("no payloads", 0.1, _no_payloads),
    ("no budget", 0.08, _no_budget),
    ("no rate", 0.08, _no_rate),
    ("branches", 0.3, _branches),
    ("duplicated", 0.1, _duplicated),
    ("same users", 0.1, _same_users),
    ("one allowed", 0.08, _one_allowed),
    ("forbidden", 0.15, _forbidden),
    ("weights", 0.3, _weights),
    ("caps", 0.3, _caps),
    ("power limit", 0.08, _power_limit),
    ("airtime", 0.15, _airtime),
    ("deadlines", 0.15, _deadlines),
    ("mixed", 0.03, _mixed_objective),
    ("missed", 0.02, _missed_objective),
)


# ---- malformed


def _malformed(number: int, rng: Rng) -> Case:
    users, options = int(rng.integers(1, 4)), int(rng.integers(1, 4))
    shape = (users, options)
    f: Fields = {"objective": str(rng.choice(["max", "sum"])), "downlink_hz": 1.0, "uplink_hz": 2.0}
    f |= {"edge_capacity": 1.0, "downlink_efficiency": _usual(rng, (users,)), "uplink_snr_hz": _usual(rng, (users,))}
    f |= {name: _usual(rng, shape) for name in (*_TABLES, "device_branch_s", "uplink_airtime_max_s")}
    f |= {name: _usual(rng, (users,)) for name in ("weight", "edge_share_max", "deadline_s")}
    call: Fields = {}
    names = sorted(f)
    kind = int(rng.integers(6))
    name = names[int(rng.integers(len(names)))]
    if kind <= 2:
        value = f[name]
        bad = _WRONG_VALUES[int(rng.integers(len(_WRONG_VALUES)))]
        if isinstance(value, np.ndarray) and rng.random() < 0.6:
            # one entry only; a value that no float array holds makes it an array of objects
            spoiled = value.astype(object)
            spoiled[tuple(int(rng.integers(n)) for n in value.shape)] = bad
            f[name] = spoiled if rng.random() < 0.5 else spoiled.tolist()
        else:
            f[name] = bad
        trait = f"{name} = {str(bad)[:20]}"
    elif kind == 3:
        arrays = [n for n in names if isinstance(f[n], np.ndarray)]
        name = arrays[int(rng.integers(len(arrays)))]
        value = f[name]
        twice = np.vstack([value, value])
        shapes = (value[:-1], value[..., None], twice, value.ravel()[:1], value.sum(), value.T[..., :0])
        f[name] = shapes[int(rng.integers(len(shapes)))]
        trait = f"{name} of another shape"
    elif kind == 4:
        change = _WRONG_PROBLEMS[int(rng.integers(len(_WRONG_PROBLEMS)))]
        change(f, name)
        trait = change.__name__.strip("_").replace("_", " ")
    else:
        which = str(rng.choice(["gap", "time_limit_s", "method"]))
        bads = {"gap": _WRONG_GAPS, "time_limit_s": _WRONG_LIMITS, "method": _WRONG_METHODS}[which]
        call[which] = bads[int(rng.integers(len(bads)))]
        trait = f"{which} = {call[which]!r}"[:40]
    return Case(number, MALFORMED, (trait,), f, **call)


_WRONG_VALUES: tuple[Any, ...] = (
    float("nan"), float("inf"), -float("inf"), -1.0, -1e-300, "three", "", None, 10**400, -(10**400), 1 + 2j, [], {},
    [[1.0], [2.0, 3.0]], object(), True, np.nan, b"1", np.datetime64("2020-01-01"), "nan", [[[1.0]]], 1e308, 5e-324,
)  # fmt: skip
_WRONG_GAPS: tuple[Any, ...] = (float("nan"), -1.0, "small", None, float("inf"), [1e-6], 1j, -1e-300, 10**400)
_WRONG_LIMITS: tuple[Any, ...] = (0.0, -1.0, float("nan"), float("inf"), "long", [1.0], 1j, 10**400)
_WRONG_METHODS: tuple[Any, ...] = ("", "magic", None, 3, ["prices"], "__init__", "_checks", "../prices", "Prices")


def _missing_field(f: Fields, name: str) -> None:
    del f[name]


def _unknown_objective(f: Fields, name: str) -> None:
    f["objective"] = "median"


def _objective_of_another_type(f: Fields, name: str) -> None:
    f["objective"] = ["max"]


def _mixed_without_weight(f: Fields, name: str) -> None:
    f["objective"] = "mixed"


def _weight_without_mixed(f: Fields, name: str) -> None:
    f["max_weight"] = 1.0


def _missed_without_deadlines(f: Fields, name: str) -> None:
    f["objective"], f["deadline_s"] = "missed", None


def _two_rate_laws(f: Fields, name: str) -> None:
    f["downlink_snr_hz"] = f["downlink_efficiency"]


def _no_rate_law(f: Fields, name: str) -> None:
    f["downlink_efficiency"] = None


def _flags_of_strings(f: Fields, name: str) -> None:
    f["allowed"] = np.full(f["fixed_s"].shape, "yes")


def _flags_of_nan(f: Fields, name: str) -> None:
    f["allowed"] = np.full(f["fixed_s"].shape, np.nan)


def _flags_of_another_shape(f: Fields, name: str) -> None:
    f["allowed"] = [True]


def _ragged_flags(f: Fields, name: str) -> None:
    f["allowed"] = [[True], [True, False]]


def _flags_of_objects(f: Fields, name: str) -> None:
    f["allowed"] = np.full(f["fixed_s"].shape, None, dtype=object)


def _nothing_allowed(f: Fields, name: str) -> None:
    f["allowed"] = np.zeros(f["fixed_s"].shape, bool)


def _boolean_table(f: Fields, name: str) -> None:
    f["fixed_s"] = np.ones(f["fixed_s"].shape, bool)


def _whole_numbers(f: Fields, name: str) -> None:
    f["downlink_bit"] = np.full(f["fixed_s"].shape, 10**18)


_WRONG_PROBLEMS = (
    _missing_field, _unknown_objective, _objective_of_another_type, _mixed_without_weight, _weight_without_mixed,
    _missed_without_deadlines, _two_rate_laws, _no_rate_law, _flags_of_strings, _flags_of_nan, _flags_of_another_shape,
    _ragged_flags, _flags_of_objects, _nothing_allowed, _boolean_table, _whole_numbers,
)  # fmt: skip
