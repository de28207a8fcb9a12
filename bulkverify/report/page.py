"""The page: one file of HTML and CSS that loads nothing and runs nothing."""

from base64 import b64encode
from functools import cache
from hashlib import sha256
from importlib.resources import files
from typing import Final
from urllib.parse import urlsplit

from bulkverify._version import __version__
from bulkverify.errors import plural
from bulkverify.models import Verdict
from bulkverify.report import facts
from bulkverify.report.facts import Facts
from bulkverify.run.models import RunReport

try:
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    from bulkverify.report import words
    from bulkverify.report.chart import curve
except ModuleNotFoundError as _missing:
    if _missing.name not in {"jinja2", "markupsafe", "pygal"}:
        raise
    raise ImportError(
        f'The page of a report needs {_missing.name}: pip install "bulkverify[report]"',
        name=_missing.name,
    ) from _missing

_LARGEST_GAUGE: Final = 0.2


def html_of(report: RunReport, *, small_domains: bool = False) -> str:
    """Return a report as an HTML page.

    Args:
        report: the report.
        small_domains: name domains with fewer than five rows, too.
    """
    found = Facts(report=report, small_domains=small_domains)
    style = _style()
    digest = b64encode(sha256(style.encode()).digest()).decode()
    points = report.curve
    return (
        _environment()
        .get_template("page.html")
        .render(
            f=found,
            report=report,
            style=Markup(style),  # noqa: S704 - our own file
            style_digest=digest,
            curve=curve(points, report.addresses) if len(points) > 1 else "",
            service=urlsplit(report.service).netloc,
            version=__version__,
            Verdict=Verdict,
            facts=facts,
            gauge=min(1.0, max(_LARGEST_GAUGE, *found.bounce) * 1.05),
        )
    )


def _style() -> str:
    return (files("bulkverify.report") / "templates" / "page.css").read_text(encoding="utf-8")


@cache
def _environment() -> Environment:
    environment = Environment(
        loader=PackageLoader("bulkverify.report"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {
        "count": words.count,
        "plural": plural,
        "percent": words.percent,
        "duration": words.duration,
        "moment": words.moment,
        "foreign": words.foreign,
    }
    environment.globals |= {"share": facts.share, "file_name": facts.file_name}
    return environment
