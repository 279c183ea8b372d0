"""A diet as Python source: importable, readable, and the same diet again when it is run.

Where `c`, the operators and the methods of `Diet` rebuild a rule exactly they are used; where they would not (a union
inside a union, a chain of comparisons) the rule's class or the expression's text stands instead.
"""

from __future__ import annotations

import json
from dataclasses import replace

from poyodata.curation.diet import Diet
from poyodata.curation.joining import composed_name, mixed_term, refers_to_files
from poyodata.curation.language import expressions, rules
from poyodata.curation.language.parameters import Parameter, Value
from poyodata.curation.language.source_layout import Call, Chain, Code, Infix, laid_out
from poyodata.curation.language.window_rule import WindowRule, WindowSample

_INFIX: dict[type, str] = {rules.Union: "|", rules.Intersect: "&", rules.Difference: "-"}


def python_source(diet: Diet) -> str:
    """Write a diet as Python source that sets ``diet`` to an equal one.

    Examples
    --------
    >>> low = Diet.where("skewness <= 3.51", name="low", splits="donor-70-10-20")
    >>> print(python_source(~low | Diet.reference("inhibitory")))
    from poyodata.curation import Diet, c
    <BLANKLINE>
    diet = (
        (~Diet.where(c.skewness <= 3.51) | Diet.reference("inhibitory"))
        .named("(not low) or (inhibitory)")
        .with_options(splits="donor-70-10-20")
    )
    <BLANKLINE>
    """
    writer = _Writer()
    source = laid_out("diet = ", writer.whole(diet))
    return f"{writer.imports()}\n{source}\n"


