"""The flows of the lab's Prefect, served by one process; a file named like the flow says what its next runs do."""

# mypy: ignore-errors

import os
import time
from pathlib import Path

from prefect import flow, serve, task

CONTROL = Path(os.environ["LAB_PREFECT_CONTROL"])


def behaviour(name: str) -> str:
    """succeed, fail, partial or hang."""
    path = CONTROL / name
    return path.read_text().strip() if path.exists() else "succeed"


def hang(name: str) -> None:
    until = time.monotonic() + 300
    while behaviour(name) == "hang" and time.monotonic() < until:
        print("still counting")
        time.sleep(1)


@task
def extract(count: int) -> list[int]:
    print("extracting", count)
    return list(range(count))


@task
def transform(row: int, how: str) -> int:
    if how in ("fail", "partial") and row == 2:
        raise ValueError("bad row 7")
    return row * 2


@flow(log_prints=True)
def load_orders(count: int = 3) -> None:
    how = behaviour("load-orders")
    states = [transform(row, how, return_state=True) for row in extract(count)]
    if how == "partial":
        return
    print("loaded", [state.result() for state in states])


@flow(log_prints=True)
def stock_count() -> None:
    print("counting")
    if behaviour("stock-count") == "hang":
        hang("stock-count")


@flow(log_prints=True)
def count_shelf(shelf: int) -> None:
    print("shelf", shelf)


@flow
def count_all() -> None:
    count_shelf(1)


if __name__ == "__main__":
    serve(
        load_orders.to_deployment("nightly", cron="0 3 * * *", tags=["lab"]),
        stock_count.to_deployment("hourly", cron="0 * * * *", description="Counts the stock.\nAsk supply-chain."),
        count_all.to_deployment("by-hand"),
        limit=3,
        pause_on_shutdown=False,
    )
