"""Groups of users who make their common denoising steps once: shared prefix with multicast, and cooperating devices.

A group's program is one tree with several actors: the trunk (the common steps of one member's request, at the edge or
on the device of a host), then the members' tails side by side. A member takes its option:

- rides 0: a program of its own, which ignores the trunk;
- rides 1: waits for the trunk and goes on where the trunk ran: at the edge with a request of its own, or on the host;
- rides 2: gets the latent by one multicast, or from the host, and goes on on its device.

Everything is in series (fixed + trunk + multicast + own stages), as `SharedPrefixProblem` has it. The stages are those
of the single-user mechanisms, cut at the common step (Du et al., arXiv 2304.03446).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from itertools import takewhile

from megdt_opt.errors import InvalidInput
from megdt_opt.program.latency import LatencyTerms, latency_terms
from megdt_opt.program.mechanisms import MECHANISM_REGISTRY, Option, Setting, program
from megdt_opt.program.option import Mechanism
from megdt_opt.program.schedule import Pace
from megdt_opt.program.stages import Compute, Kind, Parallel, Send, Series, Stage, is_edge, leaves

SHARED_EDGE = "shared-edge"
SHARED_DEVICE = "shared-device"
COOPERATIVE = "cooperative"

GROUP_MECHANISMS = (SHARED_EDGE, SHARED_DEVICE, COOPERATIVE)
"""Mechanisms of groups: after the common steps the edge goes on, or the device; or a device makes the common steps.
The cut of their options is the number of common steps."""

ALONE, WAITS, RECEIVES = 0, 1, 2
"""How an option uses the trunk: not at all, by waiting for it, or by its multicast."""


@dataclass(frozen=True, kw_only=True)
class Trunk:
    """The common steps of a group.

    Parameters
    ----------
    lead : Setting
        Whose request the common steps follow; the host, where a device makes them.
    steps : int
        Common denoising steps, the first of the chain, from 0 to all [1].
    hosted : bool
        Whether the lead's device makes them, and not the edge.
    precision : str
        Precision of the latent that is sent to those who ride 2.
    d2d_bit_per_s : float, optional
        Rate of a host's link to the other devices that takes no part of the scenario's bands [bit/s]; None: it is in
        the downlink's band, as a multicast of the edge is.
    """

    lead: Setting
    steps: int
    hosted: bool = False
    precision: str = "fp32"
    d2d_bit_per_s: float | None = None

    def __post_init__(self) -> None:
        if not 0 <= self.steps <= self.lead.steps:
            expected = f"0..{self.lead.steps} common denoising steps"
            raise InvalidInput("steps", self.steps, expected, "Share steps of the chain.")

    @property
    def actor(self) -> str:
        """Who makes the common steps."""
        return self.lead.device if self.hosted else self.lead.edge

    @property
    def stages(self) -> tuple[Stage, ...]:
        """The stages up to the last common step; none where no step is common."""
        if self.steps == 0:
            return ()
        lead = replace(self.lead, adapted=False)  # what is made for all follows nobody's own adapter
        whole = program(_at_end(lead, "local" if self.hosted else "centralised"), lead).stages
        first = takewhile(lambda s: not _denoises(s), whole)
        return (*first, *(_between(s, 0, self.steps) for s in whole if _denoises(s)))

    def multicast(self, receivers: tuple[str, ...]) -> tuple[Send, ...]:
        """The latent after the common steps, with the sampler's history, to these devices; empty where nobody is."""
        if not receivers or self.steps == 0:
            return ()
        ends = self.steps == self.lead.steps
        option = Option(mechanism="E2U" if ends else "SEU", cut=self.steps, precision=self.precision)
        sends = [s for s in leaves(program(option, self.lead)) if isinstance(s, Send) and is_edge(s.source)]
        return (replace(sends[0], source=self.actor, to=receivers),)

    def terms(
        self,
        *,
        compute_s: Callable[[Compute], float],
        send_bit: Callable[[Send], float],
        propagation_s: float = 0.0,
    ) -> TrunkTerms:
        """What the shared stages take; arguments as of `latency.latency_terms`, of the lead's actors."""
        own = latency_terms(Series(self.stages), compute_s=compute_s, send_bit=send_bit, propagation_s=propagation_s)
        sends = self.multicast(("another device",)) if self.d2d_bit_per_s is None else ()
        return TrunkTerms(
            fixed_s=own.fixed_s,
            uplink_bit=own.uplink_bit,
            edge_work_s=own.edge_work_s,
            multicast_bit=sum(send_bit(s) for s in sends),
        )


