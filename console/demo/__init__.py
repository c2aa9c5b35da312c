"""The demo: a night of a mixed estate, generated once and kept as data, and how it is played by the whole product."""
