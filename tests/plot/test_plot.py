"""Figures of sweeps: what is drawn is what the table says, and nothing overlaps."""

from __future__ import annotations

from collections.abc import Callable
from itertools import combinations
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib import rc_context
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle
from matplotlib.text import Text

from megdt_opt import InvalidInput, plot
from megdt_opt.online import Service, Simulation, Trace, simulate
from megdt_opt.plot.mechanism_map import COLOURS, tile
from megdt_opt.plot.quantity import quantity
from megdt_opt.plot.series import STYLES
from megdt_opt.program.mechanisms import MECHANISMS
from megdt_opt.report.canvas import new_figure
from megdt_opt.report.timeline import timeline_figure

BANDS = (15e3, 60e3, 240e3)


def table(
    *, seeds: int = 3, stretches: tuple[float, ...] = (1.0,), infeasible: tuple[float, ...] = (), baselines: bool = True
) -> pd.DataFrame:
    """A sweep's table whose values are known: latency = 100 kHz / band * stretch + seed / 10."""
    rows: list[dict[str, Any]] = []
    for band in BANDS:
        for stretch in stretches:
            for seed in range(seeds):
                latency = np.nan if stretch in infeasible else 1e5 / band * stretch + seed / 10
                row: dict[str, Any] = {"channel.downlink_hz": band, "edge.stretch": stretch, "seed": seed, "users": 6}
                row |= {"objective": "max", "status": "optimal", "objective_s": latency, "solve_s": 0.01 * (seed + 1)}
                row |= {f"users_{m}": np.nan if stretch in infeasible else 0 for m in MECHANISMS}
                if stretch not in infeasible:
                    row |= {"users_E2U": 4, "users_local": 2}
                if baselines:
                    row |= {"best_single_s": latency * 1.5, "equal_shares_s": latency * 1.2}
                    row |= {"all_centralised_s": latency * 40, "all_local_s": latency * 2}
                rows.append(row)
    return pd.DataFrame(rows)


def clean(figure: Figure) -> None:
    """Fail where two texts overlap or one leaves the figure; labels of ticks outside an axis are not drawn."""
    figure.draw_without_rendering()
    renderer = figure.canvas.get_renderer()  # type: ignore[attr-defined]
    unseen = set()
    for axis in (axis for axes in figure.axes for axis in (axes.xaxis, axes.yaxis)):
        low, high = sorted(axis.get_view_interval())
        ticks = (*axis.majorTicks, *axis.minorTicks)
        unseen |= {id(label) for t in ticks if not low <= t.get_loc() <= high for label in (t.label1, t.label2)}
    shown = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip() and id(t) not in unseen]
    boxes = [(t.get_text(), Text.get_window_extent(t, renderer)) for t in shown]  # without the lines of annotations
    assert boxes
    for text, box in boxes:
        assert min(box.x0, box.y0) >= -1, f"{text!r} leaves the figure"
        assert box.x1 <= figure.bbox.x1 + 1, f"{text!r} leaves the figure"
        assert box.y1 <= figure.bbox.y1 + 1, f"{text!r} leaves the figure"
    for (one, a), (two, b) in combinations(boxes, 2):
        wide = min(a.x1, b.x1) - max(a.x0, b.x0)
        high = min(a.y1, b.y1) - max(a.y0, b.y0)
        assert wide <= 1 or high <= 1, f"{one!r} overlaps {two!r}"


def legend(figure: Figure) -> list[str]:
    (only,) = figure.legends
    return [text.get_text() for text in only.get_texts()]


