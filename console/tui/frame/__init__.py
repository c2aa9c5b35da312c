"""What every screen is built on: the app as screens see it, the base screen, header and footer, cells, clock,
requests.
"""
