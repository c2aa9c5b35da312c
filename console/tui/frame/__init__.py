"""The base of every screen: the app as screens see it, header and footer, cells, clock, requests."""