def test_latency_draws_medians_and_bands_in_the_units_of_its_labels() -> None:
    figure = plot.latency_figure(table(), "channel.downlink_hz")
    (axes,) = figure.axes
    assert axes.get_xlabel() == "downlink band [kHz]"
    assert axes.get_ylabel() == "worst weighted latency [s]"
    line = axes.lines[0]
    np.testing.assert_allclose(line.get_xdata(), [15, 60, 240])
    np.testing.assert_allclose(line.get_ydata(), [1e5 / b + 0.1 for b in BANDS])
    around = axes.collections[0].get_paths()[0].vertices
    at_first = around[np.isclose(around[:, 0], 15), 1]
    assert (at_first.min(), at_first.max()) == pytest.approx((1e5 / 15e3, 1e5 / 15e3 + 0.2))
    narrow = plot.latency_figure(table(), "channel.downlink_hz", band=(0.5, 0.5)).axes[0].collections[0]
    heights = narrow.get_paths()[0].vertices
    assert np.ptp(heights[np.isclose(heights[:, 0], 15), 1]) == pytest.approx(0)
    assert legend(figure)[0] == "plan"
    assert "all centralised (above the axis)" in legend(figure)
    assert "all local" in legend(figure)
    clean(figure)


def test_latency_by_another_parameter() -> None:
    frame = table(stretches=(1.0, 4.0, 16.0), infeasible=(16.0,))
    figure = plot.latency_figure(frame, "channel.downlink_hz", by="edge.stretch")
    names = legend(figure)
    assert names[:3] == [f"slowdown of the edge server: {s}" for s in (1, 4, 16)]
    assert any("infeasible" in name for name in names)
    crosses = [line for line in figure.axes[0].lines if line.get_marker() == "x"]
    assert [len(line.get_xdata()) for line in crosses] == [3]
    clean(figure)
    frame.loc[frame["edge.stretch"] == 4.0, "objective_s"] = np.nan
    two = plot.latency_figure(frame, "channel.downlink_hz", by="edge.stretch").axes[0]
    heights = [line.get_ydata()[0] for line in two.lines if line.get_marker() == "x"]
    assert len(set(heights)) == 2
    with pytest.raises(InvalidInput, match=r"edge\.stretch.*does not show"):
        plot.latency_figure(frame, "channel.downlink_hz")
    with pytest.raises(InvalidInput, match="nowhere"):
        plot.latency_figure(frame, "nowhere")


def test_latency_of_what_is_no_number_or_has_no_plan() -> None:
    frame = table(seeds=1).rename(columns={"channel.downlink_hz": "users.*.deadline_s"})
    frame["users.*.deadline_s"] = [0.5, 2.0, None]
    figure = plot.latency_figure(frame, "users.*.deadline_s")
    assert [t.get_text() for t in figure.axes[0].get_xticklabels()] == ["0.5", "2", "none"]
    assert len(figure.axes[0].collections) == 0
    clean(figure)
    frame["users.*.deadline_s"] = ["a", "b", "c"]
    clean(plot.latency_figure(frame, "users.*.deadline_s"))
    clean(plot.latency_figure(frame.assign(objective_s=np.nan), "users.*.deadline_s", baselines=False))
    with pytest.raises(InvalidInput, match="at least one row"):
        plot.latency_figure(frame[:0], "users.*.deadline_s")
    with pytest.raises(InvalidInput, match="quantiles"):
        plot.latency_figure(frame, "users.*.deadline_s", band=(0.9, 0.1))


def test_latency_of_users_and_over_decades() -> None:
    frame = table(seeds=2).assign(user="a").rename(columns={"objective_s": "latency_s"})
    figure = plot.latency_figure(frame, "channel.downlink_hz", value="latency_s")
    assert legend(figure) == ["latency", "least to most of all users"]
    clean(figure)
    wide = table(seeds=1, baselines=False)
    wide["objective_s"] = [0.01, 1.0, 300.0]
    figure = plot.latency_figure(wide.assign(objective="sum"), "channel.downlink_hz")
    assert figure.axes[0].get_yscale() == "log"
    assert figure.axes[0].get_ylabel() == "sum of weighted latencies [s]"
    assert not figure.legends
    clean(figure)


