"""Settings of a Spark history server: its address, one account or none, and its applications."""

from __future__ import annotations

from datetime import timedelta

from pydantic import Field

from connectors.sdk.option_errors import Duration
from connectors.sdk.rest_options import AccountOptions


class SparkOptions(AccountOptions):
    url: str = Field(examples=["https://spark-history.example.com"])
    """Address of the history server: "https://spark-history.example.com"."""
    applications: tuple[str, ...] = Field(default=("*",), min_length=1)
    """Patterns of application names to watch, as in a shell: ["load_*", "mart"]."""
    lost_after: Duration = timedelta(days=1)
    """An application without an end whose log did not grow for so long is LOST."""
