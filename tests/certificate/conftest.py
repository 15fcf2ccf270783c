"""The tests of certificates share `mutations` (altered copies of what a certificate says)."""

from __future__ import annotations

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))
