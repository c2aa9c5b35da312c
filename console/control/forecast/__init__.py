"""When a service will be done. `sums` adds quantiles along the graph, for screens and plans of today, and `odds` is
what the simulation says of it, as plain values: only these two do without numpy, so nothing here imports another.

`foresee` is the simulation as the engine asks it: the open service days become `points` of one graph, with the
`past_nights` of their jobs; `simulation` computes with them and knows no estate; `calibration` corrects its P(late);
`cache` keeps what holds still; `why_late` puts it into words."""

from console.control.forecast.sums import Finish, Forecast, How, Node, forecast, has_day, readers

__all__ = ["Finish", "Forecast", "How", "Node", "forecast", "has_day", "readers"]
