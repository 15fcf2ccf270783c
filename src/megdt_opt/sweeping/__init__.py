"""Sweeps: a scenario planned over a grid of its fields and over seeds, as tidy tables.

`sweep` gives one row per cell of the grid and seed, `sweep_users` one row per user of it; `run_sweep` gives both.
`sweep_into` plans in chunks on disk, and `merge_sweep` joins them.
"""

from megdt_opt.sweeping.chunks import SweepFolder, merge_sweep, sweep_into
from megdt_opt.sweeping.runner import SweepResult, run_sweep, sweep, sweep_users

__all__ = ["SweepFolder", "SweepResult", "merge_sweep", "run_sweep", "sweep", "sweep_into", "sweep_users"]
