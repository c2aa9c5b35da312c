"""Notifications about incidents: candidates, suppression, routing and content.

`pipeline.STAGES` is the order in which a notification passes the suppression stages.
"""
