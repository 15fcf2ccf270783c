"""Proofs of upper bounds of a quality that is maximised: prices of machine time and of the band."""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from megdt_opt.certificate.verdict import EXACT_SIZE
from megdt_opt.errors import InvalidInput
from megdt_opt.files import read_json, write_text
from megdt_opt.values import real

if TYPE_CHECKING:
    from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem

FORMAT = "megdt-opt quality certificate 1"

_FIELDS = {"format": repr(FORMAT), "bound": "a finite number", "prices": "a list of finite numbers of at least 0"}


@dataclass(frozen=True)
class QualityVerdict:
    """Outcome of a verification.

    Parameters
    ----------
    holds : bool
        Whether the bound is proven.
    bound : float
        The upper bound that the prices prove [1]; at most the certificate's where it holds.
    exact : bool
        Whether the arithmetic was rational.
    reason : str
        What failed.
    """

    holds: bool
    bound: float
    exact: bool
    reason: str = ""


@dataclass(frozen=True)
class QualityCertificate:
    """Proof that no answer to a `BatchedEdgeProblem` of "quality" is worth more than `bound`.

    Parameters
    ----------
    bound : float
        The upper bound [1].
    prices : tuple of float
        Of the band and of machine time, as `TimePrices.numbers` writes them.
    """

    bound: float
    prices: tuple[float, ...]
    objective: str = "quality"

    def verify(self, problem: BatchedEdgeProblem, *, exact: bool | None = None) -> QualityVerdict:
        """Recompute what the prices prove.

        Parameters
        ----------
        problem : BatchedEdgeProblem
            The problem that the certificate is about.
        exact : bool, optional
            Rational arithmetic; default up to K (N + 1) = 10,000.
        """
        from megdt_opt.certificate.batched_times import TimesProof
        from megdt_opt.certificate.check import MARGIN
        from megdt_opt.certificate.proofs import require_class
        from megdt_opt.certificate.tree import Leaf, Part

        require_class(problem)
        use = True if exact is None else exact
        if getattr(problem, "objective", None) != "quality" or not hasattr(problem, "steps"):
            return QualityVerdict(False, np.inf, use, "the certificate is about another objective")
        proof = TimesProof(problem)
        use = proof.size <= EXACT_SIZE if exact is None else exact
        bound = real(self.bound)
        if bound is None or not np.isfinite(bound):
            return QualityVerdict(False, np.inf, use, "the bound is not a finite number")
        prices = tuple(real(one) for one in self.prices)
        leaf = Leaf(tuple(np.nan if one is None else one for one in prices))
        fault = "the prices are not finite numbers"
        if prices and np.isfinite(leaf.prices).all():
            fault = proof.fault(leaf)
        if fault:
            return QualityVerdict(False, np.inf, use, fault)
        proven = -proof.whole(proof.valuer(use).value(Part(leaf, proof.to_partition(use), ()), None))
        holds = proven <= bound + abs(bound) * MARGIN * (not use)
        return QualityVerdict(holds, proven, use, "" if holds else "the prices prove less than the bound")

    def to_dict(self) -> dict[str, Any]:
        """Plain data that `from_dict` reads back."""
        return {"format": FORMAT, "bound": self.bound, "prices": list(self.prices)}

    @classmethod
    def from_dict(cls, data: Any) -> QualityCertificate:
        """Build from plain data; raises InvalidInput where it is no certificate."""
        remedy = "Save it again with `QualityCertificate.save`."
        if not isinstance(data, dict):
            raise InvalidInput("certificate", type(data).__name__, f"a mapping of {', '.join(_FIELDS)}", remedy)
        for name in data:
            if name not in _FIELDS:
                raise InvalidInput(
                    f"certificate.{name}", "an unknown field", f"no field but {', '.join(_FIELDS)}", remedy
                )
        for name, expected in _FIELDS.items():
            if name not in data:
                raise InvalidInput(f"certificate.{name}", None, expected, remedy)
        bound, listed = real(data["bound"]), data["prices"]
        if data["format"] != FORMAT:
            raise InvalidInput("certificate.format", data["format"], _FIELDS["format"], remedy)
        if bound is None or not np.isfinite(bound):
            raise InvalidInput("certificate.bound", data["bound"], _FIELDS["bound"], remedy)
        prices = [real(one) for one in listed] if isinstance(listed, list | tuple) else [None]
        good = tuple(one for one in prices if one is not None and 0 <= one < np.inf)
        if len(good) < len(prices):
            raise InvalidInput("certificate.prices", listed, _FIELDS["prices"], remedy)
        return cls(bound, good)

    def save(self, path: str | Path) -> None:
        """Write as JSON, whole or not at all."""
        write_text(path, json.dumps(self.to_dict()))

    @classmethod
    def load(cls, path: str | Path) -> QualityCertificate:
        """Read from JSON; raises InvalidInput where the file is missing, truncated or no certificate."""
        try:
            return cls.from_dict(read_json(path, "certificate file"))
        except InvalidInput as error:
            raise error.within(str(path)) from None
