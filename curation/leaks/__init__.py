"""Leak checks over the lineage of a run: what a model is tested on must not have been seen before."""
