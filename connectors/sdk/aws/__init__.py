"""Shared by the AWS kinds: client, errors, schedules, newest-first lists, CloudWatch logs. Not a kind of its own."""
