"""The pipeline of the tests: orders load, stock fails, the mart waits for both."""

import os
from pathlib import Path

import luigi

FOLDER = Path(os.environ["LAB_LUIGI_OUTPUT"])


class Load(luigi.Task):  # type: ignore[misc]  # luigi is in an environment of its own
    day = luigi.DateParameter()

    def output(self) -> luigi.LocalTarget:
        return luigi.LocalTarget(str(FOLDER / f"{type(self).__name__}-{self.day}"))

    def run(self) -> None:
        self.output().open("w").close()


class LoadOrders(Load):
    pass


class LoadStock(Load):
    def run(self) -> None:
        raise ValueError("stock.csv has no rows")


class Mart(Load):
    def requires(self) -> list[luigi.Task]:
        return [LoadOrders(self.day), LoadStock(self.day)]
