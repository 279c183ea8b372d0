from __future__ import annotations

import importlib.metadata
import logging
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

import poyodata.curation
from poyodata.curation import PRESETS, Diet, library, load_diet
from poyodata.curation.language import rules
from poyodata.curation.library import known_diets, list_diets
from poyodata.errors import DietError, UsageError
from poyodata.vocabulary import CRE_LINES


def test_presets_and_files_are_loaded_by_name(tmp_path: Path) -> None:
    for name in PRESETS:
        assert load_diet(name).name == name
        assert load_diet(name).description
    file = tmp_path / "mine.yaml"
    file.write_text(load_diet("predictable").named("mine").to_yaml(), encoding="utf-8")
    assert load_diet(file) == load_diet(str(file)) == load_diet("predictable").named("mine")
    (tmp_path / "mine.json").write_text(load_diet("mixed-30").to_json(), encoding="utf-8")
    assert load_diet(tmp_path / "mine.json") == load_diet("mixed-30")
    assert load_diet({"diet": 1, "neurons": "all"}).neurons == rules.Everyone()
    with pytest.raises(UsageError, match="did you mean 'predictable'"):
        load_diet("predictabel")
    with pytest.raises(UsageError, match="no diet can be read"):
        load_diet(tmp_path / "none.yaml")
    (tmp_path / "bytes.yaml").write_bytes(b"\xff\xfe\x00diet")
    with pytest.raises(DietError, match="UTF-8"):
        load_diet(tmp_path / "bytes.yaml")


def test_the_presets_in_the_folder_are_those_named() -> None:
    folder = Path(poyodata.curation.__file__).parent / "presets"
    assert sorted(path.stem for path in folder.glob("*.yaml")) == sorted(PRESETS)


def lines_of(name: str) -> set[str]:
    where = load_diet(name).to_dict()["neurons"]["where"]
    return {line for line in CRE_LINES if repr(line) in where}


def test_presets_of_lines_name_lines_that_there_are_and_divide_them() -> None:
    assert lines_of("predictable-cre") == {"Sst-IRES-Cre", "Vip-IRES-Cre", "Pvalb-IRES-Cre", "Ntsr1-Cre_GN220"}
    assert lines_of("unpredictable-cre") == set(CRE_LINES) - lines_of("predictable-cre")
    assert len(lines_of("unpredictable-cre")) == 9
    further = {"Tlx3-Cre_PL56", "Slc17a7-IRES2-Cre", "Cux2-CreERT2", "Fezf2-CreER"}
    assert lines_of("mixed-cre") == lines_of("predictable-cre") | further


PARAMETERS = {
    "predictable": {"max_kurtosis": 22.62, "max_skewness": 3.51},
    "unpredictable": {"max_kurtosis": 22.62, "max_skewness": 3.51},
    "unpredictable-strict": {"max_kurtosis": 22.62, "max_skewness": 3.51},
    "mixed-30": {"fraction": 0.3, "max_kurtosis": 22.62, "max_skewness": 3.51, "seed": 0},
    "random-matched": {"draw": 0, "max_kurtosis": 22.62, "max_skewness": 3.51, "seed": 0},
}


@pytest.mark.parametrize("name", PRESETS)
def test_presets_have_these_parameters(name: str) -> None:
    assert load_diet(name).parameters == PARAMETERS.get(name, {})


def test_a_parameter_of_a_preset_reaches_the_diets_it_refers_to() -> None:
    changed = load_diet("mixed-30").with_parameters(max_skewness=3.0, fraction=0.5).bound().to_dict()["neurons"]["mix"]
    assert changed[0]["of"]["with"]["max_skewness"] == changed[1]["of"]["with"]["max_skewness"] == 3.0
    assert changed[1]["fraction"] == 0.5
    assert "skewness <= 3.51 and kurtosis <= 22.62" in repr(load_diet("predictable"))


# -- diets of installed packages -------------------------------------------------------------------------------------


def boom() -> Diet:
    raise RuntimeError("the package is broken")


def leave() -> Diet:
    raise SystemExit(3)


OWN = Diet.where("skewness <= 2", name="whatever", description="Calm ones.")
MAPPING: dict[str, Any] = {"diet": 1, "description": "From a mapping.", "neurons": {"where": "kurtosis < 1"}}
WRONG_MAPPING: dict[str, Any] = {"diet": 1, "neurons": {"where": "kurtosis = 1"}}
NUMBER = 3


def make() -> Diet:
    return OWN


