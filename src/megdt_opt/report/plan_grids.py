"""Tables of a plan: its users, its baselines, and the limits that ruled options out."""

from __future__ import annotations

from megdt_opt.planning.baselines import RESERVED_SHARES, missing
from megdt_opt.planning.in_batches import COMMON
from megdt_opt.planning.plan import Plan
from megdt_opt.problem.batched_edge_problem import BatchedEdgeProblem
from megdt_opt.report.facts import bound_sentence, cost_sentences, objective_label, times_the_plan
from megdt_opt.report.grids import Grid, from_columns
from megdt_opt.report.numbers import NONE, column
from megdt_opt.scenario.options import OptionTable
from megdt_opt.si import percent


def plan_grid(plan: Plan) -> Grid:
    """One row per user: what runs where, on which shares, how fast."""
    users = plan.users
    survives = [NONE] * len(users)
    notes = [bound_sentence(plan), *cost_sentences(plan)]
    machines = plan.table.machines
    several = len(machines.edges) > 1
    exact = [name if several else "the edge" for name, p in machines.edges.items() if not p.has_intervals]
    exact += [u.name for u, p in zip(users, machines.devices, strict=True) if not p.has_intervals]
    if plan.robustness is not None:
        survives = ["yes" if s else "no" for s in plan.robustness.survives]
        notes.append(
            "Survives: whether mechanism and cut stay optimal at all "
            f"{plan.robustness.corners} corners of the calibration's 95 % intervals; "
            f"keeping this plan costs at most {percent(100 * plan.robustness.regret, None, signed=False)}"
            f"{'' if plan.scenario.objective_is_time else ' of the weight of all'} there"
            + (", and at a corner it breaks a limit of a user" if plan.robustness.breaks else "")
            + (f"; at {plan.robustness.without} of them no choice keeps all limits" if plan.robustness.without else "")
            + (f". Exact, for want of an interval: {', '.join(exact)}." if exact else ".")
        )
    notes.append(
        "Refresh: pictures a second that the shares sustain when pictures follow one another, limited by "
        + "; ".join(f"the {name} ({', '.join(busy)})" for name, busy in _bottlenecks(plan).items())
        + "."
    )
    notes += plan.notes
    return from_columns(
        "Plan",
        {
            "user": [u.name for u in users],
            **({"edge server": [u.edge or NONE for u in users]} if several else {}),
            "mechanism": [u.option.mechanism for u in users],
            "where the steps run": [u.hand_over for u in users],
            "sent as": [u.option.precision or u.option.codec or NONE for u in users],
            "downlink [kHz]": column([u.downlink_hz / 1e3 or None for u in users], 3),
            "uplink [kHz]": column([u.uplink_hz / 1e3 or None for u in users], 3),
            **_of_the_edge(plan),
            "latency [s]": column([u.latency_s for u in users]),
            "refresh [1/s]": column([u.refresh_hz for u in users], 3),
            "survives": survives,
        },
        text=("user", *(["edge server"] if several else []), "mechanism", "where the steps run", "sent as", "survives"),
        notes=tuple(notes),
    )


def _of_the_edge(plan: Plan) -> dict[str, list[str]]:
    """What each user has of an edge: a share, a turn, or batches."""
    users = plan.users
    if plan.table.serving is None:
        return {"edge share [%]": column([100 * u.edge_share or None for u in users], 3)}
    if isinstance(plan.problem, BatchedEdgeProblem):
        made = [u.batched for u in users]
        return {
            "batches": [NONE if one is None else f"{one.numbers[0] + 1} to {one.numbers[-1] + 1}" for one in made],
            "in one pass with": [NONE if b is None else _span([n - 1 for n in b.together]) for b in made],
            "from [s]": column([None if one is None else one.start_s for one in made], 4),
            "to [s]": column([None if one is None else one.end_s for one in made], 4),
        }
    turns = [u.turn for u in users]
    return {
        "turn": [NONE if turn is None else str(turn.place + 1) for turn in turns],
        "waits for it [s]": column([None if turn is None else turn.waiting_s for turn in turns], 3),
        "from [s]": column([None if turn is None else turn.start_s for turn in turns], 4),
        "to [s]": column([None if turn is None else turn.end_s for turn in turns], 4),
    }


def _span(counts: list[int]) -> str:
    return f"{min(counts)}" if min(counts) == max(counts) else f"{min(counts)} to {max(counts)}"


def batch_grid(plan: Plan) -> Grid:
    """Batches of an edge, those that follow each other with the same users in one line."""
    times_s = {
        n: t
        for u in plan.users
        if u.batched is not None
        for n, t in zip(u.batched.numbers, u.batched.times_s, strict=True)
    }
    rows: list[tuple[int, int]] = []
    for number, batch in enumerate(plan.batches):
        if rows and plan.batches[rows[-1][0]] == batch:
            rows[-1] = (rows[-1][0], number)
        else:
            rows.append((number, number))
    return from_columns(
        "Batches",
        {
            "batches": [f"{first + 1}" if first == last else f"{first + 1} to {last + 1}" for first, last in rows],
            "from [s]": column([times_s[first][0] for first, _ in rows], 4),
            "to [s]": column([times_s[last][1] for _, last in rows], 4),
            "a step [ms]": column([1e3 * (times_s[n][1] - times_s[n][0]) for n, _ in rows], 3),
            "users": [", ".join(plan.users[k].name for k in plan.batches[first]) for first, _ in rows],
        },
        text=("batches", "users"),
    )


