"""Recordings as the warehouse lists them, typed."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from poyodata.errors import SourceError
from poyodata.fetch.warehouse import NWB_FILE_TYPE
from poyodata.vocabulary import canonical_cre_line


@dataclass(frozen=True, kw_only=True)
class Experiment:
    """One imaging session.

    Attributes
    ----------
    session_id : int
        ``ophys_experiment_id``; the NWB file is named after it.
    container_id : int
    donor : str
        The mouse: ``external_donor_name``.
    cre_line : str
        As in `poyodata.vocabulary`, or as the warehouse spells it where that is no line we know; "" for none.
    area : str
    depth_um : int
    session_type : str
        Such as ``"three_session_A"``.
    acquired : str
        Date and time, ISO 8601.
    failed : bool
        Whether its container failed the Allen Institute's quality control.
    link : str or None
        ``download_link`` of the NWB file.
    link_listed : bool
        Whether the list says which files there are; where it does not, they must be asked for.
    """

    session_id: int
    container_id: int
    donor: str
    cre_line: str
    area: str
    depth_um: int
    session_type: str
    acquired: str
    failed: bool
    link: str | None
    link_listed: bool = True


class _Row(BaseModel):
    model_config = ConfigDict(extra="ignore")


class _Line(_Row):
    name: str
    transgenic_line_type_name: str | None = None


class _Donor(_Row):
    external_donor_name: str | None = None
    transgenic_lines: list[_Line] = Field(default_factory=list)


class _Specimen(_Row):
    name: str | None = None
    donor: _Donor


class _Structure(_Row):
    acronym: str


class _Container(_Row):
    failed: bool | None = None


class _FileType(_Row):
    name: str


class _File(_Row):
    download_link: str | None = None
    well_known_file_type: _FileType | None = None


class _Experiment(_Row):
    id: int
    experiment_container_id: int
    stimulus_name: str | None = None
    imaging_depth: int
    date_of_acquisition: str | None = None
    targeted_structure: _Structure
    specimen: _Specimen
    experiment_container: _Container | None = None
    well_known_files: list[_File] | None = None

    def typed(self) -> Experiment:
        donor = self.specimen.donor
        # AllenSDK's rule: the driver with "Cre" in its name; the other driver of a triple cross is a tTA line.
        drivers = [line.name for line in donor.transgenic_lines if line.transgenic_line_type_name == "driver"]
        files = [
            file.download_link
            for file in self.well_known_files or []
            if file.well_known_file_type is not None and file.well_known_file_type.name == NWB_FILE_TYPE
        ]
        return Experiment(
            session_id=self.id,
            container_id=self.experiment_container_id,
            donor=donor.external_donor_name or self.specimen.name or "",
            cre_line=_known_line(next((name for name in drivers if "Cre" in name), "")),
            area=self.targeted_structure.acronym,
            depth_um=self.imaging_depth,
            session_type=self.stimulus_name or "",
            acquired=self.date_of_acquisition or "",
            failed=bool(self.experiment_container and self.experiment_container.failed),
            link=files[0] if files else None,
            link_listed=self.well_known_files is not None,
        )


def typed_experiments(rows: Sequence[Mapping[str, Any]]) -> list[Experiment]:
    """Type the warehouse's list of recordings.

    Parameters
    ----------
    rows : sequence of mapping
        Answer to the query `poyodata.fetch.warehouse.EXPERIMENTS`, or AllenSDK's ``ophys_experiments.json``.

    Returns
    -------
    list of Experiment
        Sorted by session id.

    Raises
    ------
    SourceError
        When a row lacks what a recording must have.

    Examples
    --------
    >>> typed_experiments([{"id": 5}])
    Traceback (most recent call last):
    poyodata.errors.SourceError: ...
    """
    found = []
    for row in rows:
        try:
            found.append(_Experiment.model_validate(row).typed())
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, first["loc"]))
            raise SourceError(
                f"recording {row.get('id', '?')} of the warehouse's list is not as expected: {where}: {first['msg']}. "
                "If the list comes from a cache, read it anew with --refresh."
            ) from error
    return sorted(found, key=lambda experiment: experiment.session_id)


def _known_line(name: str) -> str:
    try:
        return canonical_cre_line(name) if name else ""
    except SourceError:
        return name  # a line that came after our list is still a line
