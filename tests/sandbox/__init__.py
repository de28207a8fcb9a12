"""Tests of the sandbox, over a real socket wherever a socket has a part in it."""
