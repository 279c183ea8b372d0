"""The linear decoders that every model is shown beside: ridge regression onto values and onto classes, in numpy."""

from __future__ import annotations

from typing import Any

import numpy as np
import numpy.typing as npt

from poyodata.errors import ModelError

Floats = npt.NDArray[np.float64]

ALPHAS: tuple[float, ...] = tuple(float(a) for a in np.logspace(-2, 6, 33))


class RidgeRegression:
    """Ridge regression from one feature vector a row onto one or more values.

    Features are centred and scaled, and the penalty is chosen, from the training rows alone: one penalty for all
    values, by the squared error of leaving every row out once, in closed form from one singular value decomposition.

    Parameters
    ----------
    alphas : sequence of float
        Penalties to choose from, each above 0.

    Attributes
    ----------
    alpha : float
        The chosen penalty.
    weights : ndarray, shape (feature, value), float64
        Of the scaled features.
    loo_errors : ndarray, shape (penalty,), float64
        Mean squared leave-one-out error of every penalty.

    Examples
    --------
    >>> x = np.random.default_rng(0).standard_normal((50, 3))
    >>> y = x @ [1.0, -2.0, 0.0] + 7.0
    >>> RidgeRegression().fit(x[:40], y[:40]).predict(x[40:]).shape
    (10, 1)
    """

    def __init__(self, alphas: tuple[float, ...] = ALPHAS) -> None:
        if not len(alphas) or not all(np.isfinite(a) and a > 0 for a in alphas):
            raise ModelError(f"alphas={alphas!r}: expected at least one penalty, each finite and above 0")
        self.alphas = tuple(float(a) for a in alphas)
        self.alpha = float("nan")

    def fit(self, features: npt.ArrayLike, target: npt.ArrayLike) -> RidgeRegression:
        """Fit on training rows; returns itself.

        Parameters
        ----------
        features : array-like, shape (row, feature)
        target : array-like, shape (row,) or (row, value)

        Raises
        ------
        ModelError
            If shapes do not fit, or numbers are not finite.
        """
        x, y = _features(features), np.asarray(target, dtype=np.float64)
        y = y[:, None] if y.ndim == 1 else y
        if y.ndim != 2 or len(y) != len(x):
            raise ModelError(f"target has shape {np.shape(target)}, expected ({len(x)},) or ({len(x)}, values)")
        if not np.isfinite(y).all():
            raise ModelError(f"{int((~np.isfinite(y)).sum())} of {y.size} targets are not finite; leave those rows out")
        self.mean, std = x.mean(axis=0), x.std(axis=0)
        self.scale = np.where(std > 0, std, 1.0)
        self.base = y.mean(axis=0)
        u, s, vt = np.linalg.svd((x - self.mean) / self.scale, full_matrices=False)
        # Directions without variance have u that is no part of the fit (their s is rounding noise).
        kept = s > s.max(initial=0.0) * max(x.shape) * np.finfo(np.float64).eps
        u, s, vt = u[:, kept], s[kept], vt[kept]
        centred = y - self.base
        rotated = u.T @ centred
        self.loo_errors = np.array([_loo_error(u, s, rotated, centred, alpha) for alpha in self.alphas])
        self.alpha = self.alphas[int(np.argmin(self.loo_errors))]
        self.weights: Floats = vt.T @ ((s / (s**2 + self.alpha))[:, None] * rotated)
        return self

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

    Scaling and penalty are those of `RidgeRegression`: from the training trials alone.

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
        Mean squared leave-one-out error of every penalty.

    Examples
    --------
    >>> rng = np.random.default_rng(0)
    >>> target = np.arange(60) % 3
    >>> features = np.eye(3)[target] + 0.1 * rng.standard_normal((60, 3))
    >>> RidgeDecoder().fit(features[:40], target[:40]).accuracy(features[40:], target[40:])
    1.0
    """

    def fit(self, features: npt.ArrayLike, target: npt.ArrayLike) -> RidgeDecoder:
        """Fit on training trials; returns itself.

        Parameters
        ----------
        features : array-like, shape (trial, feature)
            For instance every neuron's mean response in a trial.
        target : array-like, shape (trial,)
            Class of every trial.

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
        super().fit(x, np.eye(len(self.classes))[position])
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


def _features(features: npt.ArrayLike) -> Floats:
    x = np.asarray(features, dtype=np.float64)
    if x.ndim != 2 or not x.size:
        raise ModelError(f"features have shape {x.shape}, expected (trial, feature) with at least one of each")
    if not np.isfinite(x).all():
        raise ModelError(
            f"{int((~np.isfinite(x)).sum())} of {x.size} features are not finite; leave those trials or neurons out"
        )
    return x


def _loo_error(u: Floats, s: Floats, rotated: Floats, centred: Floats, alpha: float) -> float:
    """Mean squared error of leaving every row out; its centring is left out with it (hence the 1 / n)."""
    shrink = s**2 / (s**2 + alpha)
    leverage = np.einsum("ij,j,ij->i", u, shrink, u) + 1 / len(u)
    residual = centred - (u * shrink) @ rotated
    return float(np.mean((residual / np.maximum(1 - leverage, 1e-12)[:, None]) ** 2))
