"""Arrays, numbers, texts, lists and dicts out of an object array in a ``.npy`` file, without running what it asks for.

``np.load(..., allow_pickle=True)`` calls whatever a file names. Here nothing that a file names is ever called: the few
names that NumPy's own arrays need stand for recipes that are followed afterwards, harmless values of the standard
library (a date, a path) stand for nothing, and every other name is refused.
"""

from __future__ import annotations

import pickle
import sys
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
import numpy.typing as npt

from poyodata.errors import SourceError

_LIMIT_BYTES = 2**30
_DEEPEST = 32
_OTHER_ORDER = ">" if sys.byteorder == "little" else "<"
# What programs keep beside their results, and nobody needs here.
_PASSED_OVER = {
    ("datetime", "datetime"),
    ("datetime", "date"),
    ("datetime", "timezone"),
    ("datetime", "timedelta"),
    ("pathlib", "Path"),
    ("pathlib", "PosixPath"),
    ("pathlib", "WindowsPath"),
    ("pathlib", "PurePosixPath"),
    ("pathlib", "PureWindowsPath"),
    ("pathlib._local", "PosixPath"),
    ("pathlib._local", "WindowsPath"),
}
_MULTIARRAY = ("numpy.core.multiarray", "numpy._core.multiarray")
_NUMERIC = ("numpy.core.numeric", "numpy._core.numeric")


def load_plain(path: Path) -> Any:
    """Load a pickled ``.npy`` file that holds plain content only.

    Parameters
    ----------
    path : Path

    Returns
    -------
    Any
        A list of what a one-dimensional array holds; what a single one holds, as it is. Arrays are NumPy's, dates and
        paths are None.

    Raises
    ------
    SourceError
        When the file is missing or damaged, or names anything else; nothing of it has been run then.

    Examples
    --------
    >>> import tempfile
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     np.save(Path(folder) / "ops.npy", {"fs": 30.0, "meanImg": np.zeros((2, 2))})
    ...     load_plain(Path(folder) / "ops.npy")["fs"]
    30.0
    """
    if not path.is_file():
        raise SourceError(f"{path} does not exist; a .npy file was expected.")
    if path.stat().st_size > _LIMIT_BYTES:
        raise SourceError(f"{path} has {path.stat().st_size:,} bytes; {_LIMIT_BYTES:,} at most were expected.")
    try:
        with path.open("rb") as file:
            shape, dtype = _header(file)
            if not dtype.hasobject:
                raise SourceError(f"{path} holds {dtype} values; an object array, as suite2p saves, was expected.")
            content = _made(_PlainUnpickler(file).load(), 0, {})
    except SourceError as error:
        raise error if str(path) in str(error) else SourceError(f"{path} {error}") from error
    except Exception as error:  # a damaged pickle raises nearly everything
        raise SourceError(f"{path} cannot be read ({_short(error)}); the file is damaged, copy it again.") from error
    if not isinstance(content, np.ndarray) or content.dtype != object or content.shape != shape:
        raise SourceError(f"{path} does not hold the {shape} objects that it declares; the file is damaged.")
    return content.item() if content.shape == () else content.tolist()


def _header(file: BinaryIO) -> tuple[tuple[int, ...], np.dtype[Any]]:
    version = np.lib.format.read_magic(file)
    read = np.lib.format.read_array_header_1_0 if version == (1, 0) else np.lib.format.read_array_header_2_0
    shape, _, dtype = read(file)
    return tuple(shape), dtype


class _Nothing:
    """What stands for a value that is passed over; takes any arguments and any state."""

    def __init__(self, *_: Any, **__: Any) -> None: ...

    def __setstate__(self, _: Any) -> None: ...


class _Dtype:
    """Recipe of a dtype: its name, and its byte order from the state."""

    def __init__(self, name: Any, *_: Any) -> None:
        self.name = name
        self.is_swapped = False

    def __setstate__(self, state: Any) -> None:
        self.is_swapped = isinstance(state, tuple) and len(state) > 2 and state[1] == _OTHER_ORDER
        # Fields and subarrays have names of their own; no such array is plain.
        if not isinstance(state, tuple) or any(part is not None for part in state[2:5]):
            raise SourceError("holds a structured array; plain arrays were expected.")

    def made(self) -> np.dtype[Any]:
        name = self.name.decode("latin1") if isinstance(self.name, bytes) else self.name
        if not isinstance(name, str) or not name.replace("|", "").isalnum():
            raise SourceError(f"holds an array of {name!r}; numbers, texts or objects were expected.")
        dtype = np.dtype(name)
        return dtype.newbyteorder() if self.is_swapped else dtype


