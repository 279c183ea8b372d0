"""AllenSDK reads what our simulator and writer made, and our reader has to say the same, value by value."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from poyodata.allensdk.answers import Answers
from poyodata.allensdk.comparison import compare
from poyodata.allensdk.finding import Finding
from poyodata.sources.record import SessionRecord
from tests.allensdk.conftest import SESSION_TYPES, Judged
from tests.simulation.made_session import SESSION_STIMULI

EQUAL = {
    *(f"{name} traces" for name in ("dff", "raw", "neuropil", "demixed", "corrected")),
    *("dff timestamps", "raw timestamps", "neuropil r", "cell_specimen_ids", "roi_ids", "masks", "centres of masks"),
    "maximum projection",
    *("running speed", "pupil location in degrees", "pupil location in cm", "pupil size", "motion"),
    *("stimuli", "master table", "epochs", "session type", "donor"),
    *(
        f"metadata {key}"
        for key in (
            *("age_days", "cre_line", "experiment_container_id", "genotype", "imaging_depth_um", "indicator"),
            *("ophys_experiment_id", "session_type", "sex", "specimen_name", "targeted_structure"),
            *("session_start_time", "device", "device_name", "excitation_lambda", "fov", "pipeline_version"),
        )
    ),
}
TEMPLATES = {"natural_scenes", "natural_movie_one", "natural_movie_two", "natural_movie_three"}


def by_quantity(findings: tuple[Finding, ...]) -> dict[str, Finding]:
    found = {finding.quantity: finding for finding in findings}
    assert len(found) == len(findings), "a quantity has two rows"
    return found


def states(findings: tuple[Finding, ...], state: str) -> set[str]:
    return {finding.quantity for finding in findings if finding.state == state}


@pytest.mark.slow
@pytest.mark.parametrize("session_type", SESSION_TYPES)
def test_our_reader_says_what_allensdk_says(session_type: str, judged: Callable[[str], Judged]) -> None:
    record, answers = judged(session_type)
    findings = compare(answers, record)
    shown = SESSION_STIMULI[session_type]
    noise = {stimulus for stimulus in shown if "noise" in stimulus}
    templates = {f"template {name}" for name in (TEMPLATES & set(shown)) | noise}
    templates |= {f"template {name}, as noise" for name in noise}
    assert states(findings, "differs") == set(), findings
    assert states(findings, "AllenSDK raises") == set()
    assert states(findings, "not kept") == set()
    assert states(findings, "equal") == EQUAL | templates | {f"table {stimulus}" for stimulus in shown}
    rows = by_quantity(findings)
    assert "float64, rounded once" in rows["corrected traces"].note
    assert "pads with NaN" in rows["running speed"].note
    unexplained = {"dff traces", "raw traces", "neuropil traces", "demixed traces", "motion", "pupil size", "roi_ids"}
    assert {rows[name].note for name in unexplained} == {""}


@pytest.mark.slow
def test_no_answer_is_left_unread(judged: Callable[[str], Judged], monkeypatch: pytest.MonkeyPatch) -> None:
    record, answers = judged("C2")
    read: set[str] = set()
    for name in ("raised", "value", "parts"):
        original = getattr(Answers, name)

        def noted(self: Answers, question: str, _original: Callable[..., Any] = original) -> Any:
            read.add(question)
            return _original(self, question)

        monkeypatch.setattr(Answers, name, noted)
    compare(answers, record)
    assert read == set(answers.questions)


# One value of each quantity of our record is changed; exactly the rows that speak of it have to differ.

Mutation = Callable[[SessionRecord], SessionRecord]


def one_trace_value(name: str) -> Mutation:
    def change(record: SessionRecord) -> SessionRecord:
        read = record.read_traces if name == "dff" else record.further[name]

        def changed(start_frame: int, stop_frame: int) -> npt.NDArray[np.float32]:
            block = read(start_frame, stop_frame).copy()
            if start_frame <= 321 < stop_frame:
                block[321 - start_frame, 2] = np.nextafter(block[321 - start_frame, 2], np.float32(np.inf))
            return block

        if name == "dff":
            return dataclasses.replace(record, read_traces=changed)
        return dataclasses.replace(record, further={**record.further, name: changed})

    return change


def without_trace(name: str) -> Mutation:
    return lambda record: dataclasses.replace(
        record, further={key: read for key, read in record.further.items() if key != name}
    )


def one_neuron_value(column: str, change: Callable[[Any], Any]) -> Mutation:
    def mutate(record: SessionRecord) -> SessionRecord:
        neurons = record.neurons.copy()
        neurons.loc[3, column] = change(neurons.loc[3, column])
        return dataclasses.replace(record, neurons=neurons)

    return mutate


def one_pixel(record: SessionRecord) -> SessionRecord:
    assert record.masks is not None
    masks = [mask.copy() for mask in record.masks]
    masks[4][5, 1] += 1
    return dataclasses.replace(record, masks=masks)


def one_sample(name: str, part: str) -> Mutation:
    def mutate(record: SessionRecord) -> SessionRecord:
        signal = record.signals[name]
        values = getattr(signal, part).copy()
        index = int(np.flatnonzero(np.isfinite(values))[100])
        values[index] = np.nextafter(values[index], np.inf)
        changed = dataclasses.replace(signal, **{part: values})
        return dataclasses.replace(record, signals={**record.signals, name: changed})

    return mutate


def one_image_value(record: SessionRecord) -> SessionRecord:
    assert record.max_projection is not None
    image = record.max_projection.copy()
    image[-1, -1] ^= 1
    return dataclasses.replace(record, max_projection=image)


def without_signal(name: str) -> Mutation:
    return lambda record: dataclasses.replace(
        record, signals={key: signal for key, signal in record.signals.items() if key != name}
    )


def one_presentation(stimulus: str, column: str, change: Callable[[Any], Any], row: int = 7) -> Mutation:
    def mutate(record: SessionRecord) -> SessionRecord:
        table = record.presentations.copy()
        rows = table.index[(table["stimulus"] == stimulus) & ~table["blank"]]
        table.loc[rows[row], column] = change(table.loc[rows[row], column])
        return dataclasses.replace(record, presentations=table)

    return mutate


def without_presentation(stimulus: str, row: int) -> Mutation:
    def mutate(record: SessionRecord) -> SessionRecord:
        table = record.presentations
        gone = table.index[table["stimulus"] == stimulus][row]
        return dataclasses.replace(record, presentations=table.drop(index=gone).reset_index(drop=True))

    return mutate


def one_template_value(stimulus: str) -> Mutation:
    def mutate(record: SessionRecord) -> SessionRecord:
        frames = np.asarray(record.templates[stimulus]()).copy()
        frames[-1, -1, -1] ^= 1
        return dataclasses.replace(record, templates={**record.templates, stimulus: lambda: frames})

    return mutate


def one_time(record: SessionRecord) -> SessionRecord:
    time_s = record.time_s.copy()
    time_s[-1] = np.nextafter(time_s[-1], np.inf)
    return dataclasses.replace(record, time_s=time_s)


def metadata(**changes: Any) -> Mutation:
    return lambda record: dataclasses.replace(record, metadata=dataclasses.replace(record.metadata, **changes))


def more(value: float) -> float:
    return value + 1


def negated(value: bool) -> bool:
    return not value


def of(stimulus: str) -> set[str]:
    return {f"table {stimulus}", "master table"}


MUTATIONS: tuple[tuple[str, str, Mutation, set[str]], ...] = (
    *((f"{name} value", "A", one_trace_value(name), {f"{name} traces"}) for name in ("dff", "raw", "neuropil")),
    *((f"{name} value", "A", one_trace_value(name), {f"{name} traces"}) for name in ("demixed", "corrected")),
    ("no demixed", "A", without_trace("demixed"), {"demixed traces"}),
    ("timestamp", "A", one_time, {"dff timestamps", "raw timestamps", "running speed"}),
    ("neuropil r", "A", one_neuron_value("neuropil_r", more), {"neuropil r"}),
    ("cell id", "A", one_neuron_value("cell_specimen_id", more), {"cell_specimen_ids"}),
    ("roi id", "A", one_neuron_value("roi_id", more), {"roi_ids"}),
    ("x", "A", one_neuron_value("x_um", more), {"centres of masks"}),
    ("y", "A", one_neuron_value("y_um", more), {"centres of masks"}),
    ("pixel", "A", one_pixel, {"masks"}),
    ("no masks", "A", lambda record: dataclasses.replace(record, masks=None), {"masks"}),
    ("image", "A", one_image_value, {"maximum projection"}),
    ("no image", "A", lambda record: dataclasses.replace(record, max_projection=None), {"maximum projection"}),
    ("running", "A", one_sample("running_speed", "values"), {"running speed"}),
    ("running time", "A", one_sample("running_speed", "time_s"), {"running speed"}),
    ("no running", "A", without_signal("running_speed"), {"running speed"}),
    ("altitude", "A", one_sample("pupil_altitude_deg", "values"), {"pupil location in degrees"}),
    ("azimuth", "A", one_sample("pupil_azimuth_deg", "values"), {"pupil location in degrees"}),
    ("azimuth time", "A", one_sample("pupil_azimuth_deg", "time_s"), {"pupil location in degrees"}),
    ("no azimuth", "A", without_signal("pupil_azimuth_deg"), {"pupil location in degrees"}),
    ("pupil x", "A", one_sample("pupil_x_cm", "values"), {"pupil location in cm"}),
    ("pupil y", "A", one_sample("pupil_y_cm", "values"), {"pupil location in cm"}),
    ("pupil size", "A", one_sample("pupil_area_px", "values"), {"pupil size"}),
    ("pupil size time", "A", one_sample("pupil_area_px", "time_s"), {"pupil size"}),
    ("motion x", "A", one_sample("motion_x_px", "values"), {"motion"}),
    ("motion y", "A", one_sample("motion_y_px", "values"), {"motion"}),
    ("motion y time", "A", one_sample("motion_y_px", "time_s"), {"motion"}),
    ("direction", "A", one_presentation("drifting_gratings", "direction_deg", more), of("drifting_gratings")),
    ("Hz", "A", one_presentation("drifting_gratings", "temporal_frequency_hz", more), of("drifting_gratings")),
    ("blank", "A", one_presentation("drifting_gratings", "blank", negated), of("drifting_gratings")),
    ("start", "A", one_presentation("drifting_gratings", "start_frame", more), of("drifting_gratings")),
    ("stop", "A", one_presentation("drifting_gratings", "stop_frame", more), of("drifting_gratings")),
    ("movie frame", "A", one_presentation("natural_movie_one", "movie_frame", more), of("natural_movie_one")),
    ("repeat", "A", one_presentation("natural_movie_three", "repeat", more), of("natural_movie_three")),
    ("lost sweep", "A", without_presentation("drifting_gratings", 30), of("drifting_gratings")),
    ("lost last sweep", "A", without_presentation("drifting_gratings", -1), of("drifting_gratings") | {"epochs"}),
    ("lost spontaneous", "A", without_presentation("spontaneous", 0), of("spontaneous") | {"epochs", "stimuli"}),
    ("epoch", "A", one_presentation("drifting_gratings", "epoch", lambda _: 99), {"epochs"}),
    ("epoch's end", "A", one_presentation("spontaneous", "stop_frame", more, 0), of("spontaneous") | {"epochs"}),
    ("orientation", "B", one_presentation("static_gratings", "orientation_deg", more), of("static_gratings")),
    ("cpd", "B", one_presentation("static_gratings", "spatial_frequency_cpd", more), of("static_gratings")),
    ("phase", "B", one_presentation("static_gratings", "phase", more), of("static_gratings")),
    ("scene", "B", one_presentation("natural_scenes", "image", more), of("natural_scenes")),
    ("noise", "C", one_presentation("locally_sparse_noise", "image", more), of("locally_sparse_noise")),
    *(
        (f"template {name}", "A", one_template_value(name), {f"template {name}"})
        for name in ("natural_movie_one", "natural_movie_three")
    ),
    ("template natural_scenes", "B", one_template_value("natural_scenes"), {"template natural_scenes"}),
    (
        "template noise",
        "C",
        one_template_value("locally_sparse_noise"),
        {"template locally_sparse_noise", "template locally_sparse_noise, as noise"},
    ),
    ("no templates", "B", lambda record: dataclasses.replace(record, templates={}),
     {"template natural_scenes", "template natural_movie_one"}),
    ("session id", "A", metadata(session_id="1"), {"metadata ophys_experiment_id"}),
    ("container id", "A", metadata(container_id="1"), {"metadata experiment_container_id"}),
    ("donor", "A", metadata(donor_id="1"), {"donor"}),
    ("specimen", "A", metadata(specimen_name="Cux2-CreERT2"), {"metadata specimen_name"}),
    ("no specimen", "A", metadata(specimen_name=""), {"metadata specimen_name"}),
    ("start time", "A", metadata(start_time="2016-02-11T09:54:37"), {"metadata session_start_time"}),
    ("no start time", "A", metadata(start_time=""), {"metadata session_start_time"}),
    ("device", "A", metadata(device="A microscope. SIM2P.1 Please see it."), {"metadata device"}),
    ("device's name", "A", metadata(device="Simulated microscope. SIM2P.2 Please see it."), {"metadata device_name"}),
    ("no device", "A", metadata(device=""), {"metadata device", "metadata device_name"}),
    ("excitation", "A", metadata(excitation_nm=911.0), {"metadata excitation_lambda"}),
    ("no excitation", "A", metadata(excitation_nm=float("nan")), {"metadata excitation_lambda"}),
    ("fov", "A", metadata(fov="400x400 microns"), {"metadata fov"}),
    ("pipeline version", "A", metadata(pipeline_version="0.9"), {"metadata pipeline_version"}),
    ("line", "A", metadata(cre_line="Pvalb-IRES-Cre"), {"metadata cre_line"}),
    ("area", "A", metadata(area="VISrl"), {"metadata targeted_structure"}),
    ("depth", "A", metadata(depth_um=1.0), {"metadata imaging_depth_um"}),
    ("session type", "A", metadata(session_type="B"), {"metadata session_type", "session type"}),
    ("indicator", "A", metadata(indicator=""), {"metadata indicator"}),
    ("genotype", "A", metadata(genotype="wt"), {"metadata genotype"}),
    ("sex", "A", metadata(sex="unknown"), {"metadata sex"}),
    ("age", "A", metadata(age_days=float("nan")), {"metadata age_days"}),
)  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize(
    ("session_type", "mutate", "expected"), [pytest.param(*rest, id=name) for name, *rest in MUTATIONS]
)
def test_one_wrong_value_is_noticed(
    session_type: str, mutate: Mutation, expected: set[str], judged: Callable[[str], Judged]
) -> None:
    record, answers = judged(session_type)
    assert states(compare(answers, mutate(record)), "differs") == expected


@pytest.mark.slow
def test_every_quantity_has_a_mutation() -> None:
    changed = set().union(*(expected for *_, expected in MUTATIONS))
    assert changed >= EQUAL
