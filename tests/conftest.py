"""Settings for all tests."""

from __future__ import annotations

import sys
from pathlib import Path

from hypothesis import settings

# a busy machine must not fail a property, and a run must be repeatable
settings.register_profile("steady", deadline=None, derandomize=True)
settings.load_profile("steady")

# the scripts under experiments/ are used by tests too, so that what is tested is what is run by hand
sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "experiments"))
