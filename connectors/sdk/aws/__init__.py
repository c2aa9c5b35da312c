"""What the AWS kinds share: client, errors, schedules, newest-first lists, CloudWatch logs. Not a kind of its own."""
