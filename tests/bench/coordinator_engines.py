"""An engine of `tests.bench.coordinators`: a process that polls fake systems of the shards that a coordinator gives it.

The task of a shard is the same under each coordinator. A poll is one line in a file. A third of a round of polls is
written with the fence checked in the same transaction, which also takes the pending actions of the shard. A task stops
when its fence is lost, and polls nothing while its fence was not confirmed for as long as a lease.
"""

from __future__ import annotations

import asyncio
import contextlib
import importlib
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, LiteralString

import psycopg

from console.engine.supervisor.engine import RENEW_SECONDS
from console.engine.supervisor.shard_polling import AFTER_EXPIRY_SECONDS
from console.store.db import lease
from console.store.db.database import open_database
from console.store.db.lease import holder_name
from console.store.db.shards import SHARDS, HeldShards, hold_shards, leave, release_shards
from console.store.errors import StoreError

WRITES_PER_ROUND = 3
QUERY_SECONDS = 4.0
LIBPQ = (
    "sslmode=disable&connect_timeout=3&tcp_user_timeout=5000&keepalives_idle=3&keepalives_interval=2&keepalives_count=2"
)
CLAIM_ACTIONS = "UPDATE bench.act SET taken_by = %s WHERE shard = %s AND taken_by = 0 RETURNING key"
Check = tuple[LiteralString, tuple[object, ...]]
"""A query with a row while the fence holds, and its values."""


class FenceLost(Exception):
    pass


@dataclass(frozen=True)
class Work:
    """The argument of an engine's process."""

    coordinator: str
    url: str
    folder: str
    machine: str
    systems: int
    interval: float
    lease: float
    concurrency: int
    """Shards an engine takes at most, for coordinators that do not share them evenly."""
    fixed: tuple[int, ...] = ()
    """Shards of an engine without a coordinator."""

    @property
    def renew(self) -> float:
        """Seconds between two heartbeats."""
        return min(RENEW_SECONDS, self.lease / 5)

    @property
    def lasts(self) -> float:
        """Seconds after which an engine without a heartbeat is dead."""
        return self.lease - self.renew


@dataclass
class Engine:
    work: Work
    stopping: asyncio.Event = field(default_factory=asyncio.Event)
    lock: asyncio.Lock = field(default_factory=asyncio.Lock)
    connection: psycopg.AsyncConnection[Any] | None = None
    down_until: float = 0.0

    def __post_init__(self) -> None:
        self._polls, self._sent, self._refused = (
            (Path(self.work.folder) / f"{os.getpid()}.{name}").open("a", buffering=1)
            for name in ("polls", "sent", "refused")
        )
        self._systems: dict[int, list[int]] = {}
        for system in range(self.work.systems):
            self._systems.setdefault(system % SHARDS, []).append(system)

    async def poll_shard(self, shard: int, check: Check) -> None:
        """Until the fence is lost (FenceLost), or the engine stops. Each system is polled at once, then in turn."""
        began = confirmed = time.monotonic()
        systems = self._systems.get(shard, [])
        pause, due, written = 0.0, began, 0.0
        while not self.stopping.is_set():
            for system in systems:
                due = max(due + pause, time.monotonic())
                await asyncio.sleep(max(0.0, due - time.monotonic()))
                if self.stopping.is_set():
                    return
                if time.monotonic() - confirmed > self.work.lease:
                    self._refused.write(f"{shard} {time.monotonic()} unconfirmed\n")
                    raise FenceLost
                self._polls.write(f"{system} {time.monotonic():.3f} {began:.6f}\n")
                if time.monotonic() - written > self.work.interval / WRITES_PER_ROUND:
                    with contextlib.suppress(psycopg.Error, TimeoutError, OSError):
                        await self._write(shard, check)
                        confirmed = written = time.monotonic()
            pause = self.work.interval / max(1, len(systems))

    async def _write(self, shard: int, check: Check) -> None:
        if time.monotonic() < self.down_until:
            raise TimeoutError
        async with self.lock:
            try:
                keys = await asyncio.wait_for(self._transaction(shard, check), QUERY_SECONDS)
            except (psycopg.Error, TimeoutError, OSError) as error:
                print("not written", repr(error), flush=True)
                self.down_until = time.monotonic() + 1.0
                if self.connection is not None:
                    self.connection.pgconn.finish()
                self.connection = None
                raise
        for key in keys:
            self._sent.write(f"{key}\n")

    async def _transaction(self, shard: int, check: Check) -> list[int]:
        if self.connection is None or self.connection.closed:
            self.connection = await psycopg.AsyncConnection.connect(self.work.url)
        async with self.connection.transaction():
            if await (await self.connection.execute(*check)).fetchone() is None:
                self._refused.write(f"{shard} {time.monotonic()} refused\n")
                raise FenceLost
            await self.connection.execute("UPDATE bench.result SET writes = writes + 1 WHERE shard = %s", (shard,))
            rows = await (await self.connection.execute(CLAIM_ACTIONS, (os.getpid(), shard))).fetchall()
            return [key for (key,) in rows]

    async def until_lost(self, shard: int, check: Check) -> None:
        with contextlib.suppress(FenceLost):
            await self.poll_shard(shard, check)


