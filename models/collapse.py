"""Whether latents still tell windows apart; a reconstruction of latents is perfect when they do not."""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor


def latent_spread(z: Tensor) -> Tensor:
    """Measure how far latents differ between windows: their standard deviation over the batch; 0 means collapse.

    It is averaged over latents and channels.

    Parameters
    ----------
    z : Tensor, shape (batch, latent, dim)
        Processed latents; nothing flows back into them from here.

    Returns
    -------
    Tensor
        One number.

    Examples
    --------
    >>> latent_spread(torch.ones(4, 2, 3)).item()
    0.0
    """
    return z.detach().float().std(dim=0, correction=0).mean()


def latent_rank(z: Tensor) -> Tensor:
    """Measure in how many directions latents differ between windows: the participation ratio of their covariance.

    ``(sum of eigenvalues)^2 / sum of squared eigenvalues``: 1 where all windows lie on a line, at most batch - 1.
    Latents may keep their spread and still collapse onto a few directions.

    Parameters
    ----------
    z : Tensor, shape (batch, latent, dim)
        Processed latents; nothing flows back into them from here.

    Returns
    -------
    Tensor
        One number; 0 where all windows are the same.

    Examples
    --------
    >>> z = torch.tensor([1.0, 0.0, -1.0])[:, None, None] * torch.ones(3, 2, 4)
    >>> round(latent_rank(z).item(), 4)
    1.0
    """
    rows = z.detach().float().flatten(1)
    rows = rows - rows.mean(dim=0)
    # The products between windows have the eigenvalues of the covariance, and are few numbers; in units of their own
    # size, so that squares neither vanish nor overflow.
    products = rows @ rows.T
    trace = products.diagonal().sum()
    products = products / trace.clamp(min=torch.finfo(products.dtype).tiny)
    return (trace > 0) / products.square().sum().clamp(min=torch.finfo(products.dtype).tiny)


@dataclass
class CollapseMonitor:
    """Follows the spread of latents over a run, and says when it is all but gone.

    It takes numbers, not tensors: feed it what is logged anyway, so that no step waits for it.

    Attributes
    ----------
    floor : float
        Share of the first spread below which latents count as collapsed.
    patience : int
        Observations in a row below it that it takes.

    Examples
    --------
    >>> monitor = CollapseMonitor(patience=2)
    >>> [monitor.see(step, spread) for step, spread in ((1, 0.5), (2, 0.001))]
    [None, None]
    >>> monitor.see(3, 0.001)
    'latents have collapsed: their spread over windows is 0.001 at step 3, 0.2 % of the 0.5 that it was at step 1'
    """

    floor: float = 0.1
    patience: int = 10
    _first: tuple[int, float] | None = field(default=None, init=False)
    _below: int = field(default=0, init=False)

    def see(self, step: int, spread: float) -> str | None:
        """Take the spread of a step; the sentence to tell when latents have collapsed, once, and None else."""
        if self._first is None:
            self._first = (step, spread)
            return None
        first_step, first = self._first
        self._below = self._below + 1 if spread < self.floor * first else 0
        if self._below != self.patience:
            return None
        return (
            f"latents have collapsed: their spread over windows is {spread:.3g} at step {step}, "
            f"{100 * spread / first:.1f} % of the {first:.3g} that it was at step {first_step}"
        )
