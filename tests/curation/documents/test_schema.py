from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from hypothesis import HealthCheck, given, settings

from poyodata.curation import PRESETS, Diet, load_diet
from poyodata.curation.documents.schema import diet_schema, main
from poyodata.documents.plain_text import read_yaml
from tests.curation.strategies import diets

PUBLISHED = Path(__file__).resolve().parents[3] / "docs" / "diet.schema.json"
VALIDATOR = jsonschema.Draft202012Validator(diet_schema())


def test_the_schema_is_one_and_the_published_file_is_that_schema() -> None:
    jsonschema.Draft202012Validator.check_schema(diet_schema())
    assert json.loads(PUBLISHED.read_text(encoding="utf-8")) == diet_schema(), (
        "write it anew: python -m poyodata.curation.documents.schema > docs/diet.schema.json"
    )


def test_the_module_prints_what_is_published(capsys: pytest.CaptureFixture[str]) -> None:
    main()
    assert capsys.readouterr().out == PUBLISHED.read_text(encoding="utf-8")


def test_every_key_is_described_and_no_limit_is_left_where_it_says_nothing() -> None:
    schema = diet_schema()
    for name, model in {"diet": schema, **schema["$defs"]}.items():
        assert model["description"], name
        assert model["additionalProperties"] is False
        for key, entry in model["properties"].items():
            assert len(entry["description"]) > 5, (name, key)
            assert "title" not in entry
            assert entry.get("default", "given") is not None


@pytest.mark.parametrize("name", PRESETS)
def test_presets_validate(name: str) -> None:
    VALIDATOR.validate(load_diet(name).to_dict())
    file = Path(sys.modules["poyodata.curation"].__file__ or "").parent / "presets" / f"{name}.yaml"
    VALIDATOR.validate(read_yaml(file.read_text(encoding="utf-8"))[0])


@settings(max_examples=60, deadline=None, derandomize=True, suppress_health_check=list(HealthCheck))
@given(diets)
def test_random_diets_validate(diet: Diet) -> None:
    VALIDATOR.validate(diet.to_dict())