def test_mechanism_map_colours_each_tile_by_its_mechanism() -> None:
    frame = table(stretches=(1.0, 4.0, 16.0), infeasible=(16.0,))
    one = frame["edge.stretch"] == 4.0
    frame.loc[one & (frame["channel.downlink_hz"] == 60e3), ["users_E2U", "users_PEU"]] = [0, 5]
    figure = plot.mechanism_map_figure(frame, "channel.downlink_hz", "edge.stretch")
    bars = [p for p in figure.axes[0].patches if isinstance(p, Rectangle)]
    tiles: dict[tuple[int, int], list[tuple[str, float]]] = {}
    for bar in bars:
        at = round(bar.get_x() + bar.get_width() / 2), round(bar.get_y() + 0.5)
        tiles.setdefault(at, []).append((to_hex(bar.get_facecolor()).upper(), bar.get_width()))
    assert len(tiles) == 9
    assert [c for c, _ in tiles[1, 1]] == [COLOURS["local"], COLOURS["PEU"]]  # 2 and 5 of 7
    assert tiles[1, 1][1][1] / tiles[1, 1][0][1] == pytest.approx(5 / 2)
    assert [[c for c, _ in tiles[x, 2]] for x in range(3)] == [["#FFFFFF"]] * 3
    assert sum(COLOURS["E2U"] in dict(tile) for tile in tiles.values()) == 5
    assert all(sum(width for _, width in tile) == pytest.approx(0.92) for tile in tiles.values())
    assert legend(figure) == ["local", "E2U", "PEU", "infeasible"]
    clean(figure)
    with pytest.raises(InvalidInput, match="another parameter"):
        plot.mechanism_map_figure(frame, "edge.stretch", "edge.stretch")


def test_a_tile_counts_users_over_seeds() -> None:
    frame = table()
    found = tile(frame)
    assert (found.mechanism, found.share, found.tie, found.infeasible) == ("E2U", pytest.approx(2 / 3), False, 0)
    assert tile(frame.assign(users_PEU=4)).tie
    frame.loc[0, [f"users_{m}" for m in MECHANISMS]] = np.nan
    assert tile(frame).infeasible == 1
    assert set(COLOURS) == set(MECHANISMS)


@given(
    points=st.lists(st.tuples(st.integers(0, 6), st.integers(0, 6)), max_size=12),
    nan=st.booleans(),
)
@settings(max_examples=80)
def test_the_front_is_what_nothing_beats(points: list[tuple[int, int]], nan: bool) -> None:
    pairs = [(float(a), float(b)) for a, b in points] + ([(np.nan, -1.0)] if nan else [])
    x, y = (np.array([p[i] for p in pairs], dtype=float) for i in (0, 1))
    slow = [
        bool(np.isfinite(a)) and not any((c <= a and d <= b) and (c < a or d < b) for c, d in pairs) for a, b in pairs
    ]
    assert plot.on_front(x, y).tolist() == slow


def test_pareto_joins_the_front_and_shows_what_is_beaten() -> None:
    frame = pd.DataFrame({"device_compute_j": [1.0, 2, 3, 3, np.nan], "latency_s": [9.0, 5, 6, 4, 1]})
    figure = plot.pareto_figure(frame, "device_compute_j", "latency_s")
    front, rest = figure.axes[0].lines
    assert np.column_stack(front.get_data()).tolist() == [[1, 9], [2, 5], [3, 4]]
    assert np.column_stack(rest.get_data()).tolist() == [[3, 6]]
    assert front.get_drawstyle() == "steps-post"
    assert figure.axes[0].get_xlabel() == "energy of the devices' computing [J]"
    assert legend(figure) == ["front", "beaten in both"]
    clean(figure)
    by = plot.pareto_figure(
        frame.assign(method=["a", "a", "b", "b", "b"]), "device_compute_j", "latency_s", by="method"
    )
    assert legend(by)[:2] == ["a", "b"]
    clean(by)


