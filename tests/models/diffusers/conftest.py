from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))  # the tests of calibration share tiny_models

from tiny_models import model, one_thread, tiny, tiny_3, tiny_xl

__all__ = ["model", "one_thread", "tiny", "tiny_3", "tiny_xl"]
