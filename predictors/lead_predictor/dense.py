"""XGBoost's C API for dense rows, which is most of what a prediction of few leads costs without it.

`Booster.inplace_predict` asks what kind of table it was given, builds two JSON texts and wraps the result in several
steps: 0.1 ms for one lead, 0.25 ms for 500, where the trees take 0.17 and 2.4. The call below is the one that it makes
in the end. The golden leads prove at every start that the answers are right.
"""

from __future__ import annotations

import ctypes
from typing import Final

import numpy as np
import xgboost as xgb
from numpy.typing import NDArray
from xgboost.libpath import find_lib_path

__all__ = ["MARGIN", "VALUE", "DenseBooster"]

_SIZE = ctypes.c_uint64
_SIZES = ctypes.POINTER(_SIZE)
_FLOATS = ctypes.POINTER(ctypes.c_float)

_LIBRARY: Final = ctypes.CDLL(find_lib_path()[0])  # loaded already: this is another name for it
_PREDICT: Final = _LIBRARY.XGBoosterPredictFromDense
_PREDICT.argtypes = (
    ctypes.c_void_p,
    ctypes.c_char_p,
    ctypes.c_char_p,
    ctypes.c_void_p,
    ctypes.POINTER(_SIZES),
    ctypes.POINTER(_SIZE),
    ctypes.POINTER(_FLOATS),
)
_PREDICT.restype = ctypes.c_int
_LAST_ERROR: Final = _LIBRARY.XGBGetLastError
_LAST_ERROR.restype = ctypes.c_char_p

_CONFIG = (
    '{"type":%d,"training":false,"iteration_begin":0,"iteration_end":0,'
    '"missing":NaN,"strict_shape":false,"cache_id":0}'
)  # fmt: skip
VALUE: Final = (_CONFIG % 0).encode()
"""Probabilities, for a model of log-odds."""
MARGIN: Final = (_CONFIG % 1).encode()


class DenseBooster:
    """A loaded booster of one output per row; any thread may call it."""

    def __init__(self, booster: xgb.Booster) -> None:
        """Keep the booster: it owns what the library works on."""
        self._booster = booster

    def predict(self, matrix: NDArray[np.float32], config: bytes) -> NDArray[np.float32]:
        """Return one value per row of `matrix` `(n, f)`, NaN for gaps, for the config `MARGIN` or `VALUE`.

        Raises:
            XGBoostError: the library refuses, with its own words.
        """
        rows = np.require(matrix, dtype="<f4", requirements=("C", "A"))
        count, width = rows.shape
        interface = b'{"data":[%d,true],"shape":[%d,%d],"typestr":"<f4","version":3}' % (rows.ctypes.data, count, width)
        shape, dimensions, values = _SIZES(), _SIZE(), _FLOATS()
        status = _PREDICT(
            self._booster.handle,
            interface,
            config,
            None,
            ctypes.byref(shape),
            ctypes.byref(dimensions),
            ctypes.byref(values),
        )
        if status:
            raise xgb.core.XGBoostError((_LAST_ERROR() or b"").decode(errors="replace"))
        if dimensions.value != 1 or shape[0] != count:
            raise xgb.core.XGBoostError("expected one value per row")
        # The library keeps the result until this thread's next prediction: copied here.
        return np.frombuffer(ctypes.string_at(values, 4 * count), dtype=np.float32)
