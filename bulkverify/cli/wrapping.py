"""Lines that fit the width of a terminal."""

import re
import textwrap
from typing import Final

_NARROWEST: Final = 30
_NAME_AND_FACT: Final = re.compile(r"\S[\w -]{,14}  +(?=\S)")
_COUNT: Final = re.compile(r"(?<=\d) (?=\w)")
_GLUE: Final = "\ue000"


def fitted(line: str, width: int) -> str:
    """Break a line between words; commands stay whole, so that they can be copied."""
    if len(line) <= width or line.lstrip().startswith("bulkverify ") or width < _NARROWEST:
        return line
    table = _NAME_AND_FACT.match(line)
    indent = table.end() if table else len(line) - len(line.lstrip())
    return unglued(
        textwrap.fill(
            glued(line),
            width,
            subsequent_indent=" " * indent,
            break_long_words=False,
            break_on_hyphens=False,
        )
    )


def glued(text: str) -> str:
    """Join each number with the word that it counts, so that no line is broken between them."""
    return _COUNT.sub(_GLUE, text)


def unglued(text: str) -> str:
    """Undo `glued`."""
    return text.replace(_GLUE, " ")
