from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from poyodata.errors import SourceError, UsageError
from poyodata.fetch import RetryPolicy, Warehouse, Web
from poyodata.fetch.warehouse import (
    CELL_METRICS,
    CONTAINERS,
    EXPERIMENTS,
    STIMULUS_MAPPINGS,
    Query,
    nwb_file,
)
from poyodata.fetch.web import WebError
from tests.fetch.loopback import CONTAINERS as WORLD
from tests.fetch.loopback import Failure, Loopback, QuickWeb

API = "http://api.brain-map.org/api/v2/data/query.json?q="
ALL = "rma::options[num_rows$eq'all'][count$eqfalse]"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        pytest.param(
            EXPERIMENTS.text(),
            "model::OphysExperiment,rma::include,experiment_container,well_known_files(well_known_file_type),"
            f"targeted_structure,specimen(donor(age,transgenic_lines)),{ALL}",
            id="experiments",
        ),
        pytest.param(
            CONTAINERS.text(),
            "model::ExperimentContainer,rma::include,ophys_experiments,isi_experiment,"
            f"specimen(donor(conditions,age,transgenic_lines)),targeted_structure,{ALL}",
            id="containers",
        ),
        pytest.param(STIMULUS_MAPPINGS.text(), f"model::ApiCamStimulusMapping,{ALL}", id="mappings"),
        pytest.param(
            nwb_file(5).text(),
            f"model::WellKnownFile,rma::criteria,[attachable_id$eq5],well_known_file_type[name$eqNWBOphys],{ALL}",
            id="nwb",
        ),
        pytest.param(
            CELL_METRICS.text(2000, 0),
            "model::ApiCamCellMetric,"
            "rma::options[num_rows$eq2000][start_row$eq0][order$eq'cell_specimen_id'][count$eqfalse]",
            id="cells",
        ),
    ],
)
def test_queries_are_those_of_allensdk(text: str, expected: str) -> None:
    # The expected texts are what AllenSDK 2.16.2 gave to a recording stand-in for its HTTP call.
    assert text == expected


def test_addresses_are_quoted_as_allensdk_does() -> None:
    found = Warehouse(Web()).query_url("model::A,rma::criteria,[id$in1,2],rma::options[num_rows$eq'all']")
    assert found == API + "model::A,rma::criteria,%5Bid$in1,2%5D,rma::options%5Bnum_rows$eq%27all%27%5D"


MALFORMED = [
    "http://[bad",
    "http://[::1",
    "http://host:port",
    "http://host:99999",
    "http://a host",
    "http://.host",
    f"http://{'a' * 70}",
    "http://host/ä",
]


@pytest.mark.parametrize(
    "url", ["api.brain-map.org", "ftp://api.brain-map.org", "file:///etc", "http://", "", *MALFORMED]
)
def test_an_address_that_is_none_is_refused(url: str) -> None:
    with pytest.raises(UsageError, match=r"give an address such as http://api\.brain-map\.org"):
        Warehouse(Web(), url)


@pytest.mark.parametrize("url", ["http://127.0.0.1:9", "https://[::1]:8080/", "http://mirror.example.org/allen"])
def test_an_address_is_taken(url: str) -> None:
    assert Warehouse(Web(), url).url == url.rstrip("/")


@pytest.mark.parametrize("timeout_s", [float("inf"), float("nan"), -1.0, 0.0, 1e300])
def test_a_timeout_that_is_none_is_refused(timeout_s: float) -> None:
    with pytest.raises(UsageError, match=r"--timeout.* give seconds above 0 and up to 86400"):
        Web(timeout_s=timeout_s)


def test_rows_and_pages(loopback: Loopback, web: QuickWeb) -> None:
    warehouse = Warehouse(web, loopback.url + "/")
    assert [row["id"] for row in warehouse.rows(CONTAINERS)] == [box.number for box in WORLD]
    assert [row["cell_specimen_id"] for row in warehouse.pages(CELL_METRICS, rows=3)] == list(range(7))
    assert len(loopback.asked("ApiCamCellMetric")) == 3
    assert [row["cell_specimen_id"] for row in warehouse.pages(CELL_METRICS, rows=7)] == list(range(7))
    assert warehouse.nwb_link(1001) == loopback.link(1001)
    assert warehouse.nwb_link(3003) is None
    assert warehouse.size_bytes(loopback.link(1001)) == len(loopback.content(1001))


def test_a_size_without_head_requests(loopback: Loopback, web: QuickWeb) -> None:
    loopback.head = False
    warehouse = Warehouse(web, loopback.url)
    assert warehouse.size_bytes(loopback.link(1001)) == len(loopback.content(1001))
    loopback.ranges = False
    assert warehouse.size_bytes(loopback.link(1001)) == len(loopback.content(1001))


