"""What the AWS kinds share: who asks, the wire below boto3, errors sorted by what happens next, clocks, lists that are
newest first, logs of CloudWatch. No kind of its own."""
