"""What was measured of the pictures of a scenario's options, and what was not."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from functools import cached_property, lru_cache
from pathlib import PurePath
from typing import Any

from megdt_opt.errors import InvalidInput
from megdt_opt.models.registry import known_measured
from megdt_opt.program.mechanisms import Option
from megdt_opt.program.model_spec import ModelSpec
from megdt_opt.program.precisions import PRECISION_REGISTRY
from megdt_opt.program.stages import Compute, Kind, Stage, is_edge, leaves
from megdt_opt.quality.curves import AGAINST_TRUTH, Measured, Quality
from megdt_opt.quality.digest import weights_digest
from megdt_opt.quality.factors import Factors
from megdt_opt.quality.table import QualityTable
from megdt_opt.scenario.adapters import unmeasured_adapters, uses_adapter
from megdt_opt.scenario.floors import check_metrics
from megdt_opt.scenario.machines import Machines
from megdt_opt.scenario.scenario import Scenario, User


def find_measured(file: str | None, spec: ModelSpec) -> Measured | None:
    """The table of a model: a user's file, or the bundled one; None where there is neither.

    Raises
    ------
    InvalidInput
        Where the file is of another model, or of other weights than are planned with.
    """
    if file is None:
        return None if spec.source else _bundled(spec.name)
    table = QualityTable.load(file)
    remedy = "Measure this one with `megdt-opt quality`, or leave the file out."
    if table.model != spec.name:
        raise InvalidInput("quality", file, f"a file of the model {spec.name!r}, not of {table.model!r}", remedy)
    digest = weights_digest(spec)
    if digest is not None and digest != table.weights:
        raise InvalidInput("quality", file, f"a file of the weights of {spec.name!r} that are planned with", remedy)
    return Measured(table)


@lru_cache(maxsize=8)
def _bundled(model: str) -> Measured | None:
    table = QualityTable.bundled(model)
    return None if table is None else Measured(table)


def quality_columns(user: User, quality: Quality | None) -> dict[str, float | None]:
    """The figures that a user asks for, as columns of tables: what can be relied on of the pictures.

    Returns
    -------
    dict
        "quality_psnr_db" and so on, by the names of the metrics; empty for a user who asks for none.
    """
    found: dict[str, float | None] = {}
    for asked in (user.quality_target, user.quality_min):
        for metric in () if asked is None else asked.asked:
            figure = None if quality is None else quality.get(metric)
            found[f"quality_{metric}"] = None if asked is None or figure is None else figure.floor(metric, asked.at)
    return found


class MeasuredOptions:
    """Looks up what was measured of users' options.

    Parameters
    ----------
    scenario : Scenario
    spec : ModelSpec
    machines : Machines
        In what precisions the actors compute.

    Raises
    ------
    InvalidInput
        As `find_measured`; and where a user asks for a figure that nobody has measured of the model.
    """

    def __init__(self, scenario: Scenario, spec: ModelSpec, machines: Machines) -> None:
        self._scenario, self.spec, self._machines = scenario, spec, machines
        self._numbers = {user.name: k for k, user in enumerate(scenario.users)}
        self._known = known_measured(spec)
        self._own_adapters = frozenset(unmeasured_adapters(scenario, spec))
        self.measured = find_measured(scenario.quality, spec)
        metrics = () if self.measured is None else self.measured.table.metrics
        for user in scenario.users:
            for name in ("quality_min", "quality_target"):
                check_metrics(f"users.{user.name}.{name}", getattr(user, name), metrics, spec.name)
        self._unsent: dict[Factors, tuple[str, ...]] = {}

    def factors(self, user: int, option: Option, stages: Stage) -> Factors:
        """What the quality of a user's option depends on, of all the stages that make its picture."""
        scenario, own = self._scenario, self._scenario.users[user]
        found = [leaf for leaf in leaves(stages) if isinstance(leaf, Compute)]
        decodes = any(leaf.kind is Kind.DECODE and leaf.at == own.name for leaf in found)
        return Factors.of(
            option,
            steps=scenario.steps,
            scheduler=scenario.scheduler,
            decoder=PurePath(own.device.decoder).name if own.device.decoder is not None and decodes else "",
            adapter=uses_adapter(stages),
            computed=min(self._computing(found) - {"fp32"}, default="fp32"),
        )

    def quality(self, user: int, option: Option, stages: Stage) -> Quality | None:
        """What was measured of an option's pictures, or lies between what was; None where it was never measured."""
        if self.measured is None:
            return None
        factors = self.factors(user, option, stages)
        own, found = self._scenario.users[user], self.measured.quality_of(factors)
        if found is None or own.adapter is None:
            return found
        if factors.adapter:  # the rows are of those adapters that were measured
            return None if own.name in self._own_adapters else found
        # without it, what is shown of such a user's own scenes is not what was measured of all scenes
        return {metric: figure for metric, figure in found.items() if metric not in AGAINST_TRUTH} or None

    def unmeasured(self, user: int, option: Option, stages: Stage) -> tuple[str, ...]:
        """What of an option was never measured: precisions sent or computed in, merging, a decoder, a sketch.

        Precisions of users' own say themselves what they do, and are offered to users who list them. Adapters are
        looked at apart (`scenario.adapters`).
        """
        computing = self._computing([leaf for leaf in leaves(stages) if isinstance(leaf, Compute)])
        factors = replace(self.factors(user, option, stages), adapter=False, computed="fp32")
        return tuple(sorted({*self._unknown(factors), *(computing - self._computed)}))

    def doubted(self, options: Iterable[Option]) -> bool:
        """Whether something that is offered or computed in was not measured."""
        if not self._machines.precisions <= self._computed:
            return True
        scenario = self._scenario
        decoders = {PurePath(user.device.decoder or "").name for user in scenario.users}
        how: dict[str, Any] = {"steps": scenario.steps, "scheduler": scenario.scheduler}
        each = {Factors.of(option, decoder=name, **how) for option in options for name in decoders}
        return any(self._unknown(factors) for factors in each)

    def _computing(self, found: Iterable[Compute]) -> set[str]:
        """Precisions in which these stages compute."""
        return {
            self._machines.precision(leaf, 0 if is_edge(leaf.at) else self._numbers[leaf.at])
            for leaf in found
            if not leaf.codec
        }

    def _unknown(self, factors: Factors) -> tuple[str, ...]:
        if factors not in self._unsent:
            known = self.measured is not None and self.measured.table.knows(factors)
            own = factors.precision not in PRECISION_REGISTRY.built_in and factors.precision
            names = set(factors.lossy) - {*self._known, own}
            self._unsent[factors] = () if known else tuple(sorted(names))
        return self._unsent[factors]

    @cached_property
    def _computed(self) -> frozenset[str]:
        rows = () if self.measured is None else self.measured.table.rows
        return frozenset({*self._known, *(row.factors.computed for row in rows)})
