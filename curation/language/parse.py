"""Text to expression tree: Python's own parser under a closed whitelist. Nothing is ever evaluated or compiled."""

from __future__ import annotations

import ast
import io
import re
import tokenize
import warnings
from collections.abc import Callable
from typing import Any, NoReturn, TypeVar

from poyodata.curation.language.expressions import (
    FUNCTIONS,
    MAX_CHARACTERS,
    MAX_DEPTH,
    And,
    Call,
    Column,
    Compare,
    Literal,
    Membership,
    Node,
    Not,
    Operand,
    Or,
    Quantile,
    check_operand,
    check_size,
    is_operand,
)
from poyodata.curation.language.parameters import Parameter, Value
from poyodata.errors import DietError, Problem, nearest

Checked = TypeVar("Checked")

_COMPARISONS: dict[type[ast.cmpop], str] = {
    ast.Eq: "==",
    ast.NotEq: "!=",
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}

_TWO_PARTS: dict[str, str] = {
    "quantile": "quantile() takes a column and a share, as in `quantile(skewness, 0.9)`",
    "param": "param() takes a name and a default, as in `param(max_skewness, 3.51)`",
}

_ADVICE: dict[type[ast.AST], str] = {
    ast.Attribute: "a dot is not part of this language; name the column alone",
    ast.BinOp: "arithmetic is not part of this language; compare columns with constants, write and / or for & and |",
    ast.Call: f"only {', '.join(f'{name}()' for name in FUNCTIONS)} can be called",
    ast.Subscript: "square brackets stand only after `in`; name the column alone",
    ast.List: "a list stands only after `in`",
    ast.Tuple: "a comma makes a list, and a list stands only after `in`; join conditions with and / or",
    ast.Set: "a list stands only after `in`",
    ast.JoinedStr: "write the text in plain quotes",
    ast.IfExp: "join conditions with and / or / not",
    ast.NamedExpr: "an expression states what is true and sets nothing; write == to compare",
}


def parse_expression(text: str) -> Node:
    """Read a where-expression.

    Parameters
    ----------
    text : str
        At most 4,096 characters on one line, or on several inside parentheses.

    Returns
    -------
    Node
        The tree; ``to_text`` of it is the canonical text.

    Raises
    ------
    DietError
        For anything outside the language, with line and column and what to do.

    Examples
    --------
    >>> from poyodata.curation.language.expressions import to_text
    >>> to_text(parse_expression("skewness<=3.51 and not cre_line in ('Sst-IRES-Cre',)"))
    "skewness <= 3.51 and not (cre_line in ['Sst-IRES-Cre'])"
    """
    reader, body = _opened(text)
    return reader.checked(body, check_size, reader.condition(body, 1))


def parse_operand(text: str) -> Column | Call:
    """Read a column, or a number made of one: what ``top`` is ``by``.

    Raises
    ------
    DietError
        For anything else, with line and column and what to do.

    Examples
    --------
    >>> from poyodata.curation.language.expressions import to_text
    >>> to_text(parse_operand("zscore( log10(skewness) )"))
    'zscore(log10(skewness))'
    """
    reader, body = _opened(text)
    operand = reader.operand(body, 1) if not isinstance(body, ast.BoolOp | ast.Compare) else None
    if operand is None or not isinstance(operand, Column | Call) or not is_operand(operand):
        reader.fail(body, "expected a column or a function of one, as in `reliability` or `abs(skewness)`")
    return reader.checked(body, check_operand, operand)


def located_parts(text: str) -> list[tuple[Node, int, int]]:
    """Every part of an expression or operand that can be read, with line and column, smaller parts first.

    Examples
    --------
    >>> [(type(part).__name__, column) for part, _, column in located_parts("0 < skewness")]
    [('Literal', 1), ('Column', 5), ('Compare', 1)]
    """
    reader, body = _opened(text)
    reader.condition(body, 1)
    before = text[: len(text) - len(text.lstrip())]  # _opened took it away
    first, shift = before.count("\n"), len(before) - before.rfind("\n") - 1
    return [
        (part, line + first, column + (shift if line == 1 else 0))
        for part, at in reader.parts
        for line, column in (reader.position(at),)
    ]


