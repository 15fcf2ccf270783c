"""Figures: everything is drawn, and no text lies on another or leaves the figure."""

from __future__ import annotations

from dataclasses import replace
from itertools import combinations
from pathlib import Path

import matplotlib.image
import numpy as np
import pytest
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.text import Text
from sample_run import execution_of, make_plan, pictures_of, repeated, small_scenario, verification_of

from megdt_opt import Scenario
from megdt_opt.execution.record import Execution
from megdt_opt.files import write_bytes
from megdt_opt.planning.plan import Plan
from megdt_opt.program.names import NAME_LENGTH
from megdt_opt.program.stages import leaves
from megdt_opt.report import write_report
from megdt_opt.report.canvas import png_bytes, svg_bytes
from megdt_opt.report.comparison import CUT, comparison_figure, rivals
from megdt_opt.report.lanes import COLOURS, RESOURCES, resource_of, slices
from megdt_opt.report.pictures import enlarged_png, pictures_figure
from megdt_opt.report.timeline import timeline_figure
from megdt_opt.trials.pictures import Picture
from megdt_opt.trials.verification import Verification

MATHEMATICAL_A = "\N{MATHEMATICAL BOLD CAPITAL A}"
"""A letter of four bytes in UTF-8, the most there are."""


def beyond(axes: Axes) -> list[Text]:
    """Labels of ticks outside the axis, which are not drawn."""
    low, high = axes.get_xlim()
    pairs = zip(axes.get_xticks(), axes.get_xticklabels(), strict=True)
    return [label for at, label in pairs if not low <= at <= high]


