"""Dialogs over a screen: ask, choose, confirm, approve."""
