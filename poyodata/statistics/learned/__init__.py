"""Columns that models learnt: files with their lineage, and what is checked when they are written and used."""
