"""The demo: one night of a mixed estate, generated once and kept as data, and its replay by the whole product."""
