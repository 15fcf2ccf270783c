from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "models" / "diffusers"))  # what is timed is tested there
sys.path.insert(0, str(Path(__file__).parents[2] / "experiments" / "calibration"))

from tiny_models import model, one_thread, tiny

__all__ = ["model", "one_thread", "tiny"]