QUERY = "/api/v2/data/query.json"


@pytest.mark.parametrize(
    "failure",
    [
        pytest.param(Failure("status", code=500), id="500"),
        pytest.param(Failure("status", code=503, retry_after="7"), id="503"),
        pytest.param(Failure("truncate"), id="truncated-json"),
        pytest.param(Failure("reset"), id="reset"),
        pytest.param(Failure("html"), id="web-page"),
        pytest.param(Failure("short"), id="short-length"),
        pytest.param(Failure("long"), id="long-length"),
    ],
)
def test_a_query_is_repeated(failure: Failure, loopback: Loopback, web: QuickWeb) -> None:
    loopback.failures[QUERY] = [failure] * 5
    assert len(Warehouse(web, loopback.url).rows(CONTAINERS)) == len(WORLD)
    assert len(web.pauses) == 5
    if failure.retry_after:
        assert web.pauses == [7.0] * 5


def test_a_query_is_given_up(loopback: Loopback, web: QuickWeb) -> None:
    loopback.failures[QUERY] = [Failure("status", code=500)] * 6
    with pytest.raises(
        SourceError, match=r"no list of ExperimentContainer: .* 500 .*out of order.* 6 attempts"
    ) as found:
        Warehouse(web, loopback.url).rows(CONTAINERS)
    assert "--warehouse" in str(found.value)
    assert len(loopback.log) == 6


def test_a_silent_query_is_given_up(loopback: Loopback) -> None:
    web = QuickWeb(retries=1)
    loopback.failures[QUERY] = [Failure("silent", after=0.3)] * 2
    with pytest.raises(SourceError, match="within the time-out"):
        Warehouse(web, loopback.url, query_timeout_s=0.1).rows(CONTAINERS)


def test_a_refused_query_is_not_repeated(loopback: Loopback, web: QuickWeb) -> None:
    with pytest.raises(SourceError, match=r"refuses the query .model::Nonsense,.*Unknown model"):
        Warehouse(web, loopback.url).rows(Query("Nonsense"))
    loopback.failures[QUERY] = [Failure("status", code=400)]
    with pytest.raises(SourceError, match=r"400 Bad Request \(out of order\)"):
        Warehouse(web, loopback.url).rows(CONTAINERS)
    assert web.pauses == []


def test_nobody_there(web: QuickWeb) -> None:
    with pytest.raises(SourceError, match="connection is refused"):
        Warehouse(web, "http://127.0.0.1:9").rows(CONTAINERS)
    assert len(web.notices) == 5
    assert web.notices[0].startswith("list of ExperimentContainer: the connection is refused; again in ")


def test_the_environment_s_proxy_is_used(loopback: Loopback, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("http_proxy", loopback.url)
    assert len(Warehouse(QuickWeb(), "http://warehouse.invalid").rows(CONTAINERS)) == len(WORLD)
    assert loopback.log[0][1].startswith("http://warehouse.invalid/api/v2/data/query.json")


def test_only_http_is_opened(tmp_path: object, web: QuickWeb) -> None:
    with pytest.raises(WebError, match="unknown url type"), web.open(f"file://{tmp_path}"):
        pass


def test_pauses_grow_and_differ() -> None:
    policy = RetryPolicy(first_pause_s=1.0, longest_pause_s=20.0)
    pauses = [policy.pause_s(failures, "5.nwb") for failures in range(1, 9)]
    bounds = [1, 2, 4, 8, 16, 20, 20, 20]
    assert all(bound / 2 <= pause <= bound for pause, bound in zip(pauses, bounds, strict=True))
    assert pauses == [policy.pause_s(failures, "5.nwb") for failures in range(1, 9)]
    assert len({policy.pause_s(3, f"{i}.nwb") for i in range(100)}) == 100


@pytest.mark.parametrize(
    ("retry_after", "low", "high"),
    [
        pytest.param("12", 12, 12, id="seconds"),
        pytest.param("100000", 300, 300, id="too-long"),
        pytest.param("-5", 0, 0, id="negative"),
        pytest.param("in 90 s", 60, 91, id="date"),
        pytest.param("Wed, 08 Feb 2017 21:57:10 GMT", 0, 0, id="past-date"),
        pytest.param("soon", 0.5, 1, id="nonsense"),
    ],
)
def test_the_server_s_own_pause(retry_after: str, low: float, high: float, loopback: Loopback, web: QuickWeb) -> None:
    if retry_after == "in 90 s":  # of the test, not of the collection of all tests
        retry_after = format_datetime(datetime.now(UTC) + timedelta(seconds=90), usegmt=True)
    loopback.failures[QUERY] = [Failure("status", code=429, retry_after=retry_after)]
    Warehouse(web, loopback.url).rows(CONTAINERS)
    assert low <= web.pauses[0] <= high