def test_solve_time_is_drawn_on_logarithmic_axes() -> None:
    rows = [
        {"method": m, "users": k, "solve_s": c * k * (1 + i), "status": "feasible" if k == 1000 else "optimal"}
        for m, c in (("prices", 1e-5), ("option_misocp", 1e-2))
        for k in (10, 100, 1000)
        for i in range(5)
    ]
    frame = pd.DataFrame([*rows, {"method": "prices", "users": 10, "solve_s": np.nan, "status": "infeasible"}])
    figure = plot.solve_time_figure(frame, by="method")
    (axes,) = figure.axes
    assert (axes.get_xscale(), axes.get_yscale()) == ("log", "log")
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("users", "solution time [s]")
    np.testing.assert_allclose(axes.lines[0].get_ydata(), [3e-4, 3e-3, 3e-2])
    np.testing.assert_allclose(axes.lines[1].get_xdata(), [1000])
    assert legend(figure) == ["prices", "option_misocp", "least to 99th percentile", "not all closed", "proportional"]
    clean(figure)
    clean(plot.solve_time_figure(frame[frame["method"] == "prices"].drop(columns="status")))
    with pytest.raises(InvalidInput, match="above 0"):
        plot.solve_time_figure(frame.assign(solve_s=0.0))


@pytest.mark.parametrize(
    ("column", "values", "label", "factor"),
    [
        ("channel.downlink_hz", [2e6, 3e5], "downlink band [MHz]", 1e6),
        ("channel.downlink_hz", [0.0], "downlink band [Hz]", 1),
        ("solve_s", [2e-5], "solution time [µs]", 1e-6),
        ("latency_s", [5000.0], "latency [s]", 1),
        ("users.*.uplink_efficiency_bit_per_s_per_hz", [3.0], "every user's uplink efficiency [bit/s/Hz]", 1),
        ("users", [1e6], "users", 1),
        ("edge.stretch", [4.0], "slowdown of the edge server", 1),
        ("users.tablet.deadline_s", [0.2], "users tablet deadline [ms]", 1e-3),
    ],
)
def test_units_on_axes(column: str, values: list[float], label: str, factor: float) -> None:
    found = quantity(column, values)
    assert (found.label, found.factor) == (label, factor)


def test_figures_are_saved_alike_twice(tmp_path: Path) -> None:
    for name in ("a.png", "b.svg", "d.pdf", "E.PDF"):
        first = plot.save(plot.latency_figure(table(), "channel.downlink_hz"), tmp_path / name).read_bytes()
        assert first == plot.save(plot.latency_figure(table(), "channel.downlink_hz"), tmp_path / name).read_bytes()
    with pytest.raises(InvalidInput, match="png"):
        plot.save(plot.latency_figure(table(), "channel.downlink_hz"), tmp_path / "c.bmp")
    assert plot.timeline_figure is timeline_figure


@pytest.mark.parametrize("name", ["one.pdf", "two words.pdf", "UPPER.PDF"])
def test_a_pdf_embeds_its_fonts_as_truetype(name: str, tmp_path: Path) -> None:
    data = plot.save(plot.latency_figure(table(), "channel.downlink_hz"), tmp_path / name).read_bytes()
    assert data.startswith(b"%PDF")
    assert b"/FontFile2" in data
    assert b"/Type3" not in data


DRAWN: dict[str, Callable[..., Figure]] = {
    "latency": lambda **on: plot.latency_figure(table(), "channel.downlink_hz", **on),
    "map": lambda **on: plot.mechanism_map_figure(
        table(stretches=(1.0, 4.0)), "channel.downlink_hz", "edge.stretch", **on
    ),
    "pareto": lambda **on: plot.pareto_figure(table(stretches=(1.0, 4.0)), "solve_s", "objective_s", by="seed", **on),
    "shares": lambda **on: plot.shares_figure(table(), "channel.downlink_hz", ["users_local", "users_E2U"], **on),
    "solve time": lambda **on: plot.solve_time_figure(table(), x="edge.stretch", by="seed", **on),
    "flow times": lambda **on: plot.flow_time_figure(simulations(), **on),
    "ages": lambda **on: plot.age_figure(simulations(), **on),
}
"""A figure of every kind."""


