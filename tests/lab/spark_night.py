"""Applications of one night in one JVM, one after another; run by tests.lab.spark with its own Python.

load_orders succeeds, idle runs no job, mart catches the failure of a job and goes on, and load_stock waits for the file
that the argument names, then dies of an exception that nobody catches.
"""

import sys
import time
from pathlib import Path

from py4j.protocol import Py4JJavaError
from pyspark import SparkConf, SparkContext


def begun(name: str) -> SparkContext:
    return SparkContext(conf=SparkConf().setMaster("local[1]").setAppName(name))


def load(context: SparkContext) -> None:
    context.parallelize([1], 1).map(abs).count()


def load_without_rows(context: SparkContext) -> None:
    def read(_: int) -> int:
        raise ValueError("stock.csv has no rows")

    context.parallelize([1], 1).map(read).count()


with begun("load_orders") as orders:
    load(orders)
with begun("idle"):
    pass
with begun("mart") as mart:
    try:
        load_without_rows(mart)
    except Py4JJavaError:
        load(mart)
stock = begun("load_stock")
load(stock)
while not Path(sys.argv[1]).exists():
    time.sleep(0.05)
load_without_rows(stock)