def _opened(text: str) -> tuple[_Reader, ast.expr]:
    """Python's tree of a text within the limits, beside the reader that knows where its parts stand."""
    if not isinstance(text, str):
        raise DietError(f"an expression is a text such as 'skewness <= 3.51'; got {type(text).__name__}.")
    if len(text) > MAX_CHARACTERS:
        raise DietError(
            f"line 1, column 1: an expression may have {MAX_CHARACTERS} characters at most, this one has {len(text)}."
        )
    text = text.strip()
    if not text:
        raise DietError("line 1, column 1: an expression is empty; write a condition such as `skewness <= 3.51`.")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # doubtful spellings (an unknown backslash escape, `1or 2`) are errors here
            tree = ast.parse(text, mode="eval")
    except SyntaxError as error:
        raise _syntax_error(text, error) from None
    except (RecursionError, MemoryError):
        raise _at(1, 1, f"an expression may be nested {MAX_DEPTH} levels deep at most; simplify it.") from None
    except ValueError:
        raise _at(1, 1, "the expression holds characters or numbers that cannot be read; write plain text.") from None
    _check_spelling(text)
    return _Reader(text), tree.body


_DECIMAL = re.compile(r"(\d+\.?\d*|\.\d+)([eE][+-]?\d+)?$")


def _check_spelling(text: str) -> None:
    """Refuse spellings that Python's tree does not show, and that another reader would take for something else."""
    before = tokenize.NEWLINE
    try:
        for token in tokenize.generate_tokens(io.StringIO(text).readline):
            wrong = ""
            if token.type == tokenize.COMMENT:
                wrong = "a comment hides the rest of the line; an expression has none, and a diet's YAML may have them"
            elif token.type == tokenize.NUMBER and not _DECIMAL.match(token.string):
                wrong = f"write the number {_excerpt(token.string, 1)} in plain decimal digits"
            elif token.type == tokenize.STRING and token.string[:1] not in "'\"":
                wrong = "write the text in plain quotes, without letters before them"
            elif token.type == tokenize.STRING and token.string[:3] in ("'''", '"""'):
                wrong = "write the text in one pair of quotes"
            elif token.type == tokenize.STRING and before == tokenize.STRING:
                wrong = "two texts stand beside each other; write one text, or a list after `in`"
            if wrong:
                line, column = token.start
                raise _at(line, column + 1, f"`{_excerpt(token.line.rstrip(), column + 1)}`: {wrong}.")
            if token.type not in (tokenize.NL, tokenize.INDENT, tokenize.DEDENT):
                before = token.type
    except (tokenize.TokenError, SyntaxError):
        raise _at(1, 1, "the expression cannot be read; check quotes and parentheses.") from None


def _syntax_error(text: str, error: SyntaxError) -> DietError:
    line, column = error.lineno or 1, max(error.offset or 1, 1)
    lines = text.splitlines() or [""]
    at = lines[min(line, len(lines)) - 1]
    hint = "check quotes, parentheses and operators"
    if "=" in at and not any(operator in at for operator in ("==", "<=", ">=", "!=")):
        hint = "write == to compare"
    elif "&&" in at or "||" in at or "!" in at.replace("!=", ""):
        hint = "write and, or, not"
    elif len(lines) > 1:
        hint = "set an expression of several lines in parentheses, or use YAML's `>` to fold it into one"
    return _at(line, column, f"`{_excerpt(at, column)}` is not an expression; {hint}.")


def _at(line: int, column: int, message: str) -> DietError:
    return DietError(f"line {line}, column {column}: {message}", (Problem(line, column, "", message),))


def _excerpt(line: str, column: int) -> str:
    start = max(0, min(column - 20, len(line) - 60))
    shown = line[start : start + 60]
    return "".join(sign if sign.isprintable() else "?" for sign in shown)


