"""Figures of sweeps, benchmarks and plans; matplotlib is loaded when the first figure is made.

Every function takes a tidy table (or a plan) and returns a matplotlib Figure, which `save` writes.
"""

from megdt_opt.plot.latency import latency_figure
from megdt_opt.plot.mechanism_map import mechanism_map_figure
from megdt_opt.plot.over_time import age_figure, flow_time_figure
from megdt_opt.plot.pareto import on_front, pareto_figure
from megdt_opt.plot.saving import save
from megdt_opt.plot.solve_time import solve_time_figure
from megdt_opt.report.timeline import timeline_figure

__all__ = [
    "age_figure",
    "flow_time_figure",
    "latency_figure",
    "mechanism_map_figure",
    "on_front",
    "pareto_figure",
    "save",
    "solve_time_figure",
    "timeline_figure",
]