async def fixed(engine: Engine) -> None:
    """No coordinator: the cost of the polls alone."""
    query: LiteralString = "SELECT 1 FROM bench.result WHERE shard = %s FOR SHARE"
    await asyncio.gather(*(engine.until_lost(shard, (query, (shard,))) for shard in engine.work.fixed))


async def table(engine: Engine) -> None:
    """The leases of this product, renewed as `console.engine.supervisor.shard_polling` renews them."""
    work, loop = engine.work, asyncio.get_running_loop()
    lease._namespace = lambda: work.machine  # type: ignore[assignment]
    store, holder = open_database(work.url), holder_name()
    renew, lasts = work.renew, work.lasts
    held, tasks = HeldShards({}), dict[int, tuple[int, asyncio.Task[None]]]()

    def renewals() -> None:
        nonlocal held
        while not stopped.is_set():
            pause = renew
            try:
                held = hold_shards(store, holder, held.fences, lasts)
                pause = min(renew, held.expiry_s + AFTER_EXPIRY_SECONDS)
                asyncio.run_coroutine_threadsafe(follow(held), loop).result()
                if held.surplus:
                    release_shards(store, holder, {shard: held.fences[shard] for shard in held.surplus})
                    fences = {shard: fence for shard, fence in held.fences.items() if shard not in held.surplus}
                    held = HeldShards(fences)
            except (StoreError, OSError) as error:
                print("not renewed", error, flush=True)
            stopped.wait(max(0.0, pause))

    async def follow(held: HeldShards) -> None:
        fences = {shard: fence for shard, fence in held.fences.items() if shard not in held.surplus}
        for shard, (fence, task) in list(tasks.items()):
            if fences.get(shard) != fence or task.done():
                task.cancel()
                del tasks[shard]
        for shard, fence in fences.items():
            if shard not in tasks:
                check: Check = ("SELECT 1 FROM shard WHERE id = %s AND fence = %s FOR SHARE", (shard, fence))
                tasks[shard] = fence, asyncio.create_task(engine.until_lost(shard, check))

    stopped = threading.Event()
    thread = threading.Thread(target=renewals)
    thread.start()
    await engine.stopping.wait()
    stopped.set()
    await asyncio.to_thread(thread.join)
    await asyncio.to_thread(leave, store, holder, held.fences)


RUNNING: Engine | None = None
"""Of this process: chancy finds the function of a job by its name."""


async def chancy_shard(number: int, *, job: Any) -> None:
    """`job` is annotated as chancy wants it once it is imported."""
    assert RUNNING is not None
    check: Check = (
        "SELECT 1 FROM chancy_jobs WHERE id = %s AND claim_id = %s AND state = 'running' FOR SHARE",
        (job.id, job.claim_id),
    )
    await RUNNING.poll_shard(number, check)
    raise FenceLost  # as the engine stops: another one retries


async def chancy(engine: Engine) -> None:
    library, worker = importlib.import_module("chancy"), importlib.import_module("chancy.worker")
    chancy_shard.__annotations__["job"] = library.QueuedJob
    library.app.setup_default_logger().setLevel("WARNING")
    async with library.Chancy(engine.work.url, plugins=_chancy_plugins(), no_default_plugins=True) as app:
        running = worker.Worker(
            app, heartbeat_poll_interval=engine.work.renew, heartbeat_timeout=round(engine.work.lasts),
            shutdown_timeout=5, register_signal_handlers=False, backoff_max=2.0,
        )  # fmt: skip
        await running.start()
        await engine.stopping.wait()
        await running.stop()


def _chancy_plugins() -> list[Any]:
    leadership = importlib.import_module("chancy.plugins.leadership")
    recovery = importlib.import_module("chancy.plugins.recovery")
    return [leadership.Leadership(poll_interval=2, timeout=6), recovery.Recovery(poll_interval=1)]


async def seed_chancy(url: str, concurrency: int) -> None:
    library = importlib.import_module("chancy")
    async with library.Chancy(url, plugins=_chancy_plugins(), no_default_plugins=True) as app:
        await app.migrate()
        await app.declare(library.Queue("default", tags={"no worker has it"}))
        executor = library.Chancy.Executor.Async
        await app.declare(library.Queue("shards", concurrency=concurrency, executor=executor, polling_interval=1))
        job = library.Job(func=f"{__name__}.{chancy_shard.__name__}", queue="shards", max_attempts=1_000_000)
        for shard in range(SHARDS):
            await app.push(job.with_kwargs(number=shard))


