"""Run by a Python that has torch_brain 0.2.1, and of what poyodata needs only numpy: sample a diet, write what it is.

python eat_with_torch_brain.py DIET.json FOLDER OUT.npz
"""

from __future__ import annotations

import dataclasses
import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch.utils.data import DataLoader
from torch_brain.samplers import RandomFixedWindowSampler

from poyodata.errors import LoaderError
from poyodata.loaders import TorchBrainDiet


def described(sample):
    traces = sample.calcium_traces
    time_s = traces.true_timestamps if hasattr(traces, "true_timestamps") else traces.timestamps
    return np.asarray(traces.df_over_f), np.asarray(time_s), [str(name) for name in sample.rois.id]


def first(batch):
    return batch[0]


def main(diet_path: Path, folder: Path, out: Path) -> None:
    diet = TorchBrainDiet.load(diet_path)
    dataset = diet.dataset(folder, transform=described, keep_files_open=False)
    windows, arrays = [], {}
    for role in diet.roles:
        sampler = RandomFixedWindowSampler(
            sampling_intervals=diet.sampling_intervals(dataset, role),
            window_length=1.0,
            generator=torch.Generator().manual_seed(0),
        )
        indices = list(sampler)
        # Through torch's DataLoader, in a worker process too: the cut can be pickled.
        loader = DataLoader(dataset, sampler=indices, batch_size=1, collate_fn=first, num_workers=int(role == "test"))
        for index, (dff, time_s, neurons) in zip(indices, loader, strict=True):
            name = f"w{len(windows)}"
            arrays[f"{name}_dff"], arrays[f"{name}_s"] = dff, time_s
            windows.append({"name": name, "recording": index.recording_id, "role": role, "neurons": neurons})
    other = dataclasses.replace(diet, store_digest="another")
    try:
        other.dataset(folder)
        refused = ""
    except LoaderError as error:
        refused = type(error).__name__
    about = {"windows": windows, "recordings": list(dataset.recording_ids), "refused": refused}
    np.savez(out, about=np.array(json.dumps(about)), **arrays)


if __name__ == "__main__":
    main(*map(Path, sys.argv[1:]))