def clean(figure: Figure) -> None:
    """Fail where two texts overlap or one leaves the figure."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    unseen = {id(t) for axes in figure.axes for t in beyond(axes)}
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen]
    boxes = [(t.get_text(), t.get_window_extent(renderer)) for t in shown]
    assert boxes
    for text, box in boxes:
        assert box.x0 >= -1, f"{text!r} leaves the figure"
        assert box.x1 <= figure.bbox.x1 + 1, f"{text!r} leaves the figure"
        assert box.y0 >= -1, f"{text!r} leaves the figure"
        assert box.y1 <= figure.bbox.y1 + 1, f"{text!r} leaves the figure"
    for (one, a), (two, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 1 or high <= 1, f"{one!r} overlaps {two!r}"


def colours(figure: Figure) -> list[str]:
    from matplotlib.collections import PolyCollection
    from matplotlib.colors import to_hex

    found = figure.axes[0].findobj(PolyCollection)
    return [to_hex(bar.get_facecolor()[0]).upper() for bar in found]


def test_parallel_branches_share_the_height_of_their_lane(made: Plan) -> None:
    wall = next(u for u in made.users if u.option.mechanism == "PEU")
    places = dict(zip([x.label for x in leaves(wall.program)], slices(wall.program), strict=True))
    parts = [(p.top, p.bottom) for label, p in places.items() if label.startswith("denoise")]
    assert sorted(parts) == [(0.0, 0.5), (0.5, 1.0)]
    assert (places["decode at wall"].top, places["decode at wall"].bottom) == (0.0, 1.0)


def test_every_stage_is_drawn_twice_in_the_colour_of_its_resource(made: Plan, execution: Execution) -> None:
    figure = timeline_figure(made, execution)
    drawn = colours(figure)
    stages = [leaf for user in made.users for leaf in leaves(user.program)]
    for name in RESOURCES:
        expected = 2 * sum(resource_of(leaf) == name for leaf in stages)
        assert drawn.count(COLOURS[name].upper()) == expected
    clean(figure)


def test_overruns_are_hatched_and_explained(made: Plan) -> None:
    from matplotlib.collections import PolyCollection

    late = timeline_figure(made, execution_of(made))
    legend = [t.get_text() for t in late.legends[0].get_texts()]
    assert "ended after its slot" in legend
    assert sum(bool(b.get_hatch()) for b in late.axes[0].findobj(PolyCollection)) == 1
    on_time = timeline_figure(made, execution_of(made, late=False))
    assert "ended after its slot" not in [t.get_text() for t in on_time.legends[0].get_texts()]


@pytest.mark.parametrize("users", [1, 2, 12])
def test_timeline_of_any_number_of_users(users: int) -> None:
    plan = make_plan(repeated(small_scenario(), users), compare=False)
    clean(timeline_figure(plan))
    clean(timeline_figure(plan, execution_of(plan)))
    clean(pictures_figure(pictures_of(plan)))


def test_figures_are_written_alike_twice(made: Plan, execution: Execution) -> None:
    first, second = (svg_bytes(timeline_figure(made, execution)) for _ in range(2))
    assert first == second
    assert first.startswith(b"<?xml")
    assert png_bytes(timeline_figure(made)).startswith(b"\x89PNG")


def test_comparison_with_and_without_measurements(made: Plan, verification: Verification) -> None:
    clean(comparison_figure(made))
    clean(comparison_figure(made, verification))
    clean(comparison_figure(made, verification_of(made, repeats=1)))
    names = [line.name for line in rivals(made, verification)]
    assert names[0] == "plan"
    assert {b.name for b in made.baselines} | {s.name for s in verification.sets} == set(names)


def test_a_rival_out_of_all_proportion_is_cut_and_says_so(made: Plan) -> None:
    slow = replace(made.baselines[0], name="all slow", objective_s=50 * made.objective_s)
    figure = comparison_figure(replace(made, baselines=(*made.baselines, slow)))
    clean(figure)
    assert figure.axes[0].get_xlim()[1] < 2 * CUT * made.objective_s
    assert any(t.get_text().startswith("→") for t in figure.findobj(Text))


def test_pictures_say_what_was_read(pictures: tuple[Picture, ...]) -> None:
    figure = pictures_figure(pictures)
    clean(figure)
    texts = " ".join(t.get_text() for t in figure.findobj(Text))
    assert "equals unsplit" in texts
    assert all(p.user in texts and f"{p.found} of {p.objects} objects" in texts for p in pictures)


def test_enlarging_repeats_pixels(pictures: tuple[Picture, ...], tmp_path: object) -> None:
    from io import BytesIO

    image = pictures[0].truth
    read = matplotlib.image.imread(BytesIO(enlarged_png(image, 3)), format="png")
    back = np.round(read[..., :3] * 255).astype(np.uint8)
    assert back.shape == (3 * image.shape[0], 3 * image.shape[1], 3)
    np.testing.assert_array_equal(back[1::3, 1::3], image)
    np.testing.assert_array_equal(back[::3, ::3], image)


@pytest.mark.parametrize("letter", ["W", "x", "g"])
def test_figures_keep_their_axes_for_the_longest_names_that_a_scenario_takes(letter: str) -> None:
    made = named([letter * (NAME_LENGTH - k) for k in range(2)])
    for figure in (timeline_figure(made), comparison_figure(made), pictures_figure(pictures_of(made))):
        figure.draw_without_rendering()
        assert figure.axes[0].get_position().width > 0.1


@pytest.mark.parametrize("letter", ["x", "\N{LATIN SMALL LETTER U WITH DIAERESIS}", "\N{GREEK SMALL LETTER OMEGA}"])
def test_files_can_bear_the_longest_names(letter: str, tmp_path: Path) -> None:
    made = named([letter * NAME_LENGTH])
    written = write_report(tmp_path, made, pictures=pictures_of(made))
    assert written[f"pictures/{letter * NAME_LENGTH}-executed"].is_file()
    write_bytes(tmp_path / f"{MATHEMATICAL_A * NAME_LENGTH}-executed.png", b"")


def named(names: list[str]) -> Plan:
    """A plan whose users have these names."""
    scenario = repeated(small_scenario(), len(names)).model_dump(mode="json", exclude_none=True)
    users = [user | {"name": name} for user, name in zip(scenario["users"], names, strict=True)]
    return make_plan(Scenario(**scenario | {"users": users}))
