"""Waiting for jobs: when to poll, and which waits end."""
