"""Records of executions that were never made: what a plan states, and a run that keeps to it."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