RULES: dict[str, Any] = {
    "no operator": {},
    "two operators": {"where": "x > 1", "diet": "all"},
    "unknown operator": {"wher": "x > 1"},
    "with beside where": {"where": "x > 1", "with": {"a": 1}},
    "with alone": {"with": {"a": 1}},
    "with of a list": {"diet": "a", "with": {"x": [1]}},
    "with of a bad name": {"diet": "a", "with": {"_x": 1}},
    "empty where": {"where": ""},
    "number where": {"where": 3},
    "no ids": {"ids": []},
    "ids twice": {"ids": ["a", "a"]},
    "number in ids": {"ids": [1]},
    "blank diet": {"diet": " "},
    "one in a union": {"union": ["all"]},
    "one in a mix": {"mix": [{"of": "all"}]},
    "text in a mix": {"mix": ["all", "all"]},
    "another text": "everyone",
    "complement of a text": {"complement": "none"},
    "all false": {"all": False},
    "fraction and n": {"sample": {"of": "all", "fraction": 0.3, "n": 3}},
    "neither fraction nor n": {"sample": {"of": "all"}},
    "sample of nothing": {"sample": {"fraction": 0.3}},
    "fraction of zero": {"sample": {"of": "all", "fraction": 0}},
    "fraction above one": {"sample": {"of": "all", "fraction": 1.5}},
    "n of zero": {"sample": {"of": "all", "n": 0}},
    "broken n": {"sample": {"of": "all", "n": 1.5}},
    "negative seed": {"sample": {"of": "all", "n": 1, "seed": -1}},
    "null seed": {"sample": {"of": "all", "n": 1, "seed": None}},
    "within no column": {"sample": {"of": "all", "n": 1, "within": "a b"}},
    "share and fraction": {"mix": [{"of": "all"}, {"of": "all", "share": 0.3, "fraction": 0.3}]},
    "parameter without default": {"sample": {"of": "all", "n": {"param": "n"}}},
    "parameter of no name": {"sample": {"of": "all", "n": {"param": "1n", "default": 3}}},
    "parameter of a list": {"sample": {"of": "all", "n": {"param": "n", "default": [3]}}},
    "balance by nothing": {"balance": {"of": "all", "by": []}},
    "balance without by": {"balance": {"of": "all"}},
    "balance by a column twice": {"balance": {"of": "all", "by": ["a", "a"]}},
    "top without k": {"top": {"of": "all", "by": "x"}},
    "top of another order": {"top": {"of": "all", "k": 1, "by": "x", "order": "up"}},
    "match to nothing": {"match": {"on": ["cre_line"]}},
    "match on nothing": {"match": {"to": "all", "on": []}},
    "match in a draw below zero": {"match": {"to": "all", "draw": -1}},
    "text as default of a fraction": {"sample": {"of": "all", "fraction": {"param": "a", "default": "b"}}},
    "default of a fraction above one": {"sample": {"of": "all", "fraction": {"param": "a", "default": 1.5}}},
    "broken default of a count": {"sample": {"of": "all", "n": {"param": "a", "default": 1.5}}},
    "truth value as default of a seed": {"sample": {"of": "all", "n": 1, "seed": {"param": "a", "default": True}}},
    "default of a draw below zero": {"match": {"to": "all", "draw": {"param": "a", "default": -1}}},
    "empty id": {"ids": [""]},
    "blank id": {"ids": [" "]},
    "id of two lines": {"ids": ["a\nb"]},
    "long id": {"ids": ["a" * 401]},
    "blank name of a term": {"mix": [{"of": "all"}, {"of": "all", "name": " "}]},
    "name of a term of two lines": {"mix": [{"of": "all"}, {"of": "all", "name": "a\nb"}]},
    "keyword as a parameter": {"sample": {"of": "all", "n": {"param": "with", "default": 3}}},
    "keyword set": {"diet": "a", "with": {"lambda": 1}},
    "keyword as a column": {"balance": {"of": "all", "by": "class"}},
    "restricted keyword": {"sample": {"of": "all", "n": 1, "within": "None@a"}},
    "stimulus of blanks": {"sample": {"of": "all", "n": 1, "within": "x@ a"}},
    "blank where": {"where": " "},
    "blank by": {"top": {"of": "all", "k": 1, "by": " "}},
}
REST: dict[str, Any] = {
    "no diet": {"neurons": "all"},
    "no neurons": {"diet": 1},
    "other version": {"diet": 2, "neurons": "all"},
    "unknown key": {"diet": 1, "neurons": "all", "neuron": "all"},
    "number as name": {"diet": 1, "neurons": "all", "name": 30},
    "two lines as name": {"diet": 1, "neurons": "all", "name": "a\nb"},
    "missing policy": {"diet": 1, "neurons": "all", "missing": "drop"},
    "statistics window": {"diet": 1, "neurons": "all", "statistics": {"window": "test"}},
    "statistics as text": {"diet": 1, "neurons": "all", "statistics": "train"},
    "null splits": {"diet": 1, "neurons": "all", "splits": None},
    "length of zero": {"diet": 1, "neurons": "all", "windows": {"min_length_s": 0}},
    "tab in the description": {"diet": 1, "neurons": "all", "description": "a\tb"},
    "length of a parameter of zero": {
        "diet": 1,
        "neurons": "all",
        "windows": {"min_length_s": {"param": "a", "default": 0}},
    },
    "length without end": {"diet": 1, "neurons": "all", "windows": {"min_length_s": 1e6}},
    "length as text": {"diet": 1, "neurons": "all", "windows": {"min_length_s": "2 s"}},
    "window sample of both": {"diet": 1, "neurons": "all", "windows": {"sample": {"n": 1, "fraction": 0.1}}},
    "window sample of no role": {"diet": 1, "neurons": "all", "windows": {"sample": {"n": 1, "roles": []}}},
    "window sample of another role": {"diet": 1, "neurons": "all", "windows": {"sample": {"n": 1, "roles": ["dev"]}}},
    "disjoint by": {"diet": 1, "neurons": "all", "disjoint": [{"from": "all", "by": "mouse"}]},
    "disjoint from nothing": {"diet": 1, "neurons": "all", "disjoint": [{"by": "donor"}]},
}
BROKEN = {name: {"diet": 1, "neurons": rule} for name, rule in RULES.items()} | REST


@pytest.mark.parametrize("document", BROKEN.values(), ids=BROKEN.keys())
def test_what_the_schema_refuses_is_no_diet_either(document: dict[str, Any]) -> None:
    assert not VALIDATOR.is_valid(document)
    with pytest.raises(ValueError):
        Diet.from_dict(document)
