"""Loading numba without what the kernels here do not need."""

from __future__ import annotations

import importlib
import importlib.util
import sys
from types import ModuleType

_BLAS = "scipy.linalg.cython_blas"


def load_numba() -> None:
    """Load numba, and with it all but scipy.linalg, which takes as long again.

    `numba.np.arraymath` asks only whether scipy's BLAS can be imported. Where scipy is there it can, so an empty module
    stands for it meanwhile; code that does call BLAS makes numba ask anew, and load it, when that is compiled.
    """
    if "numba.np.arraymath" in sys.modules or "scipy.linalg" in sys.modules:
        return
    if importlib.util.find_spec("scipy") is None:
        return
    stand_in = sys.modules.setdefault(_BLAS, ModuleType(_BLAS))
    try:
        importlib.import_module("numba.np.arraymath")
    finally:
        if sys.modules.get(_BLAS) is stand_in:
            del sys.modules[_BLAS]
