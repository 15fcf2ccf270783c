"""Scenarios: the model, the edge, the channel and the users, from YAML or from Python."""

from __future__ import annotations

from collections.abc import Sequence
from difflib import get_close_matches
from importlib import resources
from pathlib import Path
from typing import Any, Literal

import numpy as np
from pydantic import Field, field_validator, model_validator

from megdt_opt.errors import InvalidInput
from megdt_opt.files import SCENARIO, is_path, read_text
from megdt_opt.problem.checks import NO_DEADLINE_S, on_time
from megdt_opt.problem.evaluation import objective_of
from megdt_opt.scenario.disciplines import check_disciplines
from megdt_opt.scenario.edges import (
    NamedEdge,
    Site,
    check_names,
    sites_of,
)
from megdt_opt.scenario.equipment import Channel, Device, Edge, named_profiles
from megdt_opt.scenario.groups import Group, Grouping, check_sharing
from megdt_opt.scenario.latency_level import LatencyLevel, check_level
from megdt_opt.scenario.limited_costs import CostRule, check_costs, read_costs
from megdt_opt.scenario.links import check_links, efficiencies, snr_products
from megdt_opt.scenario.objectives import check_objective, check_provable
from megdt_opt.scenario.quantities import Quantities
from megdt_opt.scenario.user import User as User
from megdt_opt.yaml_text import parse_yaml

READ_LIMIT_BYTE = 2**26
"""Largest scenario file that is read [byte]."""

TITLE_LENGTH = 120
"""Most characters of a scenario's name."""


_OF_DISTANCES = (
    "carrier_hz",
    "path_loss_exponent",
    "shadowing_std_db",
    "shadowing_seed",
    "edge_transmit_w",
    "noise_figure_db",
    "antenna_gain_db",
    "noise_density_w_per_hz",
    "reference_loss_db",
)
"""Fields of the channel that matter to users with a distance alone."""


def _refuse_unused(model: Quantities, where: str, name: str, needed: str, remedy: str) -> None:
    """Refuse a field that nothing uses, unless it has its default."""
    value = getattr(model, name)
    if value != type(model).model_fields[name].default:
        raise InvalidInput(f"{where}{model.short_name(name)}", value, f"nothing without {needed}", remedy)


