"""Two applications of Spark, one after the other in one JVM; run by tests.lab.spark with its own Python.

The second one's action fails, and it is stopped like the first: its event log says completed.
"""

import sys
from contextlib import suppress

from pyspark.errors import PySparkException
from pyspark.sql import SparkSession

CHECK = "assert_true('{}' = 'load_orders' OR id < 0, 'no such file')"


def main(events: str) -> None:
    for name in ("load_orders", "load_stock"):
        builder = SparkSession.builder.master("local[1]").appName(name).config("spark.ui.enabled", "false")
        logged = builder.config("spark.eventLog.enabled", "true").config("spark.eventLog.dir", f"file://{events}")
        spark = logged.getOrCreate()
        with suppress(PySparkException):
            spark.range(3).selectExpr(CHECK.format(name)).collect()
        spark.stop()


main(sys.argv[1])
