"""The Allen Institute's data warehouse: queries in its RMA language, and where its files are.

The texts of the queries are those that AllenSDK 2.16 sends, so that both get the same answers and can share a cache.
"""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, ValidationError

from poyodata.errors import SourceError, UsageError
from poyodata.fetch.web import Web, WebError

WAREHOUSE = "http://api.brain-map.org"
NWB_FILE_TYPE = "NWBOphys"
QUERY_TIMEOUT_S = 180.0
"""The list of all recordings takes the warehouse long before its first byte."""
PAGE_ROWS = 2000


@dataclass(frozen=True)
class Query:
    """One question in the warehouse's RMA language.

    Attributes
    ----------
    model : str
        Kind of record asked for.
    criteria : str
        Which of them; empty for all.
    include : str
        What comes nested in each.
    order : str
        Sort key; needed for pages.

    Examples
    --------
    >>> Query("OphysExperiment", criteria="[id$eq5]").text()
    "model::OphysExperiment,rma::criteria,[id$eq5],rma::options[num_rows$eq'all'][count$eqfalse]"
    """

    model: str
    criteria: str = ""
    include: str = ""
    order: str = ""

    def text(self, rows: int | None = None, start: int = 0) -> str:
        """The query's text for all records, or for a page of `rows` from `start`."""
        stages = [f"model::{self.model}"]
        stages += [f"rma::criteria,{self.criteria}"] if self.criteria else []
        stages += [f"rma::include,{self.include}"] if self.include else []
        options = "[num_rows$eq'all']" if rows is None else f"[num_rows$eq{rows}][start_row$eq{start}]"
        options += f"[order$eq'{self.order}']" if self.order else ""
        return ",".join([*stages, f"rma::options{options}[count$eqfalse]"])


EXPERIMENTS = Query(
    "OphysExperiment",
    include="experiment_container,well_known_files(well_known_file_type),targeted_structure,"
    "specimen(donor(age,transgenic_lines))",
)
CONTAINERS = Query(
    "ExperimentContainer",
    include="ophys_experiments,isi_experiment,specimen(donor(conditions,age,transgenic_lines)),targeted_structure",
)
STIMULUS_MAPPINGS = Query("ApiCamStimulusMapping")
CELL_METRICS = Query("ApiCamCellMetric", order="cell_specimen_id")


def nwb_file(session_id: int) -> Query:
    """Ask for the NWB file of one recording.

    Examples
    --------
    >>> nwb_file(5).criteria
    '[attachable_id$eq5],well_known_file_type[name$eqNWBOphys]'
    """
    return Query("WellKnownFile", f"[attachable_id$eq{session_id}],well_known_file_type[name$eq{NWB_FILE_TYPE}]")


class _Envelope(BaseModel):
    model_config = ConfigDict(extra="ignore")

    success: bool
    msg: list[dict[str, Any]] | str


