from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import h5py
import numpy as np
import pytest

from poyodata.errors import SourceError
from poyodata.simulation.field_of_view import maximum_projection
from poyodata.simulation.recording import SimulatedSession
from poyodata.sources import read_allen_nwb
from tests.sources.conftest import Change

SEGMENTATION = "processing/brain_observatory_pipeline/ImageSegmentation"
PLANE = f"{SEGMENTATION}/imaging_plane_1"
PROJECTION = f"{PLANE}/reference_images/maximum_intensity_projection_image/data"


def replaced(name: str, value: object) -> Change:
    def change(file: h5py.File) -> None:
        del file[name]
        if value is not None:
            file[name] = value

    return change


def test_ids_masks_and_labels(made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    session, path = made("B")
    record = read_allen_nwb(path)
    neurons, rois = record.neurons, session.rois
    assert neurons["cell_specimen_id"].tolist() == rois.cell_specimen_id.tolist()
    assert neurons["roi_id"].tolist() == rois.roi_id.tolist()
    assert neurons["neuron_id"].tolist() == [f"900000000_{cell}" for cell in rois.cell_specimen_id]
    assert neurons["exclusion_label"].tolist() == ["", "duplicate", "", ""]
    assert neurons["valid_roi"].tolist() == [True, False, True, True]
    assert record.masks is not None
    with h5py.File(path) as file:
        for index, mask in enumerate(record.masks):
            assert mask.dtype == np.int16
            np.testing.assert_array_equal(mask, rois.pixels[index])
            image = np.zeros((512, 512), np.uint8)
            image[mask[:, 1], mask[:, 0]] = 1
            np.testing.assert_array_equal(image, file[f"{PLANE}/roi_{index:04d}/img_mask"][()])
    np.testing.assert_allclose(neurons["x_um"], [pixels[:, 0].mean() * 400 / 512 for pixels in rois.pixels])
    np.testing.assert_allclose(neurons["y_um"], [pixels[:, 1].mean() * 400 / 512 for pixels in rois.pixels])


@pytest.mark.parametrize(
    "stored",
    [
        pytest.param([[3, 1], [2, 5], [4, 1], [3, 5]], id="pixel_by_pixel"),
        pytest.param([[3, 2, 4, 3], [1, 5, 1, 5]], id="transposed"),
        pytest.param([[3, 1, 0.5], [2, 5, 1], [4, 1, 1], [3, 5, 1]], id="with_weights"),
    ],
)
def test_masks_as_pixels_only(stored: list[list[float]], edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        for index in range(4):
            del file[f"{PLANE}/roi_{index:04d}/img_mask"], file[f"{PLANE}/roi_{index:04d}/pix_mask"]
            file[f"{PLANE}/roi_{index:04d}/pix_mask"] = np.array(stored)

    record = read_allen_nwb(edited(change))
    assert record.masks is not None
    assert record.masks[2].tolist() == [[3, 1], [4, 1], [2, 5], [3, 5]]
    assert record.neurons["x_um"][2] == pytest.approx(3 * 400 / 512)


def test_regions_without_a_mask(edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{PLANE}/roi_0001"]
        del file[f"{PLANE}/roi_0002/img_mask"], file[f"{PLANE}/roi_0002/pix_mask"]
        file[f"{PLANE}/roi_0002/pix_mask"] = np.empty((0, 2), np.int16)
        names = file[f"{PLANE}/roi_list"][:3]
        del file[f"{PLANE}/roi_list"]
        file[f"{PLANE}/roi_list"] = names

    record = read_allen_nwb(edited(change))
    assert record.masks is not None
    assert [len(mask) > 0 for mask in record.masks] == [True, False, False, False]
    assert record.neurons["x_um"].isna().tolist() == [False, True, True, True]


@pytest.mark.parametrize("name", [PLANE, f"{PLANE}/roi_list"])
def test_no_masks(name: str, edited: Callable[..., Path]) -> None:
    record = read_allen_nwb(edited(replaced(name, None)))
    assert record.masks is None
    assert record.neurons[["x_um", "y_um"]].isna().all(axis=None)


def test_max_projection(made: Callable[[str], tuple[SimulatedSession, Path]]) -> None:
    session, path = made("B")
    image = read_allen_nwb(path).max_projection
    assert image is not None
    assert image.dtype == np.uint8
    np.testing.assert_array_equal(image, maximum_projection(session))
    assert image.max() > 200


@pytest.mark.parametrize("name", [PLANE, f"{PLANE}/reference_images", PROJECTION])
def test_no_max_projection(name: str, edited: Callable[..., Path]) -> None:
    assert read_allen_nwb(edited(replaced(name, None))).max_projection is None


@pytest.mark.parametrize("kind", [np.uint16, np.float32])
def test_max_projection_of_another_dtype(kind: type[np.generic], edited: Callable[..., Path]) -> None:
    image = np.arange(6, dtype=kind).reshape(2, 3)
    read = read_allen_nwb(edited(replaced(PROJECTION, image))).max_projection
    assert read is not None
    assert (read.dtype, read.tolist()) == (np.uint8, [[0, 1, 2], [3, 4, 5]])


@pytest.mark.parametrize(
    ("image", "message"),
    [
        (np.full((2, 3), 256), "image/data has int64 values from 256 to 256; whole numbers from 0 to 255"),
        (np.full((2, 3), np.nan), "image/data has float64 values from nan to nan"),
        (np.zeros((1, 2, 3), np.uint8), r"the maximum projection is \(1, 2, 3\) uint8; expected \(y, x\) uint8"),
        (np.zeros((0, 3), np.uint8), r"the maximum projection is \(0, 3\) uint8"),
    ],
)
def test_bad_max_projection(image: object, message: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=f"edited.nwb: .*{message}"):
        read_allen_nwb(edited(replaced(PROJECTION, image)))


def test_no_labels_and_no_roi_ids(edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{SEGMENTATION}/exclusion_labels"], file[f"{SEGMENTATION}/roi_ids"]

    neurons = read_allen_nwb(edited(change)).neurons
    assert neurons["valid_roi"].all()
    assert (neurons["exclusion_label"] == "").all()
    assert neurons["roi_id"].isna().all()


@pytest.mark.parametrize(
    "ids",
    [np.array([4, 3, 2, 1]), np.array([b"4", b"3", b"2", b"1"]), ["4", "3", "2", "1"]],
    ids=["integers", "fixed_texts", "texts"],
)
@pytest.mark.parametrize("name", ["roi_ids", "cell_specimen_ids"])
def test_ids_are_integers_or_texts(name: str, ids: object, edited: Callable[..., Path]) -> None:
    neurons = read_allen_nwb(edited(replaced(f"{SEGMENTATION}/{name}", ids))).neurons
    assert neurons[name.removesuffix("s")].tolist() == [4, 3, 2, 1]


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("roi_ids", np.array([1, 2]), "4 cell specimen ids, but 2 roi_ids"),
        ("roi_ids", np.array([b"a", b"b", b"c", b"d"]), "roi_ids holds 'a' and the like; integers were expected"),
        ("roi_ids", np.array([1.0, np.nan, 3.0, 4.0]), "roi_ids holds nan; whole numbers were expected"),
        ("roi_ids", np.array([1.0, 2.5, 3.0, 4.0]), "roi_ids holds 2.5; whole numbers were expected"),
        ("cell_specimen_ids", np.full(4, np.nan), "cell_specimen_ids holds nan; whole numbers were expected"),
        ("exclusion_labels", np.full(4, np.nan), "exclusion_labels holds float64 values, nan first; texts"),
        ("exclusion_labels", np.array([b""]), "but 1 exclusion_labels"),
        ("cell_specimen_ids", np.array([7, 7, 8, 9]), "neuron 900000000_7 stands there twice"),
    ],
)
def test_bad_ids(name: str, value: object, message: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=f"edited.nwb: .*{message}"):
        read_allen_nwb(edited(replaced(f"{SEGMENTATION}/{name}", value)))


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        ("roi_list", np.full(4, np.nan), "roi_list holds float64 values, nan first; texts were expected"),
        ("roi_list", np.arange(4), "roi_list holds int64 values, 0 first; texts were expected"),
        ("roi_list", np.array([b"0", b"1", b"2", b"3"]), "roi_list names '0' and the like, but none of them is there"),
        ("roi_0001/img_mask", np.zeros(5), r"roi_0001/img_mask has shape \(5,\); \(row, column\) was expected"),
    ],
)
def test_bad_masks(name: str, value: object, message: str, edited: Callable[..., Path]) -> None:
    with pytest.raises(SourceError, match=f"edited.nwb: .*{message}"):
        read_allen_nwb(edited(replaced(f"{PLANE}/{name}", value)))


@pytest.mark.parametrize(
    ("pixels", "message"),
    [
        ([[1.0, np.nan]], "pix_mask holds nan"),
        ([[1, 2**15]], "pix_mask has pixels from 1 to 32768"),
        ([[-1, 2]], "pix_mask has pixels from -1 to 2"),
        (7, r"pix_mask has shape \(\)"),
    ],
)
def test_bad_pixels(pixels: object, message: str, edited: Callable[..., Path]) -> None:
    def change(file: h5py.File) -> None:
        del file[f"{PLANE}/roi_0001/img_mask"], file[f"{PLANE}/roi_0001/pix_mask"]
        file[f"{PLANE}/roi_0001/pix_mask"] = pixels

    with pytest.raises(SourceError, match=f"edited.nwb: .*{message}"):
        read_allen_nwb(edited(change))
