"""Diets as files: reading them safely, every problem with its place, and the schema that editors complete by."""
