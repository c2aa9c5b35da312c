"""Forecasts of services.

`finish_times` adds quantiles along the graph and needs no numpy. `forecaster` runs the Monte Carlo simulation: the
open service days become one `night_graph`, with the `past_nights` of their jobs; `simulation` computes with it and
knows no estate; `calibration` corrects its P(late); `why_late` explains it; `what_if` answers counterfactuals.
"""
