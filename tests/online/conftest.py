"""The tests of planning over time share `over_time_cases` (random services and traces)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
