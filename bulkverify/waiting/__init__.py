"""Waiting for jobs: the waits, their polls, and the pace."""
