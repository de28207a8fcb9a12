"""The command line: `pip install "bulkverify[cli]"`, then `bulkverify --help`. Not a public API.

`main` is the entry point; `app` lists the commands. To keep `--help` fast, their modules use names such
as `bulkverify.Client`, which are imported on first use, or import the SDK inside functions.
"""
