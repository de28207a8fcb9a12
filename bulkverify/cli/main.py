"""The entry point, which also works where the extra is missing: it then says what to install."""

import sys

_EXTRA = frozenset({"cyclopts", "rich"})


def main() -> None:
    """Run the command that the process was started with, and exit with its code."""
    try:
        import rich  # noqa: F401, PLC0415 - needed only later, so a lack of it would show only later

        from bulkverify.cli.runner import run  # noqa: PLC0415 - a missing extra is told from here
    except ModuleNotFoundError as error:
        if (error.name or "").partition(".")[0] not in _EXTRA:
            raise
        sys.stderr.write(
            f"bulkverify: error: {error.name} is not installed. The command line comes with an extra:\n"
            '  pip install "bulkverify[cli]"\n'
        )
        sys.exit(2)
    sys.exit(run(sys.argv[1:]))