def _bottlenecks(plan: Plan) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for user in plan.users:
        found.setdefault(user.bottleneck, []).append(user.name)
    return found


def baseline_grid(plan: Plan) -> Grid:
    """The plan, then what it is compared with."""
    rivals = plan.baselines
    lacking = missing(plan.table)
    objectives = [plan.objective_s, *(b.objective_s for b in rivals)]
    ratios = [times_the_plan(plan, value) for value in objectives]
    gone = [NONE] * len(lacking)
    return from_columns(
        "Baselines",
        {
            "choice": ["plan", *(b.name for b in rivals), *lacking],
            objective_label(plan): [*column(objectives, 5), *gone],
            "times the plan's": [*(NONE if t is None else f"{t:.2f}" for t in ratios), *gone],
            "proven best of its kind": [
                "yes" if plan.status == "optimal" else "no",
                *("yes" if b.proven else NONE for b in rivals),
                *gone,
            ],
            "breaks limits of": [NONE, *(", ".join(b.breaks) or NONE for b in rivals), *gone],
            "cannot run it": [NONE, *(", ".join(b.instead) or NONE for b in rivals), *("cannot be had" for _ in gone)],
        },
        text=("choice", "proven best of its kind", "breaks limits of", "cannot run it"),
        notes=(
            "'all X' gives mechanism X, with its best cuts, precisions and shares, to every user who can run it; "
            "the others take their best option. It may break users' own limits, so it is a stronger rival than "
            "one that keeps them.",
            *(
                ("'only X' leaves edge server X alone to the users, beside their own devices.",)
                if len(plan.table.sites) > 1
                else ()
            ),
            *(
                (
                    f"'{RESERVED_SHARES}' is the best plan of the same scenario whose edge reserves shares; "
                    f"{_equal(plan)}",
                )
                if plan.table.serving is not None
                else ()
            ),
            *(f"{name} cannot be had: {why}." for name, why in lacking.items()),
        ),
    )


def _equal(plan: Plan) -> str:
    """What equal shares are where the edge does not reserve any."""
    if not isinstance(plan.problem, BatchedEdgeProblem):
        return "with equal shares turns are in the order of arrival."
    return (
        f"in '{COMMON}' all whom the edge serves make all their steps in one, and the others none (the best that was "
        "found); with equal shares all chains begin in the first batch, and users divide the band equally."
    )


def ruled_out_grid(table: OptionTable) -> Grid:
    """For each user, how many options are open and which limit closed how many."""
    rows: list[tuple[str, ...]] = []
    for k, user in enumerate(table.scenario.users):
        open_, total = int(table.allowed[k].sum()), len(table.options)
        closed: dict[str, int] = {}
        for o in range(total):
            for reason in table.closed_by(k, o):
                closed[reason] = closed.get(reason, 0) + 1
        names = (user.name, f"{open_} of {total}")
        for reason, many in sorted(closed.items(), key=lambda item: -item[1]) or [(NONE, 0)]:
            rows.append((*names, reason, str(many)))
            names = ("", "")
    return Grid(
        title="Why options were ruled out",
        headers=("user", "open options", "limit", "options closed"),
        rows=tuple(rows),
        text=(0, 2),
        notes=("An option may be closed by several limits.",),
    )


def option_grid(table: OptionTable, user: int) -> Grid:
    """All options of one user: their latency terms, costs, and what closes them."""
    columns: dict[str, list[float | None]] = {
        "fixed [s]": [],
        "device branch [s]": [],
        "edge work [s]": [],
        "uplink [kbit]": [],
        "downlink [kbit]": [],
        "device energy [J]": [],
        "messages": [],
    }
    closed = []
    for o in range(len(table.options)):
        terms, costs = table.terms(user, o), table.costs(user, o)
        values: tuple[float | None, ...] = (None,) * 5
        if terms is not None:
            values = (
                terms.fixed_s,
                terms.device_branch_s,
                terms.edge_work_s,
                terms.uplink_bit / 1e3,
                terms.downlink_bit / 1e3,
            )
        extra = (None, None) if costs is None else (costs.device_compute_j, costs.messages)
        for cells, value in zip(columns.values(), (*values, *extra), strict=True):
            cells.append(value)
        closed.append("; ".join(table.closed_by(user, o)) or "open")
    shown = {name: column(cells, 1 if name == "messages" else 4) for name, cells in columns.items()}
    return from_columns(
        f"Options of {table.scenario.users[user].name}",
        {"option": [o.name for o in table.options], **shown, "closed by": closed},
        text=("option", "closed by"),
        notes=("Edge work: seconds of one whole edge server. Energy: declared power times predicted seconds.",),
    )