@pytest.mark.parametrize("kind", DRAWN)
def test_every_kind_fits_a_column_and_takes_the_callers_axes_and_fonts(kind: str) -> None:
    column = DRAWN[kind](width_in=plot.COLUMN_IN)
    assert column.get_figwidth() == plot.COLUMN_IN
    clean(column)
    with rc_context({"font.size": 6.0, "font.family": "serif"}):
        mine = new_figure(plot.PAGE_IN, 4.2)
        left, right = mine.subplots(1, 2)
        assert DRAWN[kind](axes=right) is mine
        clean(mine)
        label = right.yaxis.label if right.get_ylabel() else right.xaxis.label
        assert (label.get_fontsize(), label.get_fontfamily()) == (6.0, ["serif"])
        alone = DRAWN[kind](width_in=plot.PAGE_IN)
        assert {text.get_fontfamily()[0] for text in alone.findobj(Text)} == {"serif"}
    assert not left.has_data()
    with pytest.raises(InvalidInput, match="width_in"):
        DRAWN[kind](axes=left, width_in=3.5)
    with pytest.raises(InvalidInput, match="inch"):
        DRAWN[kind](width_in=0.1)


def test_ten_series_differ_in_colour_marker_and_dash() -> None:
    assert len(STYLES) == 10
    for what in ("color", "marker", "ls"):
        assert len({str(style[what]) for style in STYLES}) == 10, what
    frame = table(stretches=tuple(float(2**i) for i in range(10)), seeds=1)
    figure = plot.latency_figure(frame, "channel.downlink_hz", by="edge.stretch", width_in=plot.COLUMN_IN)
    assert len({(to_hex(str(line.get_color())), line.get_marker()) for line in figure.axes[0].lines}) == 10
    clean(figure)


@pytest.mark.parametrize(
    ("x", "y", "front"),
    [
        ([1.0, np.nextafter(1.0, 2)], [5.0, 5.0], [True, True]),
        ([1.0, 2.0, 3.0], [5.0, 4.0, np.nextafter(4.0, 5)], [True, True, False]),
        ([1e-12, 1e-12 * (1 + 1e-15)], [3.0, np.nextafter(3.0, 4)], [True, True]),
        ([0.0, 0.0, 1e-3], [1.0, 1.0, 1.0], [True, True, False]),
    ],
    ids=["one unit in the last place", "to the right of another", "tiny numbers", "zero"],
)
def test_rounding_alone_beats_no_point(x: list[float], y: list[float], front: list[bool]) -> None:
    assert plot.on_front(np.array(x), np.array(y)).tolist() == front


def test_shares_are_stacked_and_named() -> None:
    frame = table().assign(users_local=[1] * 3 + [3] * 3 + [6] * 3, users_E2U=[5] * 3 + [3] * 3 + [0] * 3)
    figure = plot.shares_figure(frame, "channel.downlink_hz", ["users_local", "users_E2U"])
    (axes,) = figure.axes
    assert [text.get_text() for text in axes.texts] == ["local", "E2U"]
    corners = axes.collections[0].get_paths()[0].vertices
    heights = [corners[np.isclose(corners[:, 0], at), 1].max() for at in (15, 60, 240)]
    assert heights == pytest.approx([100 / 6, 50, 100])
    with pytest.raises(InvalidInput, match="somebody has a plan"):
        plot.shares_figure(
            frame.assign(users_local=0, users_E2U=0), "channel.downlink_hz", ["users_local", "users_E2U"]
        )


