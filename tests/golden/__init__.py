"""Golden files: every text a user reads, committed as plain files, so that each change of wording shows in review.

`python -m tests.golden` compares, `python -m tests.golden --update` writes. `python -m tests.golden.prose` lists words
that are not the standard terms.
"""
