"""Small changes of the code, one at a time, and whether a test notices: `python -m tests.mutation`."""
