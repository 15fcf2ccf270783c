"""Sweeps: a scenario planned over a grid of its fields and over seeds, as tidy tables.

`sweep` gives one row per cell of the grid and seed, `sweep_users` one row per user of it; `run_sweep` gives both.
"""

from megdt_opt.sweeping.runner import SweepResult, run_sweep, sweep, sweep_users

__all__ = ["SweepResult", "run_sweep", "sweep", "sweep_users"]
