"""Functions here read NumPy's arrays and scalars out of a checkpoint, as long as they hold nothing but numbers.

They stand in for what a file asks NumPy for, since ``numpy.dtype`` takes from a file more than its name: also fields
and flags, by which bytes of the file would be read as addresses of objects.
"""

import types
from typing import Any, Callable, List

import numpy as np


class NumberType:
    """Stands in for a ``numpy.dtype`` while a file is read."""

    def __init__(self, code: str):
        self.kind = np.dtype(code)

    def __setstate__(self, state: tuple) -> None:
        """Takes what NumPy writes behind the name of such a type, in this machine's order of bytes."""
        if state[1:] not in (("<", None, None, None, -1, -1, 0), ("|", None, None, None, -1, -1, 0)):
            raise ValueError("an array of something else than plain numbers")


class SavedArray(np.ndarray):
    """Is an array that came out of a file, and is saved as the plain array that it is."""

    def __setstate__(self, state: Any) -> None:
        """Takes shape, type and bytes as NumPy writes them."""
        version, shape, number_type, fortran, data = state
        if not isinstance(number_type, NumberType) or not isinstance(data, bytes):
            raise ValueError("an array of something else than plain numbers")
        super().__setstate__((version, shape, number_type.kind, fortran, data))

    def __reduce__(self) -> Any:
        """Says how it is saved."""
        return self.view(np.ndarray).__reduce__()


def read_type(code: str, align: bool = False, copy: bool = True) -> NumberType:
    """Stands in for ``numpy.dtype``; the other arguments are those that NumPy writes.

    Raises:
        ValueError: no type of plain numbers
    """
    if code not in ("i4", "i8", "f4", "f8"):
        raise ValueError(f"an array of something else than plain numbers: {code}")
    return NumberType(code)


def read_array(kind: Callable, shape: tuple, code: bytes) -> SavedArray:
    """Stands in for ``numpy.core.multiarray._reconstruct``, which makes an empty array; its content follows."""
    return SavedArray((0,), "i1")


def read_scalar(number_type: NumberType, data: bytes) -> np.generic:
    """Stands in for ``numpy.core.multiarray.scalar``."""
    return np.frombuffer(data, number_type.kind)[0]


def named(function: Callable, path: str) -> Callable:
    """Copies a function under the name by which a file asks for it."""
    copy = types.FunctionType(function.__code__, function.__globals__, argdefs=function.__defaults__)
    copy.__module__, copy.__qualname__ = path.rsplit(".", 1)
    copy.__name__ = copy.__qualname__
    return copy


def stand_ins() -> List[Any]:
    """Returns what ``torch.serialization.add_safe_globals`` takes. A file names NumPy's modules as the NumPy that wrote
    it did."""
    result: List[Any] = [NumberType, SavedArray, named(read_type, "numpy.dtype"), named(read_array, "numpy.ndarray")]
    for module in ("numpy.core.multiarray", "numpy._core.multiarray"):
        result += [named(read_array, f"{module}._reconstruct"), named(read_scalar, f"{module}.scalar")]
    return result
