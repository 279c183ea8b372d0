"""Loaders for torch: a plain `DataLoader`, Lightning, and batches on a GPU.

Modules here import torch when they are imported; nothing else of the loaders does.
"""

from __future__ import annotations

from poyodata.loaders.torch.data_module import make_data_module
from poyodata.loaders.torch.dataset import BatchKey, BatchOrder, WindowDataset, as_data_loader
from poyodata.loaders.torch.device import DeviceLoader, ResidentLoader, pinned, to_device

__all__ = [
    "BatchKey",
    "BatchOrder",
    "DeviceLoader",
    "ResidentLoader",
    "WindowDataset",
    "as_data_loader",
    "make_data_module",
    "pinned",
    "to_device",
]