@pytest.fixture
def offer(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Let installed packages offer diets: (package, name, attribute of this module, or of one that is not there)."""
    given: list[SimpleNamespace] = []

    class Entry(importlib.metadata.EntryPoint):
        @property
        def dist(self) -> Any:
            return SimpleNamespace(name=self.value.partition("|")[2])

        def load(self) -> Any:
            loaded.append(self.name)
            return importlib.metadata.EntryPoint(self.name, self.value.partition("|")[0], self.group).load()

    loaded: list[str] = []

    def entry_points(*, group: str) -> list[Any]:
        return list(given) if group == library.ENTRY_POINTS else []

    def add(package: str, name: str, value: str) -> list[str]:
        given.append(Entry(name, f"{value}|{package}", library.ENTRY_POINTS))  # type: ignore[arg-type]
        library._offered.cache_clear()
        return loaded

    monkeypatch.setattr(importlib.metadata, "entry_points", entry_points)
    library._offered.cache_clear()
    yield add
    monkeypatch.undo()
    library._offered.cache_clear()


HERE = __name__


@pytest.mark.parametrize("attribute", ["OWN", "make", "MAPPING"])
def test_a_package_offers_a_diet_a_mapping_or_a_function(offer: Callable[..., Any], attribute: str) -> None:
    loaded = offer("calm-diets", "calm", f"{HERE}:{attribute}")
    assert known_diets()["calm"] == "calm-diets"
    assert loaded == []
    diet = load_diet("calm")
    assert diet.name == "calm"
    assert diet.neurons == (Diet.from_dict(MAPPING) if attribute == "MAPPING" else OWN).neurons
    assert load_diet({"diet": 1, "neurons": {"diet": "calm"}}).neurons == rules.Reference("calm")
    row = list_diets().set_index("name").loc["calm"]
    assert (row["origin"], row["problem"]) == ("calm-diets", "")


BROKEN = {
    "raises": ("boom", r"diet 'x' of package 'bad' cannot be loaded \(RuntimeError: the package is broken\)"),
    "ends the program": ("leave", r"cannot be loaded \(SystemExit: 3\)"),
    "is not there": ("nothing", "cannot be loaded"),
    "is no diet": ("NUMBER", "is a int; a package offers a Diet"),
    "is not well formed": ("WRONG_MAPPING", "is not well formed: neurons.where: "),
}


@pytest.mark.parametrize(("attribute", "expected"), BROKEN.values(), ids=BROKEN.keys())
def test_a_broken_package_is_named_and_breaks_no_other(
    offer: Callable[..., Any], attribute: str, expected: str, caplog: pytest.LogCaptureFixture
) -> None:
    offer("good", "calm", f"{HERE}:OWN")
    offer("bad", "x", f"{HERE}:{attribute}")
    with caplog.at_level(logging.DEBUG):
        assert load_diet("calm").neurons == OWN.neurons
        assert load_diet("predictable").name == "predictable"
    with pytest.raises(DietError, match=expected):
        load_diet("x")
    table = list_diets().set_index("name")
    assert "package 'bad'" in table.loc["x", "problem"]
    assert (table.drop("x")["problem"] == "").all()


def test_a_name_with_two_homes_means_neither(offer: Callable[..., Any]) -> None:
    offer("a-package", "predictable", f"{HERE}:OWN")
    offer("b-package", "calm", f"{HERE}:OWN")
    offer("c-package", "calm", f"{HERE}:make")
    with pytest.raises(DietError, match="poyodata and package 'a-package' both have a diet 'predictable'"):
        load_diet("predictable")
    with pytest.raises(DietError, match="package 'b-package' and package 'c-package' both have a diet 'calm'"):
        load_diet("calm")
    assert load_diet("inhibitory").name == "inhibitory"
    assert known_diets()["calm"] == "b-package and c-package"
    assert "both have" in list_diets().set_index("name").loc["calm", "problem"]


def test_a_name_that_is_a_path_cannot_be_reached(
    offer: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = offer("odd-diets", "odd.yaml", f"{HERE}:OWN")
    said = "package 'odd-diets' offers a diet by the name 'odd.yaml', which cannot be reached"
    assert said in list_diets().set_index("name").loc["odd.yaml", "problem"]
    monkeypatch.chdir(tmp_path)
    with pytest.raises(DietError, match=said):
        load_diet("odd.yaml")
    (tmp_path / "odd.yaml").write_text("diet: 1\nname: file\nneurons: all\n", encoding="utf-8")
    assert load_diet("odd.yaml").name == "file"
    assert said in list_diets().set_index("name").loc["odd.yaml", "problem"]
    assert loaded == []


def test_an_unknown_name_is_compared_with_those_of_packages(offer: Callable[..., Any]) -> None:
    offer("calm-diets", "calm-neurons", f"{HERE}:OWN")
    with pytest.raises(UsageError, match="did you mean 'calm-neurons'"):
        load_diet("calm-neuron")


def test_diets_are_listed_with_their_parameters() -> None:
    table = list_diets()
    assert table["name"].tolist() == sorted(PRESETS)
    assert table.set_index("name").loc["mixed-30", "parameters"] == PARAMETERS["mixed-30"]
    assert table["description"].str.len().min() > 5
    assert (table["origin"] == "poyodata").all()
