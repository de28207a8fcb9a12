"""Change the code a little and see whether a test notices: `python -m tests.mutation`."""
