"""The command line: `pip install "bulkverify[cli]"`, then `bulkverify --help`. It is no public API.

`main` is the entry, `app` holds the commands. Their modules import none of the SDK that `--help` does
not need: they use it as attributes of `bulkverify`, or import it within their functions.
"""
