"""Layout of Python source: code as a small tree, on one line where it fits, else broken at its parentheses."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TypeAlias

WIDTH = 100


@dataclass(frozen=True)
class Call:
    """What stands before a pair of brackets, and the parts between them."""

    before: str
    parts: tuple[Code, ...]
    brackets: str = "()"


@dataclass(frozen=True)
class Chain:
    """Links that follow each other without a space: ``Diet.where(...)``, ``.sample(...)``."""

    links: tuple[Code, ...]


@dataclass(frozen=True)
class Infix:
    """Parts with an operator between them; `grouped` in parentheses."""

    operator: str
    parts: tuple[Code, ...]
    grouped: bool = False


Code: TypeAlias = str | Call | Chain | Infix


def on_one_line(code: Code) -> str:
    """Write code without a line break.

    Examples
    --------
    >>> on_one_line(Chain(("~", Infix("|", ("a", Call("b", ("1", "2"))), grouped=True))))
    '~(a | b(1, 2))'
    """
    match code:
        case str():
            return code
        case Call():
            # A tuple of one needs its comma.
            comma = "," if not code.before and code.brackets == "()" and len(code.parts) == 1 else ""
            opened, closed = tuple(code.brackets)
            return f"{code.before}{opened}{', '.join(map(on_one_line, code.parts))}{comma}{closed}"
        case Chain():
            return "".join(map(on_one_line, code.links))
        case Infix():
            text = f" {code.operator} ".join(map(on_one_line, code.parts))
            return f"({text})" if code.grouped else text


def laid_out(before: str, code: Code, indent: int = 0) -> str:
    """Write code after `before`, broken where it would be longer than `WIDTH` characters.

    Examples
    --------
    >>> print(laid_out("x = ", Call("f", ("1" * 60, "2" * 60))))
    x = f(
        111111111111111111111111111111111111111111111111111111111111,
        222222222222222222222222222222222222222222222222222222222222,
    )
    """
    text = on_one_line(code)
    if len(before) + indent + len(text) <= WIDTH and "\n" not in text:
        return before + text
    margin, inner = " " * indent, " " * (indent + 4)
    match code:
        case Call(parts=(Call(before="") as listed,)) if code.before:
            opened, closed = tuple(code.brackets)
            return laid_out(f"{before}{code.before}{opened}", listed, indent) + closed
        case Call(parts=(Infix(grouped=False) as joined,)) if code.before:
            return f"{before}{code.before}{_broken_infix(joined, indent)}"
        case Call() if code.parts:
            opened, closed = tuple(code.brackets)
            lines = [f"{inner}{laid_out('', part, indent + 4)},\n" for part in code.parts]
            return f"{before}{code.before}{opened}\n{''.join(lines)}{margin}{closed}"
        case Infix():
            return before + _broken_infix(code, indent)
        case Chain():
            return _broken_chain(before, code, indent)
        case _:
            return before + text


def _broken_infix(infix: Infix, indent: int) -> str:
    lines = [laid_out("", infix.parts[0], indent + 4)]
    lines += [laid_out(f"{infix.operator} ", part, indent + 4) for part in infix.parts[1:]]
    inner = "\n" + " " * (indent + 4)
    return f"({inner}{inner.join(lines)}\n{' ' * indent})"


def _broken_chain(before: str, chain: Chain, indent: int) -> str:
    methods = [index for index, link in enumerate(chain.links) if isinstance(link, Call) and link.before[:1] == "."]
    if len(methods) > 1:  # one method on each line, all in parentheses
        cuts = [0, *methods, len(chain.links)]
        parts = [Chain(chain.links[start:stop]) for start, stop in pairwise(cuts)]
        inner = "\n" + " " * (indent + 4)
        return f"{before}({inner}{inner.join(laid_out('', part, indent + 4) for part in parts)}\n{' ' * indent})"
    written = before
    for link in chain.links:
        last = written.rsplit("\n", 1)[-1]
        # `laid_out` adds the margin, which a second line of what is written already holds.
        held = min(indent, len(last)) if "\n" in written else 0
        written = written[: len(written) - len(last)] + last[:held] + laid_out(last[held:], link, indent)
    return written