@dataclass(frozen=True, kw_only=True)
class TrunkTerms:
    """Terms of the shared stages, as `SharedPrefixProblem` takes them.

    Parameters
    ----------
    fixed_s : float
        Seconds that no shared resource shortens; a host's computing.
    uplink_bit, multicast_bit : float
        The lead's request, and the latent that is sent to those who ride 2 [bit].
    edge_work_s : float
        Seconds on one whole edge server.
    """

    fixed_s: float
    uplink_bit: float
    edge_work_s: float
    multicast_bit: float


def shared_name(names: Iterable[str]) -> str:
    """What the stages that these members share go by; no user is called so."""
    return f"common steps: {', '.join(names)}"


def rides(option: Option, *, leads: bool = False) -> int:
    """How an option uses the trunk; `leads` for the lead of the group, who hosts a cooperative trunk."""
    if option.mechanism == SHARED_EDGE or (option.mechanism == COOPERATIVE and leads):
        return WAITS
    return RECEIVES if option.mechanism in GROUP_MECHANISMS else ALONE


def tail(option: Option, setting: Setting, *, leads: bool = False) -> Series:
    """A member's own stages after `option.cut` common steps; the whole program of an option that rides 0.

    Parameters
    ----------
    option : Option
        The member's; `cut` is the number of common steps.
    setting : Setting
        The member's.
    leads : bool
        Whether the common steps follow this member's own request, which is then where the trunk ran.

    Raises
    ------
    InvalidInput
        For an unknown mechanism, or a cut outside the chain.
    """
    if option.mechanism not in GROUP_MECHANISMS:
        return program(option, setting)
    if not 0 <= option.cut <= setting.steps:
        expected = f"0..{setting.steps} common denoising steps"
        raise InvalidInput("cut", option.cut, expected, "Share steps of the chain.")
    at_edge = option.mechanism == SHARED_EDGE
    alone = _at_end(setting, "centralised" if at_edge else "local", option.codec)
    waits = rides(option, leads=leads) == WAITS
    # the request is needed for own steps alone, and the lead's is where the trunk ran already
    asks = option.cut < setting.steps and not (leads and waits and option.cut > 0)
    whole = program(alone, setting).stages
    before = takewhile(lambda s: not _denoises(s), whole)
    chain = [_between(s, option.cut, setting.steps) for s in whole if _denoises(s) and option.cut < setting.steps]
    after = whole[1 + next(i for i, s in enumerate(whole) if _denoises(s)) :]
    return Series((*(before if asks else ()), *chain, *after))


def tail_terms(
    option: Option,
    setting: Setting,
    trunk: Trunk | None = None,
    *,
    compute_s: Callable[[Compute], float],
    send_bit: Callable[[Send], float],
    propagation_s: float = 0.0,
) -> LatencyTerms:
    """Terms of a member's own stages; among its fixed seconds is what no band shortens of the multicast that it awaits.

    `trunk` is the one that the option rides; the others as for `latency.latency_terms`.
    """
    leads = trunk is not None and trunk.lead.device == setting.device
    stages = tail(option, setting, leads=leads)
    own = latency_terms(stages, compute_s=compute_s, send_bit=send_bit, propagation_s=propagation_s)
    assert trunk is None or not own.tasks  # a member's own stages are one chain
    if trunk is None or rides(option, leads=leads) != RECEIVES:
        return own
    out_of_band = 0.0 if trunk.d2d_bit_per_s is None else 1.0 / trunk.d2d_bit_per_s
    waits_s = sum(propagation_s + send_bit(send) * out_of_band for send in trunk.multicast((setting.device,)))
    return replace(own, fixed_s=own.fixed_s + waits_s)


