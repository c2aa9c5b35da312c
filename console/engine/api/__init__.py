"""What the console and the CLI may ask of the engine (client), and who answers (server). The client side loads
nothing heavy.
"""
