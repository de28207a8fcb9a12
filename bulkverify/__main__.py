"""`python -m bulkverify`: the command line where the script is not on the path."""

from bulkverify.cli.main import main

if __name__ == "__main__":
    main()
