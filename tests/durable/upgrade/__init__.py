"""Databases that earlier versions wrote, with a run in flight in each state, for later versions to finish."""