class Scenario(Quantities):
    """Everything that a plan is made for.

    Parameters
    ----------
    name : str
        Name in reports.
    model : str
        "twin" (bundled), "sd15" and the like, a registered one, a pipeline folder, a cached hub id, or the path of a
        spec file that `calibrate` wrote.
    guidance : float, optional
        Scale of a pipeline's guidance [1], default the model's own; up to 1 a step has one pass.
    controlnet : str, optional
        Folder of a ControlNet for edges, by which a pipeline of Stable Diffusion 1 or 2 makes pictures from sketches
        (E2U-sketch, U2E-sketch); profiles are then those of `calibrate --controlnet`.
    precision : str, optional
        Arithmetic of the model that all profiles must be of, "fp32", "fp16" or "bf16"; default each actor computes in
        its profile's.
    unmeasured_quality : str, optional
        "accept" opens what nobody has compared with the model's own pictures in fp32: features sent in fp16 or int8,
        profiles in fp16 or bf16, small decoders and sketches of every model but the bundled one, and adapter files of
        users. Plan and report then say so.
    quality : str, optional
        File of the measured quality of the model's pictures, as `megdt-opt quality` writes it; default what comes with
        the package.
    steps : int
        Denoising steps N [1].
    scheduler : str
        Sampler, one of the model's; where none is stated "ddim", or the model's first if it has no "ddim".
    objective : str
        "max" (worst weighted latency), "sum" (weighted sum), "mixed" (the sum and `max_weight` times the worst) or
        "missed" (the weight of the users later than their deadline, which is then no limit).
    max_weight : float, optional
        Weight of the worst latency beside the sum, for "mixed" alone [1].
    cvar_level, cvar_weight : float, optional
        For "mean_cvar" alone, the mean latency (weights are probabilities) and `cvar_weight` times the mean of the
        worst 1 - `cvar_level` of them [1].
    edge : Edge or None
        The only edge server; None where there are `edges`.
    edges : tuple of NamedEdge, optional
        Edge servers with names and bands of their own, in place of `edge`.
    channel : Channel
    users : tuple of User
    groups : tuple of Group, optional
        Users who may make their common steps once.
    costs : dict, optional
        Limits on the users' total costs, and weights with which they are added to the objective, by the names of
        `limited_costs.COSTS`: {"device_energy": {"max": "40 J", "weight": "0.1 s/J"}}.
    grouping : Grouping, optional
        In place of `groups`: who may be put into groups, which the plan forms.
    holds : LatencyLevel, optional
        At which level latencies shall hold, and from how many samples of the calibration's raw times: {"level": 0.95}.
        Latencies, deadlines and objective are then those of the level; "max" or "sum" over one edge with reserved
        shares.
    cuts : tuple of int, optional
        Hand-over steps to offer; default every one.
    peu_shares : tuple of float
        Shares of the content that a parallel generation may make at the edge [1].
    overlap_rows : int
        Latent rows that both sides of a parallel generation make [1].
    sense_strength : float
        Share of the steps that follow a sensed latent [1].

    Examples
    --------
    >>> from megdt_opt import Scenario
    >>> cell = Scenario.from_yaml('''
    ... name: one phone
    ... channel: {downlink: 2 MHz, uplink: 1 MHz}
    ... users:
    ...   - name: phone
    ...     device: {profile: twin-cpu, stretch: 30}
    ...     downlink_efficiency: 4 bit/s/Hz
    ...     uplink_efficiency: 2 bit/s/Hz
    ... ''')
    >>> cell.channel.downlink_hz, [user.name for user in cell.users]
    (2000000.0, ['phone'])
    """

    name: str = "scenario"
    model: str = "twin"
    guidance: float | None = Field(default=None, ge=0.0, le=1000.0)
    controlnet: str | None = None
    precision: Literal["fp32", "fp16", "bf16"] | None = None
    unmeasured_quality: Literal["accept"] | None = None
    quality: str | None = None
    steps: int = Field(default=20, ge=1, le=1000)
    scheduler: str = "ddim"
    objective: Literal["max", "sum", "mixed", "missed", "mean_cvar"] = "max"
    max_weight: float | None = Field(default=None, gt=0.0)
    cvar_level: float | None = Field(default=None, ge=0.0, lt=1.0)
    cvar_weight: float | None = Field(default=None, gt=0.0)
    edge: Edge | None = Edge()
    edges: tuple[NamedEdge, ...] | None = None
    channel: Channel
    users: tuple[User, ...]
    groups: tuple[Group, ...] | None = None
    costs: dict[str, CostRule] | None = None
    grouping: Grouping | None = None
    holds: LatencyLevel | None = None
    cuts: tuple[int, ...] | None = None
    peu_shares: tuple[float, ...] = (0.25, 0.5, 0.75)
    overlap_rows: int = Field(default=4, ge=0)
    sense_strength: float = Field(default=0.6, gt=0.0, le=1.0)

    @field_validator("name")
    @classmethod
    def _named(cls, name: str) -> str:
        if len(name) > TITLE_LENGTH or not name.isprintable():
            expected = f"at most {TITLE_LENGTH} printable characters"
            raise InvalidInput("", name, expected, "Shorten it, and put notes behind a # instead.")
        return name

    @model_validator(mode="before")
    @classmethod
    def _one_or_several(cls, data: Any) -> Any:
        if not isinstance(data, dict):
            return data
        if data.get("edges") is None:
            if "edge" in data and data["edge"] is None:
                raise InvalidInput("edge", None, "an edge server", "Leave it out for the default one, or state edges.")
            return data
        if data.get("edge") is not None:
            raise InvalidInput("edges", "given", "either edge or edges", "Remove one of the two.")
        return {**data, "edge": None}

    @field_validator("costs", mode="before")
    @classmethod
    def _costs(cls, costs: Any) -> Any:
        return None if costs is None else read_costs(costs)

    @field_validator("edges")
    @classmethod
    def _edges(cls, edges: tuple[NamedEdge, ...] | None) -> tuple[NamedEdge, ...] | None:
        if edges is not None and not edges:
            raise InvalidInput("", [], "at least one edge server", "Add one, or leave edges out.")
        names = [edge.name for edge in edges or ()]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput("", name, "unique names of edges", "Rename one of them.")
        return edges

    @field_validator("users")
    @classmethod
    def _users(cls, users: tuple[User, ...]) -> tuple[User, ...]:
        if not users:
            raise InvalidInput("", [], "at least one user", "Add a user.")
        names = [user.name for user in users]
        for name in names:
            if names.count(name) > 1:
                raise InvalidInput("", name, "unique user names", "Rename one of the users.")
        return users

    @field_validator("objective", mode="before")
    @classmethod
    def _provable(cls, objective: object) -> object:
        check_provable(objective)
        return objective

    @model_validator(mode="after")
    def _fits(self) -> Scenario:
        machines: dict[str, Edge | Device] = {} if self.edge is None else {"edge": self.edge}
        machines |= {f"edges.{number}": edge for number, edge in enumerate(self.edges or ())}
        machines |= {f"users.{number}.device": user.device for number, user in enumerate(self.users)}
        for where, machine in machines.items():
            # the default profile is one of the default model
            if self.model != type(self).model_fields["model"].default and "profile" not in machine.model_fields_set:
                remedy = 'Name a file of `megdt-opt calibrate`, a bundled profile or "published: DEVICE / MODEL".'
                raise InvalidInput(f"{where}.profile", None, f"a timing profile of the model {self.model!r}", remedy)
        cvar, dated = (self.cvar_level, self.cvar_weight), any(user.deadline_s for user in self.users)
        check_objective(self.objective, self.max_weight, cvar, dated, len(self.sites))
        for user in self.users:
            for field in ("private_steps", "adapter_steps"):
                if getattr(user, field) > self.steps:
                    expected = f"at most {self.steps} steps"
                    raise InvalidInput(f"users.{user.name}.{field}", getattr(user, field), expected, "Lower it.")
        check_links(self.channel, self.users, self.sites)
        sharing = self.groups, self.grouping
        if sharing != (None, None):
            law, objective, edges = self.channel.law, self.objective, len(self.sites)
            check_sharing(*sharing, self.users, steps=self.steps, law=law, objective=objective, edges=edges)
        if self.costs is not None:
            check_costs(self.objective, len(self.sites), sharing != (None, None))
        stated = {"groups": self.groups, "grouping": self.grouping, "costs": self.costs}
        if self.holds is not None:
            reserved = None if self.discipline == "reserved" else self.discipline
            check_level(self.holds, self.objective, {**stated, "edges": self.edges, "edge.discipline": reserved})
        wishes = {user.name: user.mechanisms or () for user in self.users}
        check_disciplines([site.edge for site in self.sites], self.edges is None, self.objective, stated, wishes)
        self._use_everything()
        self._know_edges()
        return self

    def _know_edges(self) -> None:
        """Users are called otherwise than edges, their figures are of edges that there are, and plans can be proven."""
        sites = self.sites
        names = [str(site.name) for site in sites]
        for number, user in enumerate(self.users):
            if user.name in names:
                expected = f"a name other than those of the edges, {names}"
                raise InvalidInput(f"users.{number}.name", user.name, expected, "Rename the user.")
            by_edge = {name: value for name, value in user.by_name.items() if isinstance(value, dict)}
            check_names(f"users.{number}", by_edge, sites)

    def _use_everything(self) -> None:
        """Refuse what would change nothing: a figure that differs from its default, where nothing asks for it."""
        channel, far = self.channel, any(user.distance_m is not None for user in self.users)
        for name in _OF_DISTANCES:
            if not far:
                needed = "a user with a distance, from which alone it follows what is lost on the way"
                _refuse_unused(channel, "channel.", name, needed, "Leave it out, or give a user's distance.")
        if "shadowing_std_db" not in channel.model_fields_set:
            remedy = 'Leave it out, or give for example "shadowing_std: 8 dB".'
            _refuse_unused(channel, "channel.", "shadowing_seed", "a standard deviation of the shadowing", remedy)
        for user in self.users:
            if user.distance_m is None and user.device.compute_power_w is None:
                needed = "the user's distance, or the device's power while computing"
                remedy = "Leave it out, or give one of them."
                _refuse_unused(user.device, f"users.{user.name}.device.", "transmit_power_w", needed, remedy)
        hosts = [group.host for group in self.groups or ()]
        for user in self.users:
            if user.name not in hosts:
                remedy = "Leave it out, or name the user as the host of a group."
                _refuse_unused(user.device, f"users.{user.name}.device.", "powered", "a group that it hosts", remedy)
        if not any("senses" in user.model_fields_set for user in self.users):
            remedy = 'Leave it out, or give a user "senses: true".'
            _refuse_unused(self, "", "sense_strength", "a user that senses", remedy)

    @classmethod
    def load(cls, path: str | Path) -> Scenario:
        """Read a scenario from a YAML file.

        Raises
        ------
        InvalidInput
            Where the file is missing, is no YAML mapping, or a field is wrong; names file, line and field.
        """
        return cls.from_yaml(read_text(path, "scenario file", limit_byte=READ_LIMIT_BYTE), source=str(path))

    @classmethod
    def from_yaml(cls, text: str, source: str = "scenario") -> Scenario:
        """Read a scenario from YAML text; raises as `load` does.

        Keys of the outermost level that begin with "x-" are for anchors that other fields share, and mean nothing else.
        """
        document = parse_yaml(text, source)
        if not isinstance(document.value, dict):
            expected = "a mapping with channel and users"
            raise InvalidInput(source, "something else", expected, "Begin with a bundled scenario, such as demo.yaml.")
        try:
            for key in ("edges", "groups"):
                if document.value.get(key, ()) is None:
                    raise InvalidInput(key, None, f"a list of {key}", "Name them, or leave out the line.")
            return cls(**{key: value for key, value in document.value.items() if not key.startswith("x-")})
        except InvalidInput as error:
            raise error.within(document.place(error.field)) from None

    @classmethod
    def named(cls, name: Scenario | str | Path) -> Scenario:
        """The scenario in this file, or the bundled one of this name; a scenario is itself.

        Raises
        ------
        InvalidInput
            Where there is neither, or the file is none.
        """
        if isinstance(name, Scenario):
            return name
        if not isinstance(name, str | Path):
            remedy = 'Write for example "cell.yaml", "demo" or Scenario(**fields).'
            raise InvalidInput("scenario", name, "a Scenario, the path of its file or a bundled name", remedy)
        if is_path(name, SCENARIO):
            return cls.load(name)
        return cls.bundled(str(name))

    @classmethod
    def bundled(cls, name: str) -> Scenario:
        """One of the scenarios that ship with the package, for example "demo"."""
        if name not in cls.bundled_names():
            known, near = [*cls.bundled_names(), "a YAML file"], get_close_matches(name, cls.bundled_names(), n=1)
            remedy = f"Did you mean {near[0]!r}?" if near else "Choose one of them."
            raise InvalidInput("scenario", name, f"one of {known}", remedy)
        folder = resources.files("megdt_opt.data.scenarios")
        return cls.from_yaml((folder / f"{name}.yaml").read_text(encoding="utf-8"), source=name)

    @staticmethod
    def bundled_names() -> list[str]:
        """Names of the scenarios that ship with the package."""
        folder = resources.files("megdt_opt.data.scenarios")
        return sorted(f.name.removesuffix(".yaml") for f in folder.iterdir() if f.name.endswith(".yaml"))

    def __repr__(self) -> str:
        users = f"{len(self.users)} user{'s' if len(self.users) != 1 else ''}"
        return f"<Scenario: {self.name}, {self.model}, {self.steps} steps, {users}, {self.objective}>"

    @property
    def sites(self) -> tuple[Site, ...]:
        """The edge servers, with their bands."""
        return sites_of(self.edge, self.edges, self.channel)

    @property
    def profile_names(self) -> tuple[str, ...]:
        """Profiles that edges and devices name, and those that lend them stages, each once, in alphabetical order."""
        return named_profiles([*(site.edge for site in self.sites), *(user.device for user in self.users)])

    @property
    def discipline(self) -> str:
        """How the edge divides its time; "reserved" where there are several edges."""
        return self.sites[0].edge.discipline

    @property
    def deadlines_s(self) -> np.ndarray:
        """Deadlines of the users, (K,) [s]; NO_DEADLINE_S for users without one."""
        return np.array([NO_DEADLINE_S if user.deadline_s is None else user.deadline_s for user in self.users])

    @property
    def weights(self) -> np.ndarray:
        """Weights of the users in the objective, (K,) [1]."""
        return np.array([user.weight for user in self.users])

    @property
    def objective_is_time(self) -> bool:
        """Whether the objective is in seconds; "missed" is a weight [1]."""
        return self.objective != "missed"

    def objective_of(self, latency_s: Sequence[float]) -> float:
        """The objective of the users' latencies, (K,) [s]: in seconds, or for "missed" a weight [1]."""
        times, limits = np.array(latency_s, dtype=np.float64), on_time(self.deadlines_s)
        cvar = self.cvar_level or 0.0, self.cvar_weight or 0.0
        return float(objective_of(self.objective, times, self.weights, limits, self.max_weight or 0.0, cvar))

    def snr_products_hz(self) -> tuple[np.ndarray, np.ndarray]:
        """SNR-bandwidth products of downlink and uplink, each (K,), with `edges` (K, E) [Hz].

        NaN for users without a distance or an SNR, 0 at an edge that does not reach the user.
        """
        down, up = self._snr_products_hz()
        return (down, up) if self.edges is not None else (down[:, 0], up[:, 0])

    def _snr_products_hz(self) -> tuple[np.ndarray, np.ndarray]:
        transmit_w = [user.device.transmit_power_w for user in self.users]
        return snr_products(self.channel, self.users, transmit_w, self.sites)

    def efficiencies(self) -> tuple[np.ndarray, np.ndarray]:
        """Spectral efficiencies of downlink and uplink, each (K,), with `edges` (K, E) [bit/s/Hz].

        A user with a distance or an SNR gets log2(1 + g / B), the efficiency at the whole band B, its lowest,
        because noise grows with the band, but at most the channel's cap. 0 at an edge that does not reach the user.
        """
        down_g, up_g = self._snr_products_hz()
        down = efficiencies(self.channel, "downlink", self.users, down_g, self.sites)
        up = efficiencies(self.channel, "uplink", self.users, up_g, self.sites)
        return (down, up) if self.edges is not None else (down[:, 0], up[:, 0])
