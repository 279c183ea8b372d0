"""Sections about time and animals: splits and donors, windows and tokens by role, leaks, matched controls."""

from __future__ import annotations

import pandas as pd

from poyodata.curation import check_leaks
from poyodata.datasheet.sheet import Sheet, share
from poyodata.datasheet.subject import Subject
from poyodata.errors import PoyodataError

UNEXCUSED = "no reason was given"


def write_splits(sheet: Sheet, subject: Subject) -> None:
    """Which animals and which time the split gives each role."""
    sheet.section("Splits and donors")
    manifest, known = subject.manifest, subject.manifest.meta["split"]
    spec = known["spec"]
    across = known["across"]
    sheet.text(
        f"Split {spec.get('name') or 'without a name'}, fold {known['fold']}: "
        + (
            f"animals are held out by {across}, so that a role is of animals and of time."
            if across
            else "no animal is held out. Train and test are different time of the same recordings."
        )
    )
    table = subject.table
    kept = table[(table["answer"] == "kept").to_numpy()]
    rows = []
    for role, group in table.groupby("role", sort=True):
        own = kept[(kept["role"] == role).to_numpy()]
        rows.append(
            {
                "role of recordings": str(role),
                "donors": f"{own['donor_id'].nunique():,} of {group['donor_id'].nunique():,}",
                "recordings": f"{own['session_id'].nunique():,} of {group['session_id'].nunique():,}",
                "neurons selected": len(own),
                "neurons": len(group),
                "share": share(len(own), len(group)),
            }
        )
    sheet.table(pd.DataFrame(rows), {"neurons selected": ",", "neurons": ",", "share": ".1%"})
    time = _seconds(manifest.role_time, subject)
    if len(time):
        hours = time.groupby("role")["seconds"].sum() / 3600
        sheet.text(
            "Time that the split gives a role in the recordings of selected neurons, whatever the diet eats of it: "
            + ", ".join(f"{role} {value:.3g} h" for role, value in hours.items())
            + "."
        )
    donors = kept.groupby(["donor_id", "role"], observed=True).agg(
        recordings=("session_id", "nunique"), neurons=("neuron_id", "size")
    )
    lines = kept.groupby(["donor_id", "role"], observed=True)["cre_line"].unique().map(", ".join)
    donors.insert(0, "cre_line", lines)
    listed = donors.reset_index().sort_values(["role", "donor_id"], ignore_index=True)
    sheet.table_folded(f"Donors of selected neurons: {kept['donor_id'].nunique():,}", listed, {"neurons": ","})


def write_windows(sheet: Sheet, subject: Subject) -> None:
    """How much time, and how many tokens, each role eats."""
    sheet.section("Windows and tokens")
    manifest = subject.manifest
    if manifest.windows.empty:
        sheet.text("The diet eats no window.")
        return
    windows = _seconds(manifest.windows, subject)
    size = manifest.neurons.groupby("session_id").size()
    windows["tokens"] = windows["frames"] * windows["session_id"].map(size).to_numpy()
    sheet.text("A token is one frame of one selected neuron of the window's recording.")
    formats = {"windows": ",", "recordings": ",", "hours": ".3g", "median s": ".3g", "frames": ",", "tokens": ","}
    sheet.table(_counted(windows, ["role"]), formats)
    if len(windows["stimulus"].unique()) > 1:
        sheet.subheading("By stimulus")
        sheet.table(_counted(windows, ["role", "stimulus"]), formats)


def _counted(windows: pd.DataFrame, keys: list[str]) -> pd.DataFrame:
    table = windows.groupby(keys).agg(
        **{
            "windows": ("frames", "size"),
            "recordings": ("session_id", "nunique"),
            "hours": ("seconds", lambda seconds: seconds.sum() / 3600),
            "median s": ("seconds", "median"),
            "frames": ("frames", "sum"),
            "tokens": ("tokens", "sum"),
        }
    )
    return table.reset_index()


def _seconds(windows: pd.DataFrame, subject: Subject) -> pd.DataFrame:
    rate_hz = subject.store.sessions.set_index("session_id")["rate_hz"]
    frames = windows["stop_frame"] - windows["start_frame"]
    rates = windows["session_id"].astype("str").map(rate_hz).to_numpy(float)
    return windows.assign(frames=frames, seconds=frames.to_numpy(float) / rates)


def write_leaks(sheet: Sheet, subject: Subject) -> None:
    """Every leak check, over the stages given or the manifest alone."""
    sheet.section("Leaks")
    stages = list(subject.stages) or [(subject.manifest.name, subject.manifest)]
    reason = subject.allow_leakage
    try:
        # A datasheet shows leaks; to refuse is for the run that they would spoil.
        report = check_leaks(stages, allow_leakage=reason or UNEXCUSED)
    except PoyodataError as error:
        sheet.text(f"Leaks were not checked: {error}")
        return
    whole = "the lineage " + " -> ".join(name for name, _ in stages) if subject.stages else "this manifest alone"
    found = len(report.leaks)
    idle = sum(one.verdict == "nothing to check" for one in report.checks)
    sheet.text(
        f"{_checks(sum(one.checked > 0 for one in report.checks))} of {whole}: "
        + (f"{found} found a leak." if found else "no leak.")
        + f" {idle} more had nothing to check." * bool(idle)
        + f" {len(report.unchecked)} could not be checked." * bool(report.unchecked),
        "warning" if found else "verdict",
    )
    if found:
        sheet.text(f"Allowed, because: {reason}" if reason else "No reason to allow that was given.", "warning")
    if not subject.stages:
        sheet.text("A model that is trained on one manifest and tested on another has to be checked over both.")
    table = pd.DataFrame(
        [
            {
                "check": check.check,
                "stages": check.stages,
                "looked at": check.checked,
                "leaks": check.found,
                "result": f"{check.verdict}, allowed: {reason}" if reason and not check.ok else check.verdict,
                "detail": check.detail,
            }
            for check in report.checks
        ]
    )
    sheet.table(table, {"looked at": ",", "leaks": ","})


def _checks(count: int) -> str:
    return f"{count} check{'' if count == 1 else 's'}"


def write_matched(sheet: Sheet, subject: Subject) -> None:
    """How well random controls match what they are matched to."""
    table = subject.manifest.imbalance()
    if table.empty:
        return
    sheet.section("Matched controls")
    sheet.text(
        "Residual imbalance between the neurons drawn and those they are matched to: what matching could not make "
        "equal. Of numbers, target and drawn are means, smd is their difference in standard deviations, and ks the "
        "greatest distance between the two cumulative distributions."
    )
    # Columns that say nothing of any row are left out.
    table = table.loc[:, ~(table.isna() | (table.astype("str") == "")).all(axis=0)].convert_dtypes()
    numbers = {name: ".4g" for name in table.columns if pd.api.types.is_numeric_dtype(table[name].dtype)}
    sheet.table(table, numbers)
