"""Looks at data: tables, files, web addresses, objects in a store. One module a kind, each with one plain blocking call
that reads no more than was asked for, changes nothing, and says what it found; what that means is decided elsewhere.
"""
