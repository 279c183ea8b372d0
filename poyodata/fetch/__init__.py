"""Recordings from public archives, into folders that others can read too."""

from __future__ import annotations

from poyodata.fetch.allen import fetch_allen, open_road
from poyodata.fetch.allen_cache import AllenCache
from poyodata.fetch.listing import census, choose, table_of
from poyodata.fetch.plan import Plan, plan_fetch
from poyodata.fetch.report import FetchedFile, Report
from poyodata.fetch.retry import RetryPolicy
from poyodata.fetch.roads import HttpRoad
from poyodata.fetch.selection import Selection
from poyodata.fetch.terms import TERMS
from poyodata.fetch.warehouse import WAREHOUSE, Warehouse
from poyodata.fetch.web import Web

__all__ = [
    "TERMS",
    "WAREHOUSE",
    "AllenCache",
    "FetchedFile",
    "HttpRoad",
    "Plan",
    "Report",
    "RetryPolicy",
    "Selection",
    "Warehouse",
    "Web",
    "census",
    "choose",
    "fetch_allen",
    "open_road",
    "plan_fetch",
    "table_of",
]