class _Array:
    """Recipe of an array: shape, dtype and bytes (or a list of objects) from its state."""

    def __init__(self, *_: Any) -> None:
        self.state: tuple[Any, ...] = ()

    def __setstate__(self, state: Any) -> None:
        if not isinstance(state, tuple) or len(state) != 5:
            raise SourceError("holds an array in an unknown form.")
        self.state = state[1:]

    def made(self, depth: int, seen: dict[int, Any]) -> npt.NDArray[Any]:
        if not self.state:
            raise SourceError("holds an array without content.")
        shape, dtype, in_columns, content = self.state
        return _array(content, dtype, shape, "F" if in_columns else "C", depth, seen)


class _Buffer:
    """Recipe of an array as protocol 5 has it."""

    def __init__(self, *parts: Any) -> None:
        self.parts = parts

    def made(self, depth: int, seen: dict[int, Any]) -> npt.NDArray[Any]:
        content, dtype, shape, order = self.parts
        return _array(content, dtype, shape, order, depth, seen)


class _Scalar:
    """Recipe of a number that NumPy keeps."""

    def __init__(self, dtype: Any, content: Any = b"", *_: Any) -> None:
        self.dtype = dtype
        self.content = content

    def made(self, depth: int, seen: dict[int, Any]) -> Any:
        value = _array(self.content, self.dtype, (1,), "C", depth, seen)[0]
        return value.item() if isinstance(value, np.generic) else value


def _array(content: Any, recipe: Any, shape: Any, order: Any, depth: int, seen: dict[int, Any]) -> npt.NDArray[Any]:
    if not isinstance(recipe, _Dtype) or not isinstance(shape, tuple) or order not in ("C", "F"):
        raise SourceError("holds an array in an unknown form.")
    dtype = recipe.made()
    count = 1
    for length in shape:
        if not isinstance(length, int) or length < 0:
            raise SourceError("holds an array of an impossible shape.")
        count *= length
    if dtype.hasobject:
        if not isinstance(content, list) or len(content) != count:
            raise SourceError("holds an array that does not fit its shape.")
        array = np.empty(count, object)
        for index, item in enumerate(content):
            array[index] = _made(item, depth + 1, seen)
        return array.reshape(shape, order=order)
    raw = content.encode("latin1") if isinstance(content, str) else bytes(content)
    if len(raw) != count * dtype.itemsize:
        raise SourceError("holds an array that does not fit its shape.")
    return np.frombuffer(raw, dtype).reshape(shape, order=order)


_RECIPES: dict[tuple[str, str], type[Any]] = {
    ("numpy", "dtype"): _Dtype,
    ("numpy", "ndarray"): _Nothing,  # named, never made, by what follows
    **{(module, "_reconstruct"): _Array for module in _MULTIARRAY},
    **{(module, "scalar"): _Scalar for module in _MULTIARRAY},
    **{(module, "_frombuffer"): _Buffer for module in _NUMERIC},
    **dict.fromkeys(_PASSED_OVER, _Nothing),
}


class _PlainUnpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        recipe = _RECIPES.get((module, name))
        if recipe is None and (module, name) == ("_codecs", "encode"):
            return _encoded  # bytes, as Python 3 writes them for Python 2
        if recipe is None and (module, name) == ("__builtin__", "bytes"):
            return _no_bytes
        if recipe is None:
            raise SourceError(
                f"names {module}.{name}, which it could run; arrays, numbers, texts, lists and dicts were expected."
            )
        return recipe

    def persistent_load(self, _: Any) -> Any:
        raise SourceError("refers to something outside; arrays, numbers, texts, lists and dicts were expected.")


def _no_bytes() -> bytes:
    return b""


def _encoded(text: Any, encoding: Any = "latin1") -> bytes:
    if not isinstance(text, str) or encoding != "latin1":
        raise SourceError("holds bytes in an unknown form.")
    return text.encode("latin1")


def _made(item: Any, depth: int, seen: dict[int, Any]) -> Any:
    """Follow the recipes within what was unpickled; what is named twice is made once."""
    if depth > _DEEPEST:
        raise SourceError("holds things within things without end.")
    if id(item) in seen:
        return seen[id(item)]
    made = item
    if isinstance(item, _Array | _Buffer | _Scalar):
        made = item.made(depth, seen)
    elif isinstance(item, _Nothing | type):
        made = None
    elif isinstance(item, _Dtype):
        made = str(item.made())
    elif isinstance(item, dict):
        made = {key: _made(value, depth + 1, seen) for key, value in item.items() if isinstance(key, str | int)}
    elif isinstance(item, list | tuple):
        made = [_made(value, depth + 1, seen) for value in item]
    seen[id(item)] = made
    return made


def _short(error: Exception) -> str:
    return (str(error).splitlines() or [type(error).__name__])[0][:160]
