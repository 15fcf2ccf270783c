"""Figures of sweeps, benchmarks and plans; matplotlib is loaded when the first figure is made.

Every function takes a tidy table (or simulations, or a plan) and returns a matplotlib Figure, which `save` writes. With
`axes` it draws into those of a figure of yours, in the fonts that your rcParams state; with `width_in` it makes a
figure as wide as a column (`COLUMN_IN`) or a page (`PAGE_IN`).
"""

from megdt_opt.plot.direct_labels import label_ends
from megdt_opt.plot.latency import latency_figure
from megdt_opt.plot.mechanism_map import mechanism_map_figure
from megdt_opt.plot.over_time import age_figure, flow_time_figure
from megdt_opt.plot.pareto import on_front, pareto_figure
from megdt_opt.plot.saving import save
from megdt_opt.plot.series import COLUMN_IN, PAGE_IN
from megdt_opt.plot.shares import shares_figure
from megdt_opt.plot.solve_time import solve_time_figure
from megdt_opt.report.timeline import timeline_figure

__all__ = [
    "COLUMN_IN",
    "PAGE_IN",
    "age_figure",
    "flow_time_figure",
    "label_ends",
    "latency_figure",
    "mechanism_map_figure",
    "on_front",
    "pareto_figure",
    "save",
    "shares_figure",
    "solve_time_figure",
    "timeline_figure",
]
