"""Tables: figures with units, whole words at any width, and the sentences around them."""

from __future__ import annotations

import math
import re
from dataclasses import replace
from io import StringIO
from typing import Any

import pytest
from rich.console import Console
from sample_run import make_profile

from megdt_opt.execution.record import Execution
from megdt_opt.planning.plan import Plan
from megdt_opt.problem.outcome import BoundSource
from megdt_opt.report.comparison import comparison_figure
from megdt_opt.report.facts import best_single, bound_sentence, error_summary, headline
from megdt_opt.report.grids import Grid
from megdt_opt.report.numbers import NONE, column, number, small, words
from megdt_opt.report.page import page_text
from megdt_opt.report.plan_grids import baseline_grid, option_grid, plan_grid, ruled_out_grid
from megdt_opt.report.profile_grids import profile_grid, provenance_grid, published_grid
from megdt_opt.report.run_grids import execution_grid, raw_grid, stage_grid, verdict, verification_grid
from megdt_opt.report.tables import GridView, column_widths, print_execution, print_plan, print_verification
from megdt_opt.si import percent
from megdt_opt.timing.published import PublishedTimings
from megdt_opt.trials.raw_check import RawCheck
from megdt_opt.trials.verification import Margin, Verification, VerifiedSet, judge


def printed(what: object, width: int = 120) -> str:
    console = Console(width=width, record=True, file=StringIO(), color_system=None)
    console.print(what)
    return console.export_text()


def test_numbers_keep_as_many_digits_as_the_largest_needs() -> None:
    assert column([12.3456, 0.5, None]) == ["12.35", "0.50", NONE]
    assert column([0.00123, math.inf], 3) == ["0.00123", NONE]
    assert column([123456.7], 3) == ["123457"]
    assert column([0.0, -0.0]) == ["0", "0"]
    assert number(7.65184) == "7.652"
    assert (percent(-0.001), percent(0.314), percent(math.nan)) == ("+0.00 %", "+0.31 %", NONE)
    assert (small(0.0), small(9.54e-7)) == ("0", "9.5e-07")
    assert (words([]), words(["a"]), words(["a", "b", "c"])) == ("", "a", "a, b and c")


def grids(made: Plan, execution: Execution, verification: Verification) -> list[Grid]:
    check = RawCheck(user="wall", option="PEU", profile_s=0.5, before_s=0.51, after_s=0.53, measured_s=0.54)
    return [
        plan_grid(made),
        baseline_grid(made),
        ruled_out_grid(made.table),
        option_grid(made.table, 0),
        execution_grid(execution),
        stage_grid(execution),
        verification_grid(verification),
        raw_grid([check]),
        profile_grid(make_profile()),
        provenance_grid(made.table),
        published_grid(PublishedTimings.load()),
    ]


COUNTS = ("times the plan's", "overruns", "late steps", "open options", "options closed", "messages", "samples")
BARE = (*COUNTS, "batch", "threads", "declared stretch")


def test_every_figure_has_its_unit_in_the_header(made: Plan, execution: Execution, verification: Verification) -> None:
    for grid in grids(made, execution, verification):
        for index, header in enumerate(grid.headers):
            assert index in grid.text or header.endswith("]") or header in BARE, (grid.title, header)
        assert all(len(row) == len(grid.headers) for row in grid.rows)


def test_no_cell_is_cut_where_there_is_room_for_its_words(
    made: Plan, execution: Execution, verification: Verification
) -> None:
    for grid in grids(made, execution, verification)[:-1]:
        need = sum(column_widths(grid, 0)) + 2 * (len(grid.headers) - 1)
        for width in (need, 200):
            text = printed(GridView(grid), width)
            for row in grid.rows:
                for cell in row:
                    assert all(word in text for word in cell.split()), (grid.title, width, cell)
            assert all(len(line.rstrip()) <= width for line in text.splitlines())


@pytest.mark.parametrize("width", [50, 64, 80])
def test_where_the_columns_do_not_fit_no_word_is_broken(made: Plan, width: int) -> None:
    grid = replace(plan_grid(made), notes=())
    text = printed(GridView(grid), width)
    assert all(word in text for row in grid.rows for cell in row for word in cell.split())
    assert all(len(line) <= width for line in text.splitlines())


def test_what_a_plan_costs_at_a_corner_is_told_without_an_exponent(made: Plan) -> None:
    assert made.robustness is not None
    dear = replace(made, robustness=replace(made.robustness, regret=1.414))
    told = " ".join(plan_grid(dear).notes)
    assert "costs at most 141 % there" in told
    assert "Survives: whether " in told


def test_the_plan_fits_an_ordinary_terminal(made: Plan) -> None:
    grid = plan_grid(made)
    assert sum(column_widths(grid, 0)) + 2 * (len(grid.headers) - 1) <= 90


def test_widths_never_exceed_the_room_and_serve_small_wishes_first() -> None:
    grid = Grid(title="", headers=("a b c", "x [s]"), rows=(("some long words", "1.0"),), text=(0,))
    assert column_widths(grid, 0) == [5, 3]
    assert column_widths(grid, 10) == [7, 3]
    assert column_widths(grid, 100) == [15, 5]