@dataclass(frozen=True, kw_only=True)
class GroupProgram:
    """The program of a group whose trunk runs.

    Parameters
    ----------
    program : Stage
        Trunk, multicast and the members' stages, one tree.
    chain : tuple of str
        For each leaf, in the order of `stages.leaves`, whose it is: a member's device, or `shared`.
    shared : str
        Name of the trunk's and the multicast's leaves, `shared_name` of the devices of the members who ride.
    lead : str
        Device of the member whose request the common steps follow.
    riders : tuple of str
        Devices of the members who ride.
    """

    program: Stage
    chain: tuple[str, ...]
    shared: str
    lead: str
    riders: tuple[str, ...]

    def pace(self, trunk: Pace, multicast_bit_per_s: float, members: Mapping[str, Pace]) -> tuple[float, ...]:
        """Rate of each send [bit/s] and share of each compute [1].

        Parameters
        ----------
        trunk : Pace
            Of the trunk.
        multicast_bit_per_s : float
            Rate of the multicast, or of the host to the other devices [bit/s].
        members : mapping of str to Pace
            Of each member's own stages, by its device.
        """

        def of(leaf: Compute | Send, chain: str) -> float:
            if chain != self.shared:
                return members[chain].of(leaf)
            sent_to_devices = isinstance(leaf, Send) and not is_edge(leaf.to[0])
            return multicast_bit_per_s if sent_to_devices else trunk.of(leaf)

        return tuple(of(leaf, chain) for leaf, chain in zip(leaves(self.program), self.chain, strict=True))


def group_program(trunk: Trunk, members: Mapping[str, tuple[Option, Setting]]) -> GroupProgram:
    """The program of a group.

    Parameters
    ----------
    trunk : Trunk
        The common steps.
    members : mapping of str to (Option, Setting)
        Each member by its device; an option that rides must be one of these common steps.

    Raises
    ------
    InvalidInput
        Where nobody rides, or an option is one of another trunk.
    """
    parts: dict[int, list[tuple[str, Stage]]] = {ALONE: [], WAITS: [], RECEIVES: []}
    for device, (option, setting) in members.items():
        leads = device == trunk.lead.device
        how = rides(option, leads=leads)
        if how != ALONE and (option.cut != trunk.steps or (option.mechanism == COOPERATIVE) != trunk.hosted):
            where = "on a device" if trunk.hosted else "at the edge"
            expected = f"an option of {trunk.steps} common steps made {where}"
            raise InvalidInput(f"option of {device}", option.name, expected, "Choose one, or another trunk.")
        parts[how].append((device, tail(option, setting, leads=leads)))
    alone = [device for device, _ in parts[ALONE]]
    riders = tuple(device for device in members if device not in alone)
    if not riders:
        raise InvalidInput("members", tuple(members), "at least one who rides", "Leave the trunk out.")
    sends = trunk.multicast(tuple(device for device, _ in parts[RECEIVES]))
    received = _side_by_side([stages for _, stages in parts[RECEIVES]])
    behind = [*(stages for _, stages in parts[WAITS]), *([Series((*sends, received))] if parts[RECEIVES] else [])]
    whole = Series((*trunk.stages, _side_by_side(behind)))
    shared = shared_name(riders)
    order = [
        *parts[ALONE], *((shared, s) for s in trunk.stages), *parts[WAITS], *((shared, s) for s in sends),
        *parts[RECEIVES],
    ]  # fmt: skip
    return GroupProgram(
        program=_side_by_side([*(stages for _, stages in parts[ALONE]), whole]),
        chain=tuple(name for name, stages in order for _ in leaves(stages)),
        shared=shared,
        lead=trunk.lead.device,
        riders=riders,
    )


def _own_stages(option: Option, setting: Setting) -> tuple[Stage, ...]:
    return tail(option, setting).stages


for _name, _choices, _shown_at in (
    (SHARED_EDGE, ("cut", "codec"), ("device", "edge")),
    (SHARED_DEVICE, ("cut", "precision"), ("device",)),
    (COOPERATIVE, ("cut", "precision"), ("device",)),
):
    _made = Mechanism(name=_name, stages=_own_stages, choices=_choices, shown_at=_shown_at, grouped=True)
    MECHANISM_REGISTRY.add(_name, _made, built_in=True)


def _at_end(setting: Setting, mechanism: str, codec: str = "raw") -> Option:
    """The mechanism that runs the whole chain at one end."""
    download = codec if mechanism == "centralised" and setting.shown_at == "device" else ""
    return Option(mechanism=mechanism, cut=setting.steps if mechanism == "centralised" else 0, codec=download)


def _denoises(stage: Stage) -> bool:
    return isinstance(stage, Compute) and stage.kind is Kind.DENOISE


def _between(stage: Stage, first: int, end: int) -> Stage:
    """A denoise stage of the whole chain, from one step to before another."""
    assert isinstance(stage, Compute)
    return replace(stage, first=first, amount=end - first)


def _side_by_side(branches: list[Stage] | list[Series]) -> Stage:
    return branches[0] if len(branches) == 1 else Parallel(tuple(branches))