def _advice(node: ast.AST) -> str:
    general = "this is not part of the language; use columns, constants, comparisons, and / or / not"
    return next((text for kind, text in _ADVICE.items() if isinstance(node, kind)), general)


class _Reader:
    """Turns the whitelisted part of Python's tree into ours and says where the rest stands."""

    def __init__(self, text: str) -> None:
        self.lines = re.split(r"\r\n|\r|\n", text)
        self.encoded = [line.encode("utf-8", "replace") for line in self.lines]
        self.parts: list[tuple[Node, ast.AST]] = []

    def position(self, node: ast.AST) -> tuple[int, int]:
        line = getattr(node, "lineno", 1)
        source = self.lines[min(line, len(self.lines)) - 1]
        # Python counts columns in UTF-8 bytes, people in characters.
        before = source.encode("utf-8", "replace")[: getattr(node, "col_offset", 0)]
        return line, len(before.decode("utf-8", "ignore")) + 1

    def fail(self, node: ast.AST, message: str) -> NoReturn:
        line, column = self.position(node)
        source = self.lines[min(line, len(self.lines)) - 1]
        raise _at(line, column, f"`{_excerpt(source, column)}`: {message.rstrip('.')}.")

    def checked(self, at: ast.AST, check: Callable[[Any], Checked], node: Any) -> Checked:
        try:
            return check(node)
        except DietError as error:
            self.fail(at, str(error))

    def build(self, at: ast.AST, kind: type[Any], *parts: Any) -> Any:
        try:
            built = kind(*parts)
        except DietError as error:
            self.fail(at, str(error))
        self.parts.append((built, at))
        return built

    def condition(self, node: ast.expr, depth: int) -> Node:
        if depth > MAX_DEPTH:
            self.fail(node, f"an expression may be nested {MAX_DEPTH} levels deep at most; simplify it")
        match node:
            case ast.BoolOp():
                terms = tuple(self.condition(value, depth + 1) for value in node.values)
                built: Node = self.build(node, And if isinstance(node.op, ast.And) else Or, terms)
            case ast.UnaryOp(op=ast.Not()):
                built = self.build(node, Not, self.condition(node.operand, depth + 1))
            case ast.UnaryOp(op=ast.Invert()):
                self.fail(node, "write `not` for ~ in a text")
            case ast.Compare():
                built = self.comparison(node, depth)
            case _:
                built = self.operand(node, depth)
        return built

    def comparison(self, node: ast.Compare, depth: int) -> Node:
        if any(isinstance(operator, ast.In | ast.NotIn) for operator in node.ops):
            if len(node.ops) > 1:
                self.fail(node, "`in` cannot stand in a chain; join the parts with and")
            values = node.comparators[0]
            if not isinstance(values, ast.List | ast.Tuple | ast.Set):
                self.fail(values, "after `in` comes a list of constants, as in `cre_line in ['Sst-IRES-Cre']`")
            listed = tuple(self.constant(element) for element in values.elts)
            left = self.compared(node.left, depth)
            membership: Node = self.build(node, Membership, left, listed, isinstance(node.ops[0], ast.NotIn))
            return membership
        operators = []
        for operator in node.ops:
            if type(operator) not in _COMPARISONS:
                self.fail(node, "write == or != for `is`, and isnan(column) to ask for missing values")
            operators.append(_COMPARISONS[type(operator)])
        operands = tuple(self.compared(part, depth) for part in (node.left, *node.comparators))
        compare: Node = self.build(node, Compare, tuple(operators), operands)
        return compare

    def compared(self, node: ast.expr, depth: int) -> Operand:
        operand = self.operand(node, depth + 1)
        if not is_operand(operand):
            self.fail(node, "a condition cannot be compared; use it alone or after not")
        return operand

    def constant(self, node: ast.expr) -> Literal | Parameter:
        operand = self.operand(node, 1)
        if not isinstance(operand, Literal | Parameter):
            self.fail(node, "a list after `in` holds constants; set texts in quotes")
        return operand

    def operand(self, node: ast.expr, depth: int) -> Operand:  # noqa: RET503 - `fail` never returns
        if depth > MAX_DEPTH:
            self.fail(node, f"an expression may be nested {MAX_DEPTH} levels deep at most; simplify it")
        match node:
            case ast.Name():
                return self.column(node)
            case ast.BinOp(op=ast.MatMult()):
                return self.restricted(node)
            case ast.Constant():
                if not isinstance(node.value, bool | int | float | str):
                    self.fail(node, "only True, False, numbers and texts are constants here")
                literal: Literal = self.build(node, Literal, node.value)
                return literal
            case ast.UnaryOp(
                op=ast.USub() | ast.UAdd() as sign, operand=ast.Constant(value=int() | float() as number)
            ) if not isinstance(number, bool):
                signed: Literal = self.build(node, Literal, -number if isinstance(sign, ast.USub) else number)
                return signed
            case ast.UnaryOp():
                self.fail(node, "a sign stands only before a number")
            case ast.Call(func=ast.Name() as function):
                return self.call(node, function, depth)
        self.fail(node, _advice(node))

    def call(self, node: ast.Call, function: ast.Name, depth: int) -> Call | Quantile | Parameter:
        name = self.plain(function)
        if name not in FUNCTIONS:
            self.fail(node, f"unknown function: {nearest(name[:60], FUNCTIONS)}")
        wanted = 2 if name in _TWO_PARTS else 1
        if len(node.args) != wanted or node.keywords or any(isinstance(part, ast.Starred) for part in node.args):
            self.fail(node, _TWO_PARTS.get(name, f"{name}() takes one column, as in `{name}(skewness)`"))
        if name == "param":
            parameter: Parameter = self.build(node, Parameter, *self.named_default(node, *node.args))
            return parameter
        inner = self.operand(node.args[0], depth + 1)
        if name == "quantile":
            share = self.operand(node.args[1], depth + 1)
            if not isinstance(share, Literal | Parameter):
                self.fail(node.args[1], "the share of a quantile is a number from 0 to 1, or a param() of one")
            quantile: Quantile = self.build(node, Quantile, inner, share.value if isinstance(share, Literal) else share)
            return quantile
        call: Call = self.build(node, Call, name, inner)
        return call

    def named_default(self, node: ast.Call, name: ast.expr, default: ast.expr) -> tuple[str, Value]:
        match name:
            case ast.Name():
                named = self.plain(name)
            case ast.Constant(value=str() as named):
                pass
            case _:
                self.fail(node, _TWO_PARTS["param"])
        literal = self.operand(default, 1)
        if not isinstance(literal, Literal):
            self.fail(default, "the default of a param() is a constant; set texts in quotes")
        return named, literal.value

    def column(self, node: ast.Name) -> Column:
        if node.id in ("true", "false"):
            self.fail(node, f"write {node.id.capitalize()}")
        if node.id in ("nan", "inf", "null", "none"):
            self.fail(node, "there is no such constant; use isnan(column) to ask for missing values")
        column: Column = self.build(node, Column, self.plain(node))
        return column

    def restricted(self, node: ast.BinOp) -> Column:
        match node:
            case ast.BinOp(left=ast.Name() as name, right=ast.Name() as shown):
                stimulus = self.plain(shown)
            case ast.BinOp(left=ast.Name() as name, right=ast.Constant(value=str() as stimulus)):
                pass
            case _:
                self.fail(node, "@ stands between a column and a stimulus, as in `skewness@drifting_gratings`")
        column: Column = self.build(node, Column, f"{self.column(name).name}@{stimulus}")
        return column

    def plain(self, node: ast.Name) -> str:
        # The parser folds look-alike letters (NFKC); what the reader sees must be what is meant.
        written = self.encoded[node.lineno - 1][node.col_offset : node.end_col_offset]
        if written != node.id.encode("utf-8", "replace"):
            self.fail(node, "a name holds letters that only look like ASCII; type it anew")
        return node.id
