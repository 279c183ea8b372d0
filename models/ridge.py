"""The linear decoders that every model is shown beside: ridge regression onto values and onto classes, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError

Floats = npt.NDArray[np.float64]
Parts = tuple[Floats, Floats, Floats]
"""Singular vectors and values of features."""

MOST_MIXTURES = 128
"""Of more classes than this, as many random mixtures choose the penalty: with thousands it would take minutes."""
ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(-2, 6, 33))


class RidgeRegression:
    """Ridge regression from one feature vector a row onto one or more values.

    Features are centred and scaled, and the penalty is chosen, from the training rows alone: one penalty for all
    values, by the squared error of leaving every row out once, or every group of rows where rows have near copies
    (neighbouring frames, repeats of a picture); in closed form from one decomposition of the smaller Gram matrix.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from, each above 0.
    judged : slice
        Values whose error counts in that choice; by default all.

    Attributes
    ----------
    alpha : float
        The chosen penalty.
    weights : ndarray, shape (feature, value), float64
        Of the scaled features.
    loo_errors : ndarray, shape (penalty,), float64
        Mean squared error of every penalty, of rows or groups left out.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> y = x @ [1.0, -2.0, 0.0] + 7.0
    >>> RidgeRegression().fit(x[:40], y[:40]).predict(x[40:]).shape
    (10, 1)
    """

    def __init__(self, alphas: tuple[float, ...] = ALPHAS, *, judged: slice = slice(None)) -> None:
        if not len(alphas) or not all(np.isfinite(a) and a > 0 for a in alphas):
            raise ModelError(f"alphas={alphas!r}: expected at least one penalty, each finite and above 0")
        self.alphas = tuple(float(a) for a in alphas)
        self.judged = judged
        self.alpha = float("nan")

    def fit(
        self,
        features: npt.ArrayLike,
        target: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        counted: npt.ArrayLike | None = None,
    ) -> RidgeRegression:
        """Fit on training rows; returns itself.

        Parameters
        ----------
        features : array-like, shape (row, feature)
        target : array-like, shape (row,) or (row, value)
        groups : array-like, shape (row,), optional
            What is left out together when the penalty is chosen, such as blocks of time; by default single rows.
        counted : array-like of bool, shape (row,), optional
            Rows whose error counts in that choice, such as those in the middle of their block; by default all.

        Raises
        ------
        ModelError
            If shapes do not fit, numbers are not finite, or there is one group.
        """
        parts, base, rotated = self._chosen(_features(features), target, groups, counted)
        self._weigh(parts, base, rotated)
        return self

    def _chosen(
        self, x: Floats, target: npt.ArrayLike, groups: npt.ArrayLike | None, counted: npt.ArrayLike | None
    ) -> tuple[Parts, Floats, Floats]:
        """Choose the penalty; gives the decomposed features, the mean target and the others in those coordinates."""
        y = np.asarray(target, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(x):
            raise ModelError(f"target has shape {np.shape(target)}, expected ({len(x)},) or ({len(x)}, values)")
        if not np.isfinite(y).all():
            raise ModelError(f"{int((~np.isfinite(y)).sum())} of {y.size} targets are not finite; leave those rows out")
        self.mean, std = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(std > 0, std, 1.0)
        base = y.mean(axis=0)
        u, s, vt = _decomposed((x - self.mean) / self.scale)
        centred = y - base
        rotated = u.T @ centred
        asked = rotated[:, self.judged], centred[:, self.judged]
        if groups is None:
            self.loo_errors = np.array([_loo_error(u, s, *asked, alpha) for alpha in self.alphas])
        else:
            of_group = _rows_of_groups(groups, counted, len(x))
            self.loo_errors = np.array([_group_error(u, s, *asked, alpha, of_group) for alpha in self.alphas])
        self.alpha = self.alphas[int(np.argmin(self.loo_errors))]
        return (u, s, vt), base, rotated

    def _weigh(self, parts: Parts, base: Floats, rotated: Floats) -> None:
        _, s, vt = parts
        self.base = base
        self.weights: Floats = vt.T @ ((s / (s**2 + self.alpha))[:, None] * rotated)

    def predict(self, features: npt.ArrayLike) -> npt.NDArray[Any]:
        """Values of shape (row, value), float64."""
        return self._outputs(features)

    def _outputs(self, features: npt.ArrayLike) -> Floats:
        if np.isnan(self.alpha):
            raise ModelError("this decoder was not fitted; call fit with training trials first")
        x = _features(features)
        if x.shape[1] != len(self.mean):
            raise ModelError(
                f"features have {x.shape[1]} columns, expected the {len(self.mean)} of the training trials"
            )
        outputs: Floats = (x - self.mean) / self.scale @ self.weights + self.base
        return outputs


class RidgeDecoder(RidgeRegression):
    """Ridge regression from one feature vector a trial onto one-hot classes; the largest output is the answer.

    Scaling and penalty are those of `RidgeRegression`: from the training trials alone. Of more than 128 classes, such
    as the frames of a movie, as many random mixtures choose the penalty: their squared error is the same in the mean.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from, each above 0.

    Attributes
    ----------
    alpha : float
        The chosen penalty.
    classes : ndarray
        The classes seen in training, sorted.
    weights : ndarray, shape (feature, class), float64
        Of the scaled features.
    loo_errors : ndarray, shape (penalty,), float64
        Mean squared error of every penalty, of rows or groups left out.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = np.arange(60) % 3
    >>> features = np.eye(3)[target] + 0.1 * rng.standard_normal((60, 3))
    >>> RidgeDecoder().fit(features[:40], target[:40]).accuracy(features[40:], target[40:])
    1.0
    """

    def fit(
        self,
        features: npt.ArrayLike,
        target: npt.ArrayLike,
        groups: npt.ArrayLike | None = None,
        counted: npt.ArrayLike | None = None,
    ) -> RidgeDecoder:
        """Fit on training trials; returns itself.

        Parameters
        ----------
        features : array-like, shape (trial, feature)
            For instance every neuron's mean response in a trial.
        target : array-like, shape (trial,)
            Class of every trial.
        groups, counted : array-like, shape (trial,), optional
            As in `RidgeRegression.fit`.

        Raises
        ------
        ModelError
            If shapes do not fit, values are not finite, or there are fewer than two classes.
        """
        x = _features(features)
        y = np.asarray(target)
        if y.shape != (len(x),):
            raise ModelError(f"target has shape {y.shape}, expected ({len(x)},): one class a trial")
        self.classes, position = np.unique(y, return_inverse=True)
        if len(self.classes) < 2:
            raise ModelError(f"target holds {len(self.classes)} class; a decoder needs trials of at least two")
        parts, base, rotated = self._chosen(x, class_targets(position), groups, counted)
        if len(self.classes) > MOST_MIXTURES:
            # One-hot rows of thousands of classes would not fit the memory: they are summed class by class.
            u = parts[0]
            base = np.bincount(position) / len(position)
            sums = np.stack([np.bincount(position, axis) for axis in u.T])
            rotated = sums - u.sum(axis=0)[:, None] * base
        self._weigh(parts, base, rotated)
        return self

    def decide(self, features: npt.ArrayLike) -> Floats:
        """Compute outputs of shape (trial, class), float64, in the order of `classes`."""
        return self._outputs(features)

    def predict(self, features: npt.ArrayLike) -> npt.NDArray[Any]:
        """Class of every trial, shape (trial,)."""
        best = self.decide(features).argmax(axis=1)
        answers: npt.NDArray[Any] = self.classes[best]
        return answers

    def accuracy(self, features: npt.ArrayLike, target: npt.ArrayLike) -> float:
        """Share of the trials whose predicted class is the target."""
        return float(np.mean(self.predict(features) == np.asarray(target)))


def class_targets(position: npt.NDArray[np.int64]) -> Floats:
    """What a penalty is chosen for: one-hot classes, or of more than 128 as many random mixtures of them.

    Parameters
    ----------
    position : ndarray, shape (trial,)
        Classes from 0, each at least once.

    Examples
    --------
    >>> class_targets(np.array([0, 2, 1])).tolist()
    [[1.0, 0.0, 0.0], [0.0, 0.0, 1.0], [0.0, 1.0, 0.0]]
    >>> class_targets(np.arange(900)).shape
    (900, 128)
    """
    n_classes = int(position.max(initial=-1)) + 1
    if n_classes <= MOST_MIXTURES:
        return np.asarray(np.eye(n_classes)[position])
    mixtures = np.random.default_rng(0).standard_normal((n_classes, MOST_MIXTURES)) / np.sqrt(MOST_MIXTURES)
    return np.asarray(mixtures[position])


def _features(features: npt.ArrayLike) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ModelError(f"features have shape {x.shape}, expected (trial, feature) with at least one of each")
    if not np.isfinite(x).all():
        raise ModelError(
            f"{int((~np.isfinite(x)).sum())} of {x.size} features are not finite; leave those trials or neurons out"
        )
    return x


def _decomposed(x: Floats) -> tuple[Floats, Floats, Floats]:
    """Singular vectors and values of features, of those that a penalty lets matter.

    By eigenvalues of the smaller Gram matrix, which costs far less than a decomposition of the features themselves. It
    knows nothing of values below a millionth of the largest: the default penalties make nothing of them.
    """
    wide = x.shape[0] <= x.shape[1]
    squares, vectors = np.linalg.eigh(x @ x.T if wide else x.T @ x)
    kept = squares > squares.max(initial=0.0) * max(x.shape) * np.finfo(np.float64).eps
    s, vectors = np.sqrt(squares[kept]), vectors[:, kept]
    return (vectors, s, (vectors / s).T @ x) if wide else (x @ (vectors / s), s, vectors.T)


def _loo_error(u: Floats, s: Floats, rotated: Floats, centred: Floats, alpha: float) -> float:
    """Mean squared error of leaving every row out; its centring is left out with it (hence the 1 / n)."""
    shrink = s**2 / (s**2 + alpha)
    leverage = np.einsum("ij,j,ij->i", u, shrink, u) + 1 / len(u)
    residual = centred - (u * shrink) @ rotated
    return float(np.mean((residual / np.maximum(1 - leverage, 1e-12)[:, None]) ** 2))


def _rows_of_groups(
    groups: npt.ArrayLike, counted: npt.ArrayLike | None, n: int
) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]]:
    """Rows of every group, and which of them count."""
    names, code = np.unique(np.asarray(groups), return_inverse=True)
    counts = np.ones(n, np.bool_) if counted is None else np.asarray(counted, np.bool_)
    if code.shape != (n,) or counts.shape != (n,):
        raise ModelError(f"groups and counted have shapes {code.shape} and {counts.shape}, expected ({n},) of both")
    if len(names) < 2 or not counts.any():
        raise ModelError(
            f"{len(names)} group and {int(counts.sum())} rows that count; a penalty is chosen by leaving groups out, "
            "so give two groups at least, or none"
        )
    rows = [np.flatnonzero(code == at) for at in range(len(names))]
    return [(one, counts[one]) for one in rows if counts[one].any()]


def _group_error(
    u: Floats,
    s: Floats,
    rotated: Floats,
    centred: Floats,
    alpha: float,
    of_group: list[tuple[npt.NDArray[np.int64], npt.NDArray[np.bool_]]],
) -> float:
    """Mean squared error of leaving every group out: ``(I - H)^-1`` of its rows' residuals, centring left out too."""
    half = np.sqrt(s**2 / (s**2 + alpha))
    total, n_counted = 0.0, 0
    for rows, counts in of_group:
        part = u[rows] * half
        residual = centred[rows] - part @ (half[:, None] * rotated)
        # H = w w', inverted on its smaller side.
        w = np.hstack([part, np.full((len(rows), 1), 1 / np.sqrt(len(u)))])
        if len(rows) <= w.shape[1]:
            left_out = np.linalg.solve(np.eye(len(rows)) - w @ w.T, residual)
        else:
            left_out = residual + w @ np.linalg.solve(np.eye(w.shape[1]) - w.T @ w, w.T @ residual)
        total += float((left_out[counts] ** 2).sum())
        n_counted += int(counts.sum()) * residual.shape[1]
    return total / n_counted
