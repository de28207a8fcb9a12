"""The command line: `pip install "bulkverify[cli]"`, then `bulkverify --help`.

`main` is the entry, `app` holds the commands; nothing here is meant to be imported by a program.
"""
