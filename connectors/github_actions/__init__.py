"""GitHub Actions, github.com or an Enterprise Server, over REST."""
