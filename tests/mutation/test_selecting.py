"""The selection of the tests for a change."""

import pytest

from .drawing import changes
from .measuring import Measured
from .selecting import Selection

SOURCE = b"""\
LIMIT = 5


def small(n: int, most: int = LIMIT + 1) -> bool:
    if n > most:
        return False
    return n < 0 or n < 3


def other() -> int:
    return LIMIT - 1
"""

MEASURED = Measured(
    seconds={
        "tests/test_b.py::test_fast": 0.1,
        "tests/test_b.py::test_other": 0.2,
        "tests/test_a.py::test_slow": 2.0,
        **{f"tests/test_a.py::test_rows[{n}]": 0.3 for n in range(4)},
        "tests/test_a.py::test_import": 0.0,
        "tests/test_a.py::test_constant": 0.0,
    },
    flaky=[],
    lines={
        "a.py": {
            # Only a subprocess imports modules while a test runs.
            **{line: frozenset({"tests/test_a.py::test_import"}) for line in (1, 4, 10)},
            5: frozenset({"tests/test_b.py::test_fast", "tests/test_a.py::test_slow"}),
            6: frozenset(),
            7: frozenset({f"tests/test_a.py::test_rows[{n}]" for n in range(4)}),
            11: frozenset({"tests/test_b.py::test_other"}),
        }
    },
    imported={"a.py": frozenset({1, 4, 10, 11})},
)


def selected(operator: str, before: str) -> list[str]:
    change = next(
        one for one in changes("a.py", SOURCE) if (one.operator, one.before) == (operator, before)
    )
    found = Selection(MEASURED, {"a.py": SOURCE}).of(change)
    return [test.partition("::test_")[2] for test in found]


def test_the_file_of_the_module_comes_first() -> None:
    assert selected("cmp", "n > most") == ["slow", "fast"]


def test_two_rows_come_before_the_rest() -> None:
    assert selected("cmp", "n < 3") == ["rows[0]", "rows[1]", "rows[2]", "rows[3]"]


def test_a_function_that_is_called_at_import_has_all_tests_of_the_file() -> None:
    found = selected("arith", "LIMIT - 1")
    assert found[0] == "other"
    assert set(found) == {test.partition("::test_")[2] for test in MEASURED.seconds}


def test_a_line_that_no_test_runs_has_no_tests() -> None:
    assert selected("bool", "False") == []


@pytest.mark.parametrize(
    ("before", "expected"),
    [
        (
            "1",
            [
                "rows[0]",
                "rows[1]",
                "slow",
                "fast",
                "rows[2]",
                "rows[3]",
                "constant",
                "import",
                "other",
            ],
        ),
        (
            "5",
            [
                "import",
                "other",
                "constant",
                "rows[0]",
                "rows[1]",
                "slow",
                "fast",
                "rows[2]",
                "rows[3]",
            ],
        ),
    ],
    ids=["a default: first the function", "a constant: first where it is used"],
)
def test_code_run_at_import_has_the_tests_of_its_users(before: str, expected: list[str]) -> None:
    assert selected("const", before) == expected