def simulations() -> list[Simulation]:
    service = Service(local_s=[4.0, 6.0], edge_s=[1.0, 1.0], names=("panel", "phone"))
    trace = Trace.poisson([0.3, 0.3], requests=150, seed=2)
    return [simulate(service, trace, name, bounds=name == "speculative") for name in ("speculative", "edge", "local")]


def test_flow_times_draw_the_part_that_takes_as_long_and_the_bound() -> None:
    found = simulations()
    figure = plot.flow_time_figure(found)
    (axes,) = figure.axes
    assert legend(figure) == ["speculative", "edge", "local", "least largest flow time"]
    for one, drawn in zip(found, axes.lines[:3], strict=True):
        times, part = (np.asarray(x, dtype=float) for x in drawn.get_data())
        assert times[-1] == one.largest_flow_s
        assert part[0] == 1.0
        middle = times[len(times) // 2]
        assert part[np.searchsorted(times, middle)] == pytest.approx((one.flow_s >= middle).mean())
    assert axes.lines[3].get_xdata()[0] == found[0].largest_flow_bound_s  # type: ignore[index]
    clean(figure)


def test_ages_draw_means_and_peaks_of_each_user() -> None:
    found = simulations()
    figure = plot.age_figure(found)
    (axes,) = figure.axes
    heights = [bar.get_height() for bar in axes.patches if isinstance(bar, Rectangle)]
    assert heights == pytest.approx(np.concatenate([one.age_mean_s for one in found]).tolist())
    peaks = [path.vertices[1, 1] for lines in axes.collections for path in lines.get_paths()]
    assert peaks == pytest.approx(np.concatenate([one.age_peak_s for one in found]).tolist())
    assert [text.get_text() for text in axes.get_xticklabels()] == ["panel", "phone"]
    clean(figure)


def test_figures_of_no_simulation_are_refused() -> None:
    for draw in (plot.flow_time_figure, plot.age_figure):
        with pytest.raises(InvalidInput, match="simulation"):
            draw([])


@pytest.mark.parametrize(
    "ends", [[1.0, 1.01, 1.02], [5.0, 1.0, 1.0, 9.0], [2.0] * 10], ids=["near", "two alike", "ten"]
)
@pytest.mark.parametrize("scale", ["linear", "log"])
def test_names_stand_beside_the_ends_of_lines_in_their_order(ends: list[float], scale: str) -> None:
    figure = new_figure(plot.COLUMN_IN, 2.5)
    axes = figure.add_subplot()
    axes.set_yscale(scale)
    for k, end in enumerate(ends):
        axes.plot([1.0, 2.0, 3.0], [1.0 + k, end, np.nan], label=f"line {k}", **STYLES[k])
    plot.label_ends(axes)
    clean(figure)
    heights = [text.get_position()[1] for text in axes.texts]
    assert sorted(text.xy for text in axes.texts) == sorted((2.0, end) for end in ends)  # type: ignore[attr-defined]
    assert heights == sorted(heights)
    assert [text.xy[1] for text in axes.texts] == sorted(ends)  # type: ignore[attr-defined]


def test_what_many_names_begin_with_is_said_once(tmp_path: Path) -> None:
    """In a legend of ten lines as wide as a column, and at the ends of lines; the axes keep their height."""
    frame = table(stretches=tuple(float(2**i) for i in range(10)), seeds=2)
    for direct in (False, True):
        figure = plot.latency_figure(
            frame, "channel.downlink_hz", by="edge.stretch", width_in=plot.COLUMN_IN, direct=direct
        )
        clean(figure)
        texts = [text.get_text() for text in figure.findobj(Text)]
        assert texts.count("slowdown of the edge server") == 1
        assert {"1", "512"} <= set(texts)
        assert figure.axes[0].bbox.height >= 0.4 * figure.bbox.height
    with pytest.raises(InvalidInput, match="no line with a label"):
        plot.label_ends(new_figure(2.0, 2.0).add_subplot())