class Warehouse:
    """The warehouse at one address.

    Parameters
    ----------
    web : Web
    url : str
        The Allen Institute's own, or a mirror's: scheme and host.
    query_timeout_s : float
        Longest silence before and within the answer to a query.

    Raises
    ------
    UsageError
        When `url` is no HTTP address.

    Examples
    --------
    >>> Warehouse(Web(), "ftp://example.org")
    Traceback (most recent call last):
    poyodata.errors.UsageError: ...
    """

    def __init__(self, web: Web, url: str = WAREHOUSE, *, query_timeout_s: float = QUERY_TIMEOUT_S) -> None:
        if not _is_address(url):
            raise UsageError(f"the warehouse is given as {url!r}; give an address such as {WAREHOUSE}.")
        self.web = web
        self.url = url.rstrip("/")
        self.query_timeout_s = query_timeout_s

    def query_url(self, text: str) -> str:
        """Address under which a query is answered.

        Examples
        --------
        >>> Warehouse(Web()).query_url("model::Donor")
        'http://api.brain-map.org/api/v2/data/query.json?q=model::Donor'
        """
        return urllib.parse.quote(f"{self.url}/api/v2/data/query.json?q={text}", safe=";/?:@&=+$,")

    def file_url(self, link: str) -> str:
        """Address of a file from the ``download_link`` of its record.

        Examples
        --------
        >>> Warehouse(Web()).file_url("/api/v2/well_known_file_download/7")
        'http://api.brain-map.org/api/v2/well_known_file_download/7'
        """
        return urllib.parse.urljoin(f"{self.url}/", link)

    def rows(self, query: Query) -> list[dict[str, Any]]:
        """All records that a query asks for, in one answer.

        Parameters
        ----------
        query : Query

        Returns
        -------
        list of dict
            As the warehouse nests them.

        Raises
        ------
        SourceError
            When the warehouse refuses the query, or gives no whole answer within the bounds of the retries.
        """
        return self._ask(query.model, query.text())

    def pages(self, query: Query, rows: int = PAGE_ROWS) -> Iterator[dict[str, Any]]:
        """Records of a long table, asked for page by page; `query` must have an order.

        Parameters
        ----------
        query : Query
        rows : int
            Records of a page.

        Yields
        ------
        dict

        Raises
        ------
        SourceError
            As `rows`.
        """
        start = 0
        while True:
            page = self._ask(query.model, query.text(rows, start))
            yield from page
            if len(page) < rows:  # the last one; the warehouse counts all records only at a price
                return
            start += rows

    def nwb_link(self, session_id: int) -> str | None:
        """``download_link`` of a recording's NWB file; None where the warehouse has none."""
        found = self.rows(nwb_file(session_id))
        return str(found[0]["download_link"]) if found and found[0].get("download_link") else None

    def size_bytes(self, link: str) -> int | None:
        """Size of a file, without its content; None where the server does not say.

        Raises
        ------
        SourceError
            When there is no answer within the bounds of the retries, or no such file.
        """
        url = self.file_url(link)

        def attempt() -> int | None:
            try:
                with self.web.open(url, method="HEAD") as response:
                    return _whole_number(response.headers.get("Content-Length"))
            except WebError as fault:
                if fault.status not in (405, 501):
                    raise
            # No HEAD here: one byte's header says as much.
            with self.web.open(url, headers={"Range": "bytes=0-0"}) as response:
                if response.status == 206:
                    return _whole_number(response.headers.get("Content-Range", "").rpartition("/")[2])
                return _whole_number(response.headers.get("Content-Length"))

        return self.web.persist(f"size of {link}", attempt)

    def _ask(self, model: str, text: str) -> list[dict[str, Any]]:
        url = self.query_url(text)

        def attempt() -> _Envelope:
            with self.web.open(url, timeout_s=self.query_timeout_s) as response:
                expected = _whole_number(response.headers.get("Content-Length"))
                body = b"".join(self.web.pieces(response, timeout_s=self.query_timeout_s))
            if expected is not None and len(body) != expected:
                raise WebError(f"the connection ended after {len(body)} of {expected} bytes")
            try:
                return _Envelope.model_validate(json.loads(body))
            except (json.JSONDecodeError, UnicodeDecodeError, ValidationError) as error:
                start = body[:60].decode(errors="replace")
                raise WebError(f"the answer is not the warehouse's JSON, it begins {start!r}") from error

        try:
            answer = self.web.persist(f"list of {model}", attempt)
        except WebError as fault:
            raise SourceError(
                f"the warehouse at {self.url} gives no list of {model}: {fault}. Try again later, or name a mirror "
                "with --warehouse."
            ) from fault
        if not answer.success or isinstance(answer.msg, str):
            raise SourceError(f"the warehouse at {self.url} refuses the query {text!r}: {answer.msg}")
        return answer.msg


def _is_address(url: str) -> bool:
    """Whether a request can be sent there at all: what passes never fails with less than a `WebError`."""
    try:
        parts = urllib.parse.urlsplit(url)
        name = (parts.hostname or "").encode("idna")  # refuses labels that are empty or too long
        port_ok = parts.port is None or parts.port > 0
    except ValueError:  # a bracket left open, a port that is none
        return False
    plain = url.isascii() and url.isprintable() and " " not in url
    return parts.scheme in ("http", "https") and bool(name) and port_ok and plain


def _whole_number(text: str | None) -> int | None:
    return int(text) if text is not None and text.strip().isdecimal() else None
