"""Each change is valid Python that does something else, at the place that it names."""

import attrs
import pytest

from .drawing import changes, draw, works


def shown(source: str) -> set[str]:
    """Return the changes of a source, as `operator: before -> after`."""
    return {
        f"{change.operator}: {change.before} -> {change.after}"
        for change in changes("a.py", source.encode())
    }


@pytest.mark.parametrize(
    ("source", "expected"),
    [
        ("a <= b", {"cmp: a <= b -> a < b", "cmp: a <= b -> a > b"}),
        ("a is None", {"cmp: a is None -> a is not None"}),
        ("a + b", {"arith: a + b -> a - b"}),
        ("n = 1", {"const: 1 -> 2", "const: 1 -> 0"}),
        ("n = True", {"bool: True -> False"}),
        ("n = 'é'", {"str: 'é' -> 'éXX'"}),
        ("a and b", {"andor: a and b -> a or b"} | {f"dropoperand: a and b -> {c}" for c in "ab"}),
        ("a if b else c", {f"ifexp: a if b else c -> {either}" for either in "ac"}),
        ("not a", {"dropnot: not a -> a"}),
        ("-a", {"neg: -a -> a"}),
        ("min(a)", {"swapfn: min -> max", "dropstmt: min(a) -> pass"}),
        ("a.b = c", {"dropassign: a.b = c -> pass"}),
        ("del a", {"dropstmt: del a -> pass"}),
        ("raise a", {"dropraise: raise a -> pass"}),
        ("x = isinstance(a, Bb | Cc)", {f"droptype: Bb | Cc -> {kind}" for kind in ("Bb", "Cc")}),
        ("x = (A, B)", {f"dropmember: member {one} -> left out" for one in "AB"}),
        ("x = {A: B, C: D}", {f"dropmember: member {one} -> left out" for one in "AC"}),
        ("if a: b", {f"if{c.lower()}: a -> {c}" for c in ("True", "False")}),
        ("while a: b", {"iffalse: a -> False"}),
        (
            "a += b",
            {"augop: a += b -> a -= b", "aug2assign: a += b -> a = b"}
            | {"dropassign: a += b -> pass"},
        ),
        (
            "try: a\nexcept (B, C): d",
            {"dropexcept: (B, C) -> ()"} | {f"narrowexcept: (B, C) -> ({c},)" for c in "BC"},
        ),
        ("with a: b", {"dropwith: a -> __import__('contextlib').nullcontext()"}),
        ("def f(): return a", {"retval: a -> None"}),
        ("async def f(): x = await a", {"noawait: await a -> None"}),
        (
            "for a in b: continue",
            {"dropcontinue: continue -> pass", "cont2break: continue -> break"},
        ),
    ],
)
def test_each_kind_of_change_is_drawn(source: str, expected: set[str]) -> None:
    assert shown(source) == expected


@pytest.mark.parametrize(
    "source",
    [
        '"""Docstring."""',
        "a: Literal['x'] | None",
        "def f(a: 'x') -> 'y': ...",
        "@cache(maxsize=3)\ndef f(): ...",
        "if TYPE_CHECKING:\n    a = 1",
        "__all__ = ['a', 'b']",
        "T = TypeVar('T')",
        "f'{a + 1} of them'",
        "def __repr__(self): x = 'a'",
        "def f(): x = 'This goes to people.'",
        "_log.info('done', 1)",
    ],
)
def test_code_without_effect_on_behaviour_is_left_alone(source: str) -> None:
    assert not [
        change for change in shown(source) if not change.startswith(("dropmember", "const"))
    ]


@pytest.mark.parametrize(
    ("source", "drawn"),
    [
        ("_PIECE: Final = 64 * 1024", {"arith: 64 * 1024 -> 64 / 1024"}),
        ("_SECONDS = 60.0", set()),
        ("zip(a, b, strict=True)", {"dropstmt: zip(a, b, strict=True) -> pass"}),
        ("LIMIT: Final = 60", {"const: 60 -> 61", "const: 60 -> 59"}),
        ("_MOST_ROWS: Final = 60", {"const: 60 -> 61", "const: 60 -> 59"}),
        ("_SECONDS = 15", {"const: 15 -> 16", "const: 15 -> 14"}),
        ("def f(): _x = 60", {"const: 60 -> 61", "const: 60 -> 59"}),
        ("_CODES = tuple(range(100))", {"const: 100 -> 101", "const: 100 -> 99"}),
        (
            "zip(a, b, strict=False)",
            {"dropstmt: zip(a, b, strict=False) -> pass", "bool: False -> True"},
        ),
    ],
)
def test_only_a_limit_is_changed_by_a_small_amount(source: str, drawn: set[str]) -> None:
    assert shown(source) == drawn


SOURCE = '''\
"""A module."""

LIMIT = 5  # é, so that columns are no characters


class A:
    def f(self, most: int = 3) -> bool:
        """Say something."""
        text = """two
        lines"""
        if (
            most > LIMIT
            and text
        ):
            self.g(
                most,
            )
        return most == 4
'''


def test_a_change_keeps_all_lines_where_they_are() -> None:
    for change in changes("a.py", SOURCE.encode()):
        after = change.applied(SOURCE.encode()).decode()
        assert after.count("\n") == SOURCE.count("\n")
        assert works(change, SOURCE.encode())
        first, last = change.lines
        before, now = SOURCE.splitlines(), after.splitlines()
        assert before[: first - 1] == now[: first - 1]
        assert before[last:] == now[last:]


def test_a_change_says_where_it_is() -> None:
    [drawn] = [one for one in changes("a.py", SOURCE.encode()) if one.before == "most == 4"][:1]
    assert (drawn.lines, drawn.function, drawn.body) == ((18, 18), "A.f", (8, 18))
    assert str(drawn) == "a.py:18 `A.f` [retval]: `most == 4` -> `None`"


def test_a_change_in_a_long_statement_has_the_lines_of_its_head() -> None:
    found = [one for one in changes("a.py", SOURCE.encode()) if one.before == "most > LIMIT"]
    assert {one.lines for one in found} == {(12, 12)}
    assert {one.statement for one in found} == {(11, 14)}


def test_a_constant_of_the_module_says_its_name() -> None:
    found = [one for one in changes("a.py", SOURCE.encode()) if one.before == "5"]
    assert {one.names for one in found} == {("LIMIT",)}
    assert {one.body for one in found} == {None}


def test_the_same_seed_draws_the_same_and_no_file_has_more_than_its_share() -> None:
    sources = {"a.py": SOURCE.encode(), "b.py": SOURCE.encode()}
    drawn, there = draw(sources, seed=1, count=11, most=7)
    assert (len(drawn), there) == (11, 2 * len(changes("a.py", SOURCE.encode())))
    assert max(sum(one.path == path for one in drawn) for path in sources) <= 7
    assert draw(sources, seed=1, count=11, most=7)[0] == drawn
    assert draw(sources, seed=2, count=11, most=7)[0] != drawn


def test_a_change_that_breaks_the_syntax_is_not_drawn() -> None:
    source = b"for a in b:\n    try:\n        c()\n    except* D:\n        if e:\n            f\n"
    assert all(
        works(change, source) for change in draw({"a.py": source}, seed=1, count=99, most=99)[0]
    )
    change = attrs.evolve(changes("a.py", source)[0], text=")")
    assert not works(change, source)
