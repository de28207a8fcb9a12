"""Tests of the sandbox, over real sockets where sockets matter."""
