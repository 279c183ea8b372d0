"""AllenSDK as the judge: its own environment, what it reads from a recording, and whether our reader says the same.

AllenSDK needs libraries of years ago, so it never runs in this process. `environment` makes a Python environment for
it in the user's cache, `reading` is the script that runs there, `answers` holds what it wrote, `comparison` sets that
against our record, and `judge` puts all of it into one verdict.
"""