def test_plan_and_baselines_are_printed_with_the_bound(made: Plan) -> None:
    console = Console(width=120, record=True, file=StringIO())
    print_plan(made, console)
    text = console.export_text()
    assert bound_sentence(made)[:40] in text
    for user in made.users:
        assert user.name in text
        assert f"{user.latency_s:.3f}" in text
    for rival in made.baselines:
        assert rival.name in text


def test_execution_per_user_and_per_stage(made: Plan, execution: Execution, verification: Verification) -> None:
    console = Console(width=150, record=True, file=StringIO())
    print_execution(made, execution, console)
    short = console.export_text()
    assert "Stages" not in short
    assert "1 stage of" in short
    print_execution(made, execution, console, stages=True)
    assert "denoise 0..5 rows 0-12 at edge" in console.export_text()
    print_verification(verification, console)
    assert "Spearman" in console.export_text()


def test_the_verdict_names_misses_with_their_interval() -> None:
    mine = VerifiedSet(name="plan", options=(), predicted_s=1.0, measured_s=(1.02, 1.0, 1.01))
    rival = VerifiedSet(name="runner-up 1", options=(), predicted_s=1.1, measured_s=(1.0, 1.01, 1.0))
    said = " ".join(verdict(judge((mine, rival))))
    assert "1 set that keeps every limit had a smaller measured median" in said
    assert "a difference of zero lies inside" in said
    tied = replace(rival, predicted_s=1.0)
    said = " ".join(verdict(judge((mine, tied))))
    assert "fastest of the sets that keep every limit, sets tied with it in the prediction aside." in said
    assert "runner-up 1 (a tie in the prediction)" in said
    once = Verification(
        sets=(mine, rival),
        rank_correlation=math.nan,
        plan_is_fastest=False,
        misses=(Margin(rival="runner-up 1", mean_s=0.01, interval_s=(-math.inf, math.inf)),),
    )
    said = " ".join(verdict(once))
    assert "one repeat gives no interval" in said
    assert "nan" not in said
    assert "inf" not in said


def test_the_best_single_mechanism_is_a_fair_rival(made: Plan) -> None:
    some = made.baselines[0]

    def rival(name: str, times: float, breaks: tuple[str, ...] = (), instead: tuple[str, ...] = ()):  # type: ignore[no-untyped-def]
        mechanism = name.removeprefix("all ") if name.startswith("all ") else ""
        found = replace(some, name=name, objective_s=times * made.objective_s, breaks=breaks, instead=instead)
        return replace(found, mechanism=mechanism)

    def best(*found):  # type: ignore[no-untyped-def]
        single = best_single(replace(made, baselines=found))
        return None if single is None else single.name

    shares = rival("plan's options, equal shares", 1.01)
    assert best(shares) is None
    # slower than the plan although it is free of the limits: the stronger statement
    assert best(shares, rival("all E2U", 1.2, ("wall",)), rival("all local", 1.5)) == "all E2U"
    # faster only because it breaks limits: no rival
    assert best(rival("all E2U", 0.5, ("wall",)), rival("all local", 1.5)) == "all local"
    assert best(rival("all E2U", 0.5, ("wall",))) is None
    # what most users cannot run is no single mechanism
    assert best(rival("all U2E", 1.0, (), ("panel", "wall", "glasses")), rival("all local", 1.5)) == "all local"


def test_the_headline_tells_the_figures(made: Plan, execution: Execution, verification: Verification) -> None:
    errors = error_summary(made, execution)
    said = headline(made, execution, verification)
    assert said.startswith(f"{len(made.users)} users with ")
    assert f"{number(made.objective_s)} s" in said
    assert f"proven to be within {small(made.gap)}" in said
    assert f"largest {errors.largest_percent:.2f} %" in said
    assert "at most" in headline(replace(made, status="feasible", gap=0.02), None, None)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        pytest.param(
            {"lower_bound_s": -math.inf, "gap": math.inf, "status": "feasible", "bound_source": BoundSource.NONE},
            ("no bound that says", "no lower bound was found"),
            id="no bound",
        ),
        pytest.param(
            {"lower_bound_s": 0.0, "gap": 1.0, "status": "feasible", "bound_source": BoundSource.CERTIFICATE},
            ("no bound that says", "relative gap 1.0e+00"),
            id="a bound of no use",
        ),
        pytest.param(
            {"status": "feasible", "bound_source": BoundSource.SOLVER},
            ("by the solver's own bound", "by the solver's own account"),
            id="bound of a solver",
        ),
    ],
)
def test_a_bound_is_told_for_what_it_is(made: Plan, change: dict[str, Any], said: tuple[str, str]) -> None:
    weaker = replace(made, **change)
    assert said[0] in headline(weaker, None, None)
    assert said[1] in bound_sentence(weaker)
    page = page_text(weaker)
    for text in (headline(weaker, None, None), bound_sentence(weaker), page):
        assert "proven optimal" not in text
        assert not re.search(r"\b(inf|nan)\b", text)
    assert comparison_figure(weaker).get_axes()


@pytest.mark.parametrize("text", ["[bold]x[/bold]", "[/]"])
def test_names_are_never_read_as_markup(text: str) -> None:
    grid = Grid(title=text, headers=(text,), rows=((text,),), notes=(text,))
    assert printed(GridView(grid)).count(text) == 4
