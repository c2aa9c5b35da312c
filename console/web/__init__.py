"""The console in a browser: who may come in, one process for each visitor, and the page that shows it.

It knows nothing of store and schedulers: what it shows is `headway console` as a terminal would, and textual-serve's
script draws it. Only `headway serve` imports it; aiohttp and textual-serve are the extra `headway[web]`.
"""
