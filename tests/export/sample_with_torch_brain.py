"""Run by a Python that has torch_brain 0.2.1: open a folder, sample windows of every split, print what was read.

python sample_with_torch_brain.py FOLDER OUT.npz
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import numpy as np
import torch
from torch_brain.datasets import AllenVisualCodingOphys2016
from torch_brain.samplers import RandomFixedWindowSampler, SequentialFixedWindowSampler, TrialSampler

WINDOW_S = 1.0


def main(folder: Path, out: Path) -> None:
    dataset = AllenVisualCodingOphys2016(root=str(folder.parent), dirname=folder.name)
    windows, arrays = [], {}

    def keep(index, sample, kind, split):
        traces = sample.calcium_traces
        frames = traces.true_timestamps if hasattr(traces, "true_timestamps") else traces.timestamps + index.start
        name = f"w{len(windows)}"
        arrays[f"{name}_dff"], arrays[f"{name}_s"] = traces.df_over_f, frames
        windows.append({"name": name, "recording": index.recording_id, "sampler": kind, "split": split})
        return sample

    for split in ("train", "valid", "test"):
        intervals = dataset.get_sampling_intervals(split)
        seeded = torch.Generator().manual_seed(0)
        for kind, sampler in (
            (
                "random",
                RandomFixedWindowSampler(sampling_intervals=intervals, window_length=WINDOW_S, generator=seeded),
            ),
            (
                "sequential",
                SequentialFixedWindowSampler(sampling_intervals=intervals, window_length=WINDOW_S, drop_short=True),
            ),
        ):
            for index in sampler:
                sample = keep(index, dataset[index], kind, split)
                sample.running.running_speed, sample.drifting_gratings.orientation_id  # noqa: B018 - read lazily
    trials = {}
    for recording_id in dataset.recording_ids:
        trials[recording_id] = dataset.get_recording(recording_id).drifting_gratings
    for index in TrialSampler(sampling_intervals=trials):
        sample = keep(index, dataset[index], "trial", "")
        windows[-1]["orientation"] = sample.drifting_gratings.orientation.tolist()
        windows[-1]["start_frame"] = sample.drifting_gratings.start_frame.tolist()
        windows[-1]["stop_frame"] = sample.drifting_gratings.stop_frame.tolist()
    facts = {
        "recordings": dataset.recording_ids,
        "rois": dataset.get_roi_ids(),
        "subjects": [dataset.get_recording(name).subject.id for name in dataset.recording_ids],
    }
    np.savez(out, about=np.array(json.dumps({"windows": windows, **facts})), **arrays)


if __name__ == "__main__":
    main(Path(sys.argv[1]), Path(sys.argv[2]))
