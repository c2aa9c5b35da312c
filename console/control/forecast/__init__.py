"""When a service will be done. `sums` adds quantiles along the graph, for screens and plans of today; the other modules
are the joint simulation behind P(late), on arrays. Only those need numpy, so nothing here imports them."""

from console.control.forecast.sums import Finish, Forecast, How, Node, forecast, has_day, readers

__all__ = ["Finish", "Forecast", "How", "Node", "forecast", "has_day", "readers"]
