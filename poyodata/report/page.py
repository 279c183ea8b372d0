"""`Page`: one self-contained HTML file, put together from headings, sentences, tables and figures."""

from __future__ import annotations

import html
from collections.abc import Mapping
from importlib import resources
from pathlib import Path
from string import Template

import pandas as pd

from poyodata.replacing import replacing


class Page:
    """A page that needs no network: styles and figures lie inside it, and there is no script.

    Examples
    --------
    >>> page = Page("A title")
    >>> page.text("5 < 6")
    >>> "<p>5 &lt; 6</p>" in page.html()
    True
    """

    def __init__(self, title: str) -> None:
        self.title = title
        self._parts: list[str] = [f"<h1>{html.escape(title)}</h1>"]

    def heading(self, text: str) -> None:
        """Start a section."""
        self._parts.append(f"<h2>{html.escape(text)}</h2>")

    def text(self, text: str, kind: str = "") -> None:
        """Add a paragraph; `kind` is "", "lead" or "verdict"."""
        style = f' class="{kind}"' if kind else ""
        self._parts.append(f"<p{style}>{html.escape(text)}</p>")

    def code(self, text: str) -> None:
        """Add text as it would be typed."""
        self._parts.append(f"<pre><code>{html.escape(text)}</code></pre>")

    def figure(self, svg: str, caption: str) -> None:
        """Add a drawing made by `poyodata.report.figures`; `svg` is trusted, the caption is escaped."""
        self._parts.append(f"<figure>{svg}<figcaption>{html.escape(caption)}</figcaption></figure>")

    def table(self, table: pd.DataFrame, formats: Mapping[str, str] | None = None) -> None:
        """Add a table; `formats` gives columns a format such as ``".3f"``, and missing values stay empty."""
        formats = formats or {}
        words = {name: not pd.api.types.is_numeric_dtype(table[name].dtype) for name in table.columns}
        head = "".join(f"<th{' class=text' if words[c] else ''}>{html.escape(str(c))}</th>" for c in table.columns)
        rows = []
        for values in table.itertuples(index=False, name=None):
            cells = []
            for name, value in zip(table.columns, values, strict=True):
                shown = "" if pd.isna(value) else format(value, formats.get(str(name), ""))
                cells.append(f"<td{' class=text' if words[name] else ''}>{html.escape(shown)}</td>")
            rows.append(f"<tr>{''.join(cells)}</tr>")
        self._parts.append(
            f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{"".join(rows)}</tbody></table></div>'
        )

    def footer(self, lines: list[str]) -> None:
        """Close with small print: digests, versions, citation."""
        inner = "<br>".join(html.escape(line) for line in lines)
        self._parts.append(f"<footer>{inner}</footer>")

    def html(self) -> str:
        """The whole page."""
        template = resources.files("poyodata.report").joinpath("page.html").read_text(encoding="utf-8")
        return Template(template).substitute(title=html.escape(self.title), body="\n".join(self._parts))

    def save(self, path: Path) -> Path:
        """Write the page, whole or not at all."""
        path.parent.mkdir(parents=True, exist_ok=True)
        with replacing(path) as partial:
            partial.write_text(self.html(), encoding="utf-8")
        return path
