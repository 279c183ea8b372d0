"""Whole stretches: windows of different lengths in a batch change nothing of each other."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from poyodata.curation import Manifest
from poyodata.loaders import Recipe, make_loader
from poyodata.store import Store


@pytest.mark.parametrize("scheme", ["forward", "causal", "neuron", "random"])
def test_masks_and_noise_of_a_sample_do_not_depend_on_its_batch(
    tiny_store: Store, whole_time: Manifest, scheme: str
) -> None:
    recipe = Recipe.from_yaml(
        "recipe: 1\nwindows: {mode: whole}\ntransforms: [normalise, {name: noise, std: 0.5}]\n"
        f"masks: [{{scheme: {scheme}}}]\n"
    )

    def samples(batch_size: int) -> tuple[dict[int, Any], Any]:
        loader = make_loader(tiny_store, whole_time, recipe=recipe, batch_size=batch_size)
        found: dict[int, Any] = {}
        for number in range(-(-6 // batch_size)):
            batch = loader.batch(0, number)
            frames = batch.get("time_mask", np.ones((len(batch["sample"]), batch["values"].shape[2]), np.bool_))
            for at, sample in enumerate(batch["sample"].tolist()):
                padding = ~frames[at]
                for name in ("hidden", "target", "values"):
                    assert not batch[name][at][:, padding].any(), name
                shown = batch["neuron_mask"][at]
                found[sample] = [batch[name][at][shown][:, frames[at]] for name in ("hidden", "target", "values")]
                assert found[sample][1].any(), "a window without anything to score"
        return found, loader.mask_report.entries

    alone, entries = samples(1)
    together, entries_together = samples(6)
    assert len({one[0].shape for one in alone.values()}) > 1, "stretches of different length"
    assert entries == entries_together == sum(one[0].size for one in alone.values())
    for sample, one in alone.items():
        for mine, its in zip(one, together[sample], strict=True):
            np.testing.assert_array_equal(mine, its)
