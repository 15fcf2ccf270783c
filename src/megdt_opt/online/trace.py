"""What comes over time: when requests arrive and from whom, and how the links fade meanwhile."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import ArrayLike, NDArray

from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_text
from megdt_opt.problem import checks

Array = NDArray[np.float64]

MOST_REQUESTS = 10**7
"""Most requests of a trace [1]."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Trace:
    """Arrivals of requests, and the factors by which fading multiplies the rates of the links.

    Parameters
    ----------
    arrival_s : array_like, (n,)
        Arrivals from time 0 on, in their order [s].
    user : array_like of int, (n,)
        Whose request it is: a row of the `Service`.
    users : int
        How many users there are, K [1].
    slot_s : float, optional
        Length of a slot, in which the links stay as they are [s]; goes with `link_factor`.
    link_factor : array_like, (S, K), optional
        Factor on the nominal rate of each user's links in each slot, above 0 [1]. The slots begin at time 0 and reach
        to the last arrival at least; the last one's factors hold from then on.

    Raises
    ------
    InvalidInput
        Where an arrival lies before time 0, out of order or is no number, a slot is missing, or a user is not there.

    Examples
    --------
    >>> from megdt_opt.online import Trace
    >>> Trace.poisson([2.0, 1.0], requests=3, seed=1).arrival_s.round(2).tolist()
    [0.36, 0.46, 2.25]
    """

    arrival_s: Array
    user: NDArray[np.int64]
    users: int
    slot_s: float | None = None
    link_factor: Array | None = None

    def __post_init__(self) -> None:
        users = checks.count("users", self.users, 1, "Give the number of rows of the service.")
        shape = checks.table_shape("arrival_s", self.arrival_s, "s", ("n requests",))
        times = _arrivals(self.arrival_s, shape)
        who = checks.options("user", self.user, shape, users, "Name one of the users for each request.")
        for name, array in (("arrival_s", times), ("user", who)):
            object.__setattr__(self, name, checks.read_only(array.copy()))
        if (self.slot_s is None) != (self.link_factor is None):
            expected = "the length of a slot [s] and the factors of all slots, or neither"
            raise InvalidInput("slot_s", self.slot_s, expected, "Give both, or leave both out.")
        if self.link_factor is not None:
            self._check_slots(float(times[-1]))

    def _check_slots(self, last_s: float) -> None:
        slot_s = checks.number("slot_s", self.slot_s, "s", zero=False)
        slots = checks.table_shape("link_factor", self.link_factor, "1", ("S slots", "K users"))[0]
        found = checks.plain("link_factor", self.link_factor, f"factors [1], shape ({slots}, {self.users})")
        if np.isnan(found).any():
            slot, user = (int(i) for i in np.argwhere(np.isnan(found))[0])
            expected = "a factor above 0 [1] for every slot: this one is missing"
            remedy = "Fill the gap, for example with the factor of the slot before."
            raise InvalidInput(f"link_factor (slot {slot}, user {user})", np.nan, expected, remedy)
        factors = checks.numbers(
            "link_factor", found, (slots, self.users), "1", zero=False, axes=("slot", "user"), copy=True
        )
        if slots * slot_s < last_s:
            raise InvalidInput(
                "link_factor",
                f"{slots} slots up to {slots * slot_s:g} s",
                f"slots up to the last arrival at {last_s:g} s",
                "Add the slots that are missing, or leave out the arrivals after them.",
            )
        object.__setattr__(self, "slot_s", slot_s)
        object.__setattr__(self, "link_factor", checks.read_only(factors))

    def __len__(self) -> int:
        return len(self.arrival_s)

    def __repr__(self) -> str:
        slots = "constant links" if self.link_factor is None else f"{len(self.link_factor)} slots of {self.slot_s:g} s"
        return f"<Trace: {len(self)} requests of {self.users} users in {float(self.arrival_s[-1]):g} s, {slots}>"

    @classmethod
    def poisson(
        cls,
        rate_per_s: ArrayLike,
        *,
        requests: int,
        seed: int = 0,
        slot_s: float | None = None,
        fading_db: float = 0.0,
        fading_memory: float = 0.9,
    ) -> Trace:
        """Draw arrivals of Poisson processes, and where asked links that fade.

        Parameters
        ----------
        rate_per_s : array_like, (K,)
            Mean requests of each user in a second, at least 0 [1/s].
        requests : int
            How many arrivals to draw, of all users together [1].
        seed : int
            Seed; the same one gives the same trace.
        slot_s : float, optional
            Length of a fading slot [s]; without it the links are constant.
        fading_db : float
            Standard deviation of the factors in decibel [dB]: they are log-normal around 1.
        fading_memory : float
            Correlation of neighbouring slots, at least 0 and below 1 [1].

        Raises
        ------
        InvalidInput
            Where a number is out of its range.
        """
        shape = checks.table_shape("rate_per_s", rate_per_s, "1/s", ("K users",))
        rate = checks.numbers("rate_per_s", rate_per_s, shape, "1/s", axes=("user",))
        n = checks.count("requests", requests, 1, "Ask for one request at least.")
        if not rate.any() or n > MOST_REQUESTS:
            field, value = ("rate_per_s", rate.tolist()) if not rate.any() else ("requests", n)
            expected = f"a rate above 0 [1/s], and at most {MOST_REQUESTS} requests"
            raise InvalidInput(field, value, expected, "Raise a rate, or ask for fewer requests.")
        rng = np.random.default_rng(checks.count("seed", seed, 0, "Give an integer of at least 0."))
        arrival_s = np.cumsum(rng.exponential(1 / rate.sum(), n))
        user = rng.choice(len(rate), n, p=rate / rate.sum())
        factors = None
        deviation_db = checks.number("fading_db", fading_db, "dB")
        if slot_s is None and deviation_db:
            raise InvalidInput("slot_s", None, "the length of a slot [s] where links fade", "Add it.")
        if slot_s is not None:
            length_s = checks.number("slot_s", slot_s, "s", zero=False)
            memory = checks.number("fading_memory", fading_memory, "1")
            if memory >= 1:
                raise InvalidInput("fading_memory", memory, "a correlation below 1 [1]", "Lower it.")
            slots = int(arrival_s[-1] // length_s) + 1
            factors = fading_factors(rng, slots, len(rate), deviation_db, memory)
        return cls(arrival_s=arrival_s, user=user, users=len(rate), slot_s=slot_s, link_factor=factors)

    @classmethod
    def load(
        cls,
        path: str | Path,
        users: Sequence[str],
        *,
        slot_s: float | None = None,
        links: str | Path | None = None,
    ) -> Trace:
        """Read a trace from tables.

        Parameters
        ----------
        path : str or Path
            CSV with the columns request, arrival_s and user: requests are numbered 0, 1, 2 and so on, users go by name.
        users : sequence of str
            Names of the users, in the order of the service.
        slot_s, links
            Length of a slot [s], and a CSV with the columns slot (0, 1, 2 and so on) and one named after each user.

        Raises
        ------
        InvalidInput
            Where a file cannot be read or a row is missing or wrong; names file, line and column.
        """
        names = list(users)
        rows = list(_rows(path, "request", ["arrival_s", "user"]))
        for place, row in rows:
            if row["user"] not in names:
                raise InvalidInput(f"{place}: user", "another name", f"one of {names}", "Name a user of the scenario.")
        factors = None
        if links is not None:
            found = list(_rows(links, "slot", names))
            factors = np.array([[_number(f"{place}: {name}", row[name]) for name in names] for place, row in found])
        return cls(
            arrival_s=np.array([_number(f"{place}: arrival_s", row["arrival_s"]) for place, row in rows]),
            user=np.array([names.index(row["user"]) for _, row in rows]),
            users=len(names),
            slot_s=slot_s,
            link_factor=factors,
        )


def _arrivals(value: Any, shape: tuple[int, ...]) -> Array:
    found = checks.plain("arrival_s", value, f"times [s], shape {shape}")
    early = np.flatnonzero(found < 0)
    if early.size:
        k = int(early[0])
        remedy = "Begin the trace at its first arrival: subtract that time from all."
        raise InvalidInput(f"arrival_s (request {k})", float(found[k]), "a time of at least 0 [s]", remedy)
    times = checks.numbers("arrival_s", found, shape, "s", axes=("request",), copy=True)
    back = np.flatnonzero(np.diff(times) < 0)
    if back.size:
        k = int(back[0]) + 1
        expected = f"a time no earlier than that of the request before, {times[k - 1]:g} [s]"
        raise InvalidInput(f"arrival_s (request {k})", float(times[k]), expected, "Sort the requests by arrival.")
    return times


def fading_factors(rng: np.random.Generator, slots: int, users: int, deviation_db: float, memory: float) -> Array:
    """Log-normal factors on rates, (S, K) [1]: deviation in decibel [dB], correlation of neighbouring slots [1]."""
    from scipy.signal import lfilter

    drawn = rng.standard_normal((slots, users))
    drawn[1:] *= np.sqrt(1 - memory**2)
    found: Array = 10 ** (deviation_db / 10 * lfilter([1.0], [1.0, -memory], drawn, axis=0))
    return found


def _rows(path: str | Path, counter: str, columns: list[str]) -> Iterator[tuple[str, dict[str, str]]]:
    """Place and cells of each row of a table whose first column counts from 0 without a gap."""
    reader = csv.DictReader(io.StringIO(read_text(path, "trace file")))
    wanted = [counter, *columns]
    if reader.fieldnames is None or set(reader.fieldnames) != set(wanted):
        raise InvalidInput("trace file", str(path), f"a CSV with the columns {wanted}", "Give it this first line.")
    for number, row in enumerate(reader):
        place = f"{path}, line {reader.line_num}"
        if None in row or None in row.values():
            raise InvalidInput(place, "another number of cells", f"{len(wanted)} cells", "Complete the row.")
        if row[counter].strip() != str(number):
            expected = f"{number}: the rows count from 0 without a gap"
            raise InvalidInput(f"{place}: {counter}", "another number", expected, f"Add the {counter} that is missing.")
        yield place, row


def _number(place: str, text: str) -> float:
    try:
        found = float(text)
    except ValueError:
        found = np.nan
    if not np.isfinite(found):
        raise InvalidInput(place, "no finite number", "a finite number", "Fill in what is missing.")
    return found
