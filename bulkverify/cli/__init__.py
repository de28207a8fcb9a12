"""The command line: `pip install "bulkverify[cli]"`, then `bulkverify --help`. Not a public API.

`main` is the entry point; `app` lists the commands. To keep `--help` fast, their modules use the SDK
as attributes of `bulkverify`, or import it inside functions.
"""
