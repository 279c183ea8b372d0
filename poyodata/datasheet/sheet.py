"""`Sheet`: a self-contained page with sections, drawn funnels and figures that follow light and dark schemes."""

from __future__ import annotations

import html
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from importlib import resources
from string import Template

import numpy as np
import pandas as pd

from poyodata.drawing import BLUE, GREY, INK, VERMILION
from poyodata.report import Page

ANSWERS: tuple[str, ...] = ("kept", "rejected", "unknown")
_LONG = 32
"""Texts of more characters than these wrap in a table."""
_FOLDED = 240
"""Texts of more characters than these are folded away behind their beginning."""


class Sheet(Page):
    """A page without script, which forbids itself the network: a Content-Security-Policy stands in its head.

    Examples
    --------
    >>> sheet = Sheet("low")
    >>> sheet.section("Funnel")
    >>> 'id="funnel"' in sheet.html()
    True
    """

    def __init__(self, title: str) -> None:
        super().__init__(title)
        self._sections: list[tuple[str, str]] = []
        self._figures = 0

    def section(self, title: str) -> None:
        """Start a section, which the list at the top of the page leads to."""
        anchor = re.sub(r"[^a-z]+", "-", title.lower()).strip("-")
        self._sections.append((anchor, title))
        self._parts.append(f'<h2 id="{anchor}">{html.escape(title)}</h2>')

    def subheading(self, title: str) -> None:
        """Start a part of a section."""
        self._parts.append(f"<h3>{html.escape(title)}</h3>")

    def text(self, text: str, kind: str = "") -> None:
        """Add a paragraph; what stands between backticks is shown as it would be typed."""
        style = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{style}>{_typed(text)}</p>")

    def facts(self, facts: Mapping[str, str]) -> None:
        """Add names and their values."""
        rows = "".join(f"<dt>{html.escape(name)}</dt><dd>{html.escape(value)}</dd>" for name, value in facts.items())
        self._parts.append(f"<dl>{rows}</dl>")

    def listing(self, items: Iterable[str]) -> None:
        """Add a list of sentences."""
        self._parts.append("<ul>" + "".join(f"<li>{_typed(item)}</li>" for item in items) + "</ul>")

    def link(self, before: str, address: str) -> None:
        """Add a sentence that ends in a link, which is followed only when it is clicked."""
        shown = html.escape(address, quote=True)
        self._parts.append(f'<p>{html.escape(before)} <a href="{shown}" rel="noreferrer">{shown}</a></p>')

    def folded(self, summary: str, code: str) -> None:
        """Add text as it would be typed, folded away."""
        self._parts.append(
            f"<details><summary>{html.escape(summary)}</summary><pre><code>{html.escape(code)}</code></pre></details>"
        )

    def table(self, table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> None:
        """Add a table in a box of its own that scrolls; `formats` as in `Page.table`, and long texts wrap.

        Whole numbers have commas, as they have in sentences.
        """
        formats = formats or {}
        words = [not pd.api.types.is_numeric_dtype(table[name].dtype) for name in table.columns]
        head = "".join(
            f"<th{' class=text' if word else ''}>{html.escape(str(name))}</th>"
            for name, word in zip(table.columns, words, strict=True)
        )
        rows = []
        for values in table.itertuples(index=False, name=None):
            cells = []
            for name, word, value in zip(table.columns, words, values, strict=True):
                plain = "," if isinstance(value, int | np.integer) and value is not True and value is not False else ""
                shown = "" if pd.isna(value) else format(value, formats.get(str(name), plain))
                kind = ' class="text long"' if word and len(shown) > _LONG else " class=text" if word else ""
                cells.append(f"<td{kind}>{_foldable(shown)}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        self._parts.append(
            f'<div class="scroll" tabindex="0"><table><thead><tr>{head}</tr></thead>'
            f"<tbody>{''.join(rows)}</tbody></table></div>"
        )

    def table_folded(self, summary: str, table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> None:
        """Add a table, folded away."""
        self._parts.append(f"<details><summary>{html.escape(summary)}</summary>")
        self.table(table, formats)
        self._parts.append("</details>")

    def drawing(self, svg: str, caption: str, alt: str, key: Sequence[str] = ()) -> None:
        """Add a figure made by matplotlib, in the colours of the page.

        Parameters
        ----------
        svg : str
            Trusted.
        caption, alt : str
            Escaped; `alt` says in words what is seen.
        key : sequence of str
            Of `ANSWERS`: those explained by their colours before the caption.
        """
        self._figures += 1
        marks = " ".join(f'<span class="key {name}">{name}</span>' for name in key)
        inner = _inline(svg, f"figure-{self._figures}", alt)
        marks = f"<div>{marks}</div>" if marks else ""
        # Points drawn as pixels keep their colours in the dark, and the key has to keep them too.
        kind = ' class="pixels"' if "<image" in inner else ""
        self._parts.append(f"<figure{kind}>{inner}<figcaption>{marks}{html.escape(caption)}</figcaption></figure>")

    def funnel(self, rows: Iterable[tuple[str, str, Mapping[str, int], str]]) -> None:
        """Draw steps one below the other: (step, rule, counts by answer, what is counted).

        What is counted decides the scale: all bars of neurons share one.
        """
        rows = list(rows)
        most: dict[str, int] = {}
        for _, _, counts, unit in rows:
            most[unit] = max(most.get(unit, 1), sum(counts.values()))
        parts = []
        for step, rule, counts, unit in rows:
            said = ", ".join(f"{counts[name]:,} {name}" for name in ANSWERS if counts[name] or name == "kept")
            bars = "".join(
                f'<i class="{name}" style="width:{100 * counts[name] / most[unit]:.3f}%"></i>' for name in ANSWERS
            )
            label = html.escape(f"{_beginning(rule)}: {said} of {sum(counts.values()):,} {unit}", quote=True)
            parts.append(
                f'<div class="row"><div class="rule">{_foldable(rule)}'
                f'<span class="step">{html.escape(step)}</span></div>'
                f'<div class="bar" role="img" aria-label="{label}">{bars}</div>'
                f'<div class="count">{html.escape(said)} ({html.escape(unit)})</div></div>'
            )
        self._parts.append(f'<div class="funnel">{"".join(parts)}</div>')

    def html(self) -> str:
        """The whole page, with the list of its sections after title and lead."""
        template = resources.files("poyodata.datasheet").joinpath("sheet.html").read_text(encoding="utf-8")
        links = "".join(f'<a href="#{anchor}">{html.escape(title)}</a>' for anchor, title in self._sections)
        at = next((place for place, part in enumerate(self._parts) if part.startswith("<h2")), len(self._parts))
        parts = [*self._parts[:at], f'<nav aria-label="Sections">{links}</nav>', *self._parts[at:]]
        return Template(template).substitute(title=html.escape(self.title), body="\n".join(parts))


def _inline(svg: str, name: str, alt: str) -> str:
    """Make an SVG part of a page: ids of its own, no namespaces, and the page's colours in place of fixed ones."""
    svg = re.sub(r' xmlns(:\w+)?="[^"]*"', "", svg, count=2)
    svg = re.sub(r'<g id="[^"]*"', "<g", svg)  # groups are referred to by nothing
    svg = re.sub(r'id="([^"]+)"', rf'id="{name}-\1"', svg)
    svg = re.sub(r"url\(#([^)]+)\)", rf"url(#{name}-\1)", svg)
    svg = re.sub(r'href="#([^"]+)"', rf'href="#{name}-\1"', svg)
    for colour in ("#000000", INK):
        svg = svg.replace(colour, "currentColor")
    for colour, name in ((BLUE, "kept"), (VERMILION, "rejected"), (GREY, "unknown")):
        # Variables are read in styles alone, not in attributes such as fill="...".
        svg = re.sub(rf"((?:fill|stroke): ?){colour}\b", rf"\1var(--{name})", svg)
    return svg.replace("<svg", f'<svg role="img" aria-label="{html.escape(alt, quote=True)}"', 1)


def _typed(text: str) -> str:
    return re.sub(r"`([^`\n]+)`", r"<code>\1</code>", html.escape(text))


def _beginning(text: str) -> str:
    return text if len(text) <= _FOLDED else f"{text[: _FOLDED // 2]}..."


def _foldable(text: str) -> str:
    """Escape a text; a very long one is folded away behind its beginning."""
    if len(text) <= _FOLDED:
        return html.escape(text)
    return f"<details><summary>{html.escape(_beginning(text))}</summary>{html.escape(text)}</details>"


def share(count: float, whole: float) -> float:
    """Give a share of a whole; nan where there is no whole.

    Examples
    --------
    >>> share(1, 4), share(0, 0)
    (0.25, nan)
    """
    return count / whole if whole else math.nan


def percent(count: float, whole: float) -> str:
    """Write a share in per cent; 0 % where there is no whole.

    Examples
    --------
    >>> percent(38, 254), percent(0, 0)
    ('15.0 %', '0 %')
    """
    return f"{100 * count / whole:.1f} %" if whole else "0 %"


def plain(values: Mapping[str, object]) -> str:
    """Write a mapping in one line.

    Examples
    --------
    >>> plain({"value": 3.51, "n": 254})
    'value 3.51, n 254'
    """
    return ", ".join(
        f"{name} {value:g}" if isinstance(value, float) else f"{name} {value}" for name, value in values.items()
    )