class _Writer:
    """Writes code, and remembers which names it has to import."""

    def __init__(self) -> None:
        self.used: set[tuple[str, str]] = {("poyodata.curation", "Diet")}

    def imports(self) -> str:
        modules = sorted({module for module, _ in self.used})
        lines = []
        for module in modules:
            names = [name for home, name in self.used if home == module]
            names.sort(key=lambda name: (name.islower(), name))  # classes first, as in every import of the package
            lines.append(f"from {module} import {', '.join(names)}\n")
        return "".join(lines)

    def name(self, name: str, module: str = "poyodata.curation") -> str:
        self.used.add((module, name))
        return name

    def whole(self, diet: Diet) -> Code:
        links = [_named(self.diet(diet.neurons), diet.neurons, diet.name, diet.description)]
        if diet.windows != WindowRule():
            links.append(self.during(diet.windows))
        options: dict[str, Code | None] = {
            word: constant(getattr(diet, word))
            for word in ("splits", "statistics_window", "missing", "statistics_reference")
            if getattr(diet, word) != Diet.__dataclass_fields__[word].default
        }
        if diet.disjoint:
            pairs = [
                Call(self.name("Disjoint"), (constant(pair.other), f"by={constant(pair.by)}")) for pair in diet.disjoint
            ]
            options["disjoint"] = Call("", tuple(pairs), "[]")
        if diet.folder is not None and refers_to_files(diet):
            options["folder"] = constant(str(diet.folder))
        if options:
            links.append(Call(".with_options", _keywords(options)))
        return _chained(*links)

    def during(self, windows: WindowRule) -> Code:
        where = () if windows.where is None else (self.condition(windows.where),)
        options = {
            "min_length_s": self.amount(windows.min_length_s),
            "while_": None if windows.while_ is None else self.condition(windows.while_),
            "sample": None if windows.sample is None else self.part_of_windows(windows.sample),
        }
        return Call(".during", (*where, *_keywords(options)))

    def part_of_windows(self, part: WindowSample) -> Code:
        roles = None if part.roles == ("train",) else Call("", tuple(map(constant, part.roles)))
        options = {"fraction": self.amount(part.fraction), "n": self.amount(part.n), "seed": self.amount(part.seed)}
        return Call(self.name("WindowSample"), _keywords(options | {"roles": roles}))

    def diet(self, rule: rules.Rule) -> Code:
        """Write a diet of that rule; its name is whatever comes of it."""
        match rule:
            case rules.Everyone():
                return Call("Diet.everyone", ())
            case rules.Where():
                return Call("Diet.where", (self.condition(rule.condition),))
            case rules.Ids():
                return Call("Diet.ids", (Call("", tuple(map(constant, rule.ids)), "[]"),))
            case rules.Reference():
                given = tuple(Chain((f"{constant(name)}: ", self.value(value))) for name, value in rule.given)
                with_ = Call("", given, "{}") if given else None
                return Call("Diet.reference", (constant(rule.diet), *_keywords({"with_": with_})))
            case rules.Union() | rules.Intersect() | rules.Difference():
                return self.joined(rule)
            case rules.Complement():
                return Chain(("~", _grouped(self.diet(rule.of))))
            case rules.Sample():
                return self.method(rule.of, "sample", **self.sampled(rule), within=_text(rule.within))
            case rules.Balance():
                columns = Call("", tuple(map(constant, rule.by)), "[]")
                return self.method(rule.of, "balance", columns, n=self.amount(rule.n), seed=self.amount(rule.seed))
            case rules.Top():
                order = None if rule.order == "highest" else constant(rule.order)
                by = self.operand(rule.by)
                return self.method(rule.of, "top", self.value(rule.k), by=by, order=order, within=_text(rule.within))
            case rules.Match():
                on = Call("", tuple(map(constant, rule.on)), "[]") if rule.on else None
                of = None if rule.of == rules.Everyone() else self.diet(rule.of)
                drawn = {"seed": self.amount(rule.seed), "draw": self.amount(rule.draw)}
                return self.method(rule.to, "matched", on=on, of=of, **drawn)
            case rules.Mix():
                return self.mixed(rule)

    def method(self, rule: rules.Rule, method: str, /, *parts: Code, **options: Code | None) -> Code:
        return _chained(self.diet(rule), Call(f".{method}", (*parts, *_keywords(options))))

    def sampled(self, part: rules.Sample | rules.MixTerm) -> dict[str, Code | None]:
        return {"fraction": self.amount(part.fraction), "n": self.amount(part.n), "seed": self.amount(part.seed)}

    def joined(self, rule: rules.Union | rules.Intersect | rules.Difference) -> Code:
        taken_apart = rule.rules[:1] if isinstance(rule, rules.Difference) else rule.rules
        if any(type(part) is type(rule) for part in taken_apart):
            parts = Call("", tuple(map(self.neurons, rule.rules)), "()")
            kind = self.name(type(rule).__name__, "poyodata.curation.language.rules")
            return Call("Diet", (Call(kind, (parts,)),))
        return Infix(_INFIX[type(rule)], tuple(_grouped(self.diet(part)) for part in rule.rules))

    def neurons(self, rule: rules.Rule) -> Code:
        return _chained(self.diet(rule), ".neurons")

    def mixed(self, rule: rules.Mix) -> Code:
        if all(self.is_spelled(term) for term in rule.terms):
            return Call(self.name("mix"), tuple(map(self.pool, rule.terms)))
        home = "poyodata.curation.language.rules"
        terms = []
        for term in rule.terms:
            options = {"name": _text(term.name), **self.sampled(term), "share": self.amount(term.share)}
            if term.seed == 0:
                del options["seed"]
            terms.append(Call(self.name("MixTerm", home), (self.neurons(term.of), *_keywords(options))))
        return Call("Diet", (Call(self.name("Mix", home), (Call("", tuple(terms), "()"),)),))

    def is_spelled(self, term: rules.MixTerm) -> bool:
        """Tell whether `mix` makes this very term of the diet that `pool` writes."""
        rule, name = term.of, _pool_name(term)
        if term.fraction is not None or term.n is not None:
            rule = rules.Sample(rule, term.fraction, term.n, term.seed)
            name = composed_name(f"{name} sample")
        return mixed_term(Diet(rule, name=name)) == term

    def pool(self, term: rules.MixTerm) -> Code:
        code = _named(self.diet(term.of), term.of, _pool_name(term))
        if term.fraction is None and term.n is None:
            return code
        return _chained(code, Call(".sample", _keywords(self.sampled(term))))

    def amount(self, value: Value | Parameter | None) -> Code | None:
        return None if value is None else self.value(value)

    def value(self, value: Value | Parameter) -> Code:
        if not isinstance(value, Parameter):
            return constant(value)
        return Call(self.name("param"), (constant(value.name), constant(value.default)))

    def condition(self, node: expressions.Node) -> Code:
        used = set(self.used)
        spelled = self.spelled(node)
        if spelled is None:
            self.used = used
        return spelled or constant(expressions.to_text(node))

    def spelled(self, node: expressions.Node) -> Code | None:
        """Spell a condition with `c`; None where only its text is exact."""
        match node:
            case expressions.Column():
                return self.operand(node)
            case expressions.Call(function="isnan"):
                return Chain((self.operand(node.operand), ".isnan()"))
            case expressions.Compare(operators=(operator,), operands=(left, right)):
                # A constant on the left would change sides: Python asks the column first.
                if isinstance(left, expressions.Literal | Parameter):
                    return None
                return Infix(operator, (self.operand(left), self.operand(right)))
            case expressions.Membership():
                listed = Call("", tuple(map(self.operand, node.values)), "[]")
                return Chain((self.operand(node.operand), Call(".notin" if node.negated else ".isin", (listed,))))
            case expressions.Not():
                inner = self.spelled(node.term)
                return None if inner is None else Chain(("~", _grouped(inner)))
            case expressions.And() | expressions.Or():
                parts = [self.spelled(term) for term in node.terms]
                spelled = tuple(_grouped(part) for part in parts if part is not None)
                return Infix("&" if isinstance(node, expressions.And) else "|", spelled) if all(parts) else None
            case _:
                return None

    def operand(self, node: expressions.Operand) -> Code:
        match node:
            case expressions.Literal():
                return constant(node.value)
            case Parameter():
                return self.value(node)
            case expressions.Column():
                c = self.name("c")
                return f"{c}[{constant(node.name)}]" if "@" in node.name else f"{c}.{node.name}"
            case expressions.Call():
                return Chain((self.operand(node.operand), f".{node.function}()"))
            case expressions.Quantile():
                return Chain((self.operand(node.operand), Call(".quantile", (self.value(node.q),))))