def _procrastinate(url: str) -> Any:
    """Its app. A task whose fence is lost waits: to return would end the job of its new owner, which
    `procrastinate_finish_job_v1` finds by the job's id alone."""
    library = importlib.import_module("procrastinate")
    app = library.App(connector=library.PsycopgConnector(conninfo=url, min_size=1, max_size=5, timeout=5))

    @app.task(name="shard", pass_context=True, retry=library.RetryStrategy(wait=0))  # type: ignore[untyped-decorator]
    async def shard(context: Any, number: int) -> None:
        assert RUNNING is not None
        job = context.job
        check: Check = (
            "SELECT 1 FROM procrastinate_jobs WHERE id = %s AND attempts = %s AND status = 'doing' FOR SHARE",
            (job.id, job.attempts),
        )
        await RUNNING.until_lost(number, check)
        await RUNNING.stopping.wait()
        raise FenceLost  # as the engine stops: another one retries

    return app


async def procrastinate(engine: Engine) -> None:
    work = engine.work
    app = _procrastinate(work.url)
    async with app.open_async():
        sweeper = asyncio.create_task(_sweep(app, work))
        while not engine.stopping.is_set():
            worker = asyncio.create_task(
                app.run_worker_async(
                    concurrency=work.concurrency, install_signal_handlers=False, shutdown_graceful_timeout=3,
                    update_heartbeat_interval=work.renew, stalled_worker_timeout=work.lasts,
                    fetch_job_polling_interval=1.0,
                )
            )  # fmt: skip
            stop = asyncio.create_task(engine.stopping.wait())
            await asyncio.wait({worker, stop}, return_when=asyncio.FIRST_COMPLETED)
            worker.cancel()
            stop.cancel()
            for error in await asyncio.gather(worker, return_exceptions=True):
                print("worker ended", repr(error), repr(error and error.__cause__), flush=True)
            await asyncio.sleep(0.5)
        sweeper.cancel()


async def _sweep(app: Any, work: Work) -> None:
    """procrastinate retries the jobs of a dead worker only on request: once a second, by one engine at a time."""
    while True:
        await asyncio.sleep(1.0)
        with contextlib.suppress(psycopg.Error, TimeoutError, OSError):
            async with await psycopg.AsyncConnection.connect(work.url) as connection:
                cursor = await connection.execute("SELECT pg_try_advisory_xact_lock(1)")
                if not (await cursor.fetchone() or [False])[0]:
                    continue
                for job in await app.job_manager.get_stalled_jobs(seconds_since_heartbeat=work.lasts):
                    with contextlib.suppress(Exception):  # ended meanwhile
                        await app.job_manager.retry_job(job)


async def seed_procrastinate(url: str) -> None:
    app = _procrastinate(url)
    async with app.open_async():
        await app.schema_manager.apply_schema_async()
        for shard in range(SHARDS):
            await app.configure_task("shard").defer_async(number=shard)


COORDINATORS: Mapping[str, Callable[[Engine], Coroutine[Any, Any, None]]] = {
    "none": fixed, "table": table, "chancy": chancy, "procrastinate": procrastinate,
}  # fmt: skip


async def seed(coordinator: str, url: str, concurrency: int) -> None:
    """The tables of the polls, and those of the coordinator with a job for each shard."""
    seeds: dict[str, Callable[[], Awaitable[None]]] = {
        "chancy": lambda: seed_chancy(url, concurrency), "procrastinate": lambda: seed_procrastinate(url),
    }  # fmt: skip
    if coordinator in seeds:
        await seeds[coordinator]()
    elif coordinator == "table":
        await asyncio.to_thread(lambda: open_database(url).close())
    async with await psycopg.AsyncConnection.connect(url) as connection:
        await connection.execute("CREATE SCHEMA bench")
        await connection.execute("CREATE TABLE bench.result (shard int PRIMARY KEY, writes int NOT NULL DEFAULT 0)")
        await connection.execute("INSERT INTO bench.result (shard) SELECT generate_series(0, %s - 1)", (SHARDS,))
        await connection.execute(
            "CREATE TABLE bench.act (key serial PRIMARY KEY, shard int, taken_by int NOT NULL DEFAULT 0)"
        )
        await connection.execute("CREATE INDEX ON bench.act (shard) WHERE taken_by = 0")


async def _run(work: Work) -> None:
    global RUNNING
    RUNNING = Engine(work)
    loop = asyncio.get_running_loop()
    loop.add_signal_handler(signal.SIGTERM, RUNNING.stopping.set)
    await COORDINATORS[work.coordinator](RUNNING)


def main(argument: str) -> None:
    asyncio.run(_run(Work(**json.loads(argument))))
    sys.exit(0)
