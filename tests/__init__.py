"""The tests; `scripted` and `conftest` are shared by them."""