def constant(value: Value) -> str:
    """Write a constant, texts in double quotes.

    Examples
    --------
    >>> print(constant("it's"), constant(0.30), constant(True))
    "it's" 0.3 True
    """
    # A JSON text of printable characters is a Python text, too.
    return json.dumps(value, ensure_ascii=False) if isinstance(value, str) else repr(value)


def _text(value: str | None) -> str | None:
    return constant(value) if value else None


def _keywords(options: dict[str, Code | None]) -> tuple[Code, ...]:
    return tuple(Chain((f"{word}=", code)) for word, code in options.items() if code is not None)


def _grouped(code: Code) -> Code:
    return replace(code, grouped=True) if isinstance(code, Infix) else code


def _chained(first: Code, *links: Code) -> Code:
    if not links:
        return first
    if isinstance(first, Chain) and first.links[0] == "~":  # `~a.sample()` would sample first
        first = Chain(("(", first, ")"))
    before = first.links if isinstance(first, Chain) and first.links[0] != "(" else (_grouped(first),)
    return Chain((*before, *links))


def _pool_name(term: rules.MixTerm) -> str:
    return term.name or _own_name(term.of)


def _own_name(rule: rules.Rule) -> str:
    return rule.diet if isinstance(rule, rules.Reference) else "unnamed"


def _named(code: Code, rule: rules.Rule, name: str, description: str = "") -> Code:
    """Give written code a name, where it has another one, and a description, where there is one."""
    default = {"Everyone": "all"}.get(type(rule).__name__, _own_name(rule))
    options = {"description": _text(description)}
    if isinstance(code, Call):
        keywords = _keywords({"name": None if name == default else constant(name), **options})
        return replace(code, parts=code.parts + keywords)
    described = (constant(description),) if description else ()
    return _chained(code, Call(".named", (constant(name), *described)))
