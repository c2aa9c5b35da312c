"""The estate of the demo: jobs with their schedules and durations, services, and the config as TOML text.

Four schedulers of one company: three cron hosts, an Airflow, a PostgreSQL with pg_cron, Step Functions. Minutes are the
median and the 90 % quantile of the sixty nights before.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass
from fnmatch import fnmatchcase

from console.demo.playback import SINK, ZONE

NIGHTS = 60
"""Nights of history before it."""
AFTER = 3
"""Calm nights after it, for a demo that keeps running."""

Tasks = tuple[tuple[str, float, str], ...]


@dataclass(frozen=True, slots=True)
class DemoJob:
    """One job. `when` is in its scheduler's syntax; `takes` is (median, 90 %) minutes, never more than `most`."""

    name: str
    when: str
    takes: tuple[float, float]
    most: float
    what: str
    owner: str = "platform"
    reads: tuple[str, ...] = ()
    """Upstream jobs in any system; become `[[dependencies]]`."""
    tasks: Tasks = ()
    monday: float = 1.0
    """Factor on its duration on Mondays."""
    month_end: float = 1.0
    nights: int = NIGHTS
    """Nights of history that its source still has."""
    paused: bool = False
    after: str = ""
    """The job of the same system whose success starts it; `when` is then empty."""

    @property
    def system(self) -> str:
        return self.name.partition("/")[0]

    @property
    def native_id(self) -> str:
        return self.name.partition("/")[2]


CRON, FLOW, PG, SFN = "etl-hosts", "warehouse-airflow", "warehouse-pg", "payments-aws"

KINDS = {CRON: "cron", FLOW: "airflow", PG: "pg_cron", SFN: "step_functions"}
ZONES = {CRON: ZONE, FLOW: ZONE, PG: "UTC", SFN: ZONE}
VERSIONS = {
    CRON: "cron 3.0pl1 (Debian 12)",
    FLOW: "Airflow 3.0.6",
    PG: "PostgreSQL 15.8, pg_cron 1.4",
    SFN: "AWS Step Functions, eu-central-1",
}
HOSTS = {"db07": "full", "etl02": "exit", "legacy01": "start"}
"""Evidence of each cron host: our wrapper, `cron -L 15`, and Debian's default."""
TARGETS = {FLOW: "airflow", PG: "warehouse", SFN: "eu-central-1"}
RUN_AS = {"db07": "etl", "etl02": "etl", "legacy01": "root"}


def _dag(*names: str) -> Tasks:
    """Tasks with their usual shares of the duration and their operators."""
    shares = {1: (1.0,), 2: (0.3, 0.7), 3: (0.15, 0.6, 0.25), 4: (0.05, 0.3, 0.5, 0.15)}[len(names)]
    operators = {"check": "PythonSensor", "publish": "SQLExecuteQueryOperator", "stage": "PythonOperator"}
    return tuple(
        (name, share, operators.get(name.partition("_")[0], "PythonOperator"))
        for name, share in zip(names, shares, strict=True)
    )


JOBS: tuple[DemoJob, ...] = (
    # -- etl-hosts: cron ------------------------------------------------------------------------------------------
    DemoJob(f"{CRON}/db07:vacuum_staging", "30 1 * * *", (6, 9), 20, "/opt/etl/bin/vacuum_staging"),
    DemoJob(f"{CRON}/db07:extract_stock", "25 2 * * *", (20, 28), 42, "/opt/etl/bin/extract stock", "data-platform"),
    DemoJob(f"{CRON}/db07:extract_prices", "40 2 * * *", (14, 19), 40, "/opt/etl/bin/extract prices", "data-platform"),
    DemoJob(
        f"{CRON}/db07:extract_customers", "55 2 * * *", (18, 25), 42, "/opt/etl/bin/extract customers", "data-platform"
    ),
    DemoJob(
        f"{CRON}/db07:extract_orders", "10 3 * * *", (14, 22.9), 34, "/opt/etl/bin/extract orders", "data-platform",
        monday=1.3, month_end=1.4,
    ),
    DemoJob(f"{CRON}/db07:extract_shipments", "5 4 * * *", (9, 13), 30, "/opt/etl/bin/extract shipments",
        "data-platform"),
    DemoJob(f"{CRON}/db07:purge_spool", "15 3,9,15,21 * * *", (1.5, 2.5), 6, "/opt/etl/bin/purge_spool", nights=14),
    DemoJob(
        f"{CRON}/db07:export_invoices", "20 6 * * *", (11, 16), 40, "/opt/etl/bin/export invoices", "finance-data",
        reads=(f"{CRON}/db07:extract_shipments",), month_end=1.6,
    ),
    DemoJob(f"{CRON}/etl02:fetch_fx", "30 1 * * *", (2, 4), 20, "/opt/feeds/fetch fx"),
    DemoJob(f"{CRON}/etl02:fetch_weather", "0 2 * * *", (3, 5), 20, "/opt/feeds/fetch weather"),
    DemoJob(f"{CRON}/etl02:sync_catalog", "10 2 * * *", (12, 17), 40, "/opt/feeds/sync catalog"),
    DemoJob(f"{CRON}/etl02:fetch_bank", "20 4 * * *", (5, 9), 30, "/opt/feeds/fetch bank", "finance-data"),
    DemoJob(f"{CRON}/etl02:sftp_suppliers", "45 4 * * *", (7, 11), 30, "/opt/feeds/push suppliers", "supply-chain"),
    DemoJob(f"{CRON}/etl02:push_labels", "30 5 * * 1-6", (8, 12), 30, "/opt/feeds/push labels"),
    DemoJob(f"{CRON}/etl02:heartbeat", "17 * * * *", (0.1, 0.2), 1, "/opt/feeds/heartbeat", nights=7),
    DemoJob(f"{CRON}/legacy01:mirror_docs", "40 23 * * *", (25, 40), 90, "rsync -a /srv/docs/ backup:/docs/"),
    DemoJob(f"{CRON}/legacy01:rotate_logs", "30 0 * * *", (1, 2), 10, "/usr/sbin/logrotate /etc/logrotate.conf"),
    DemoJob(f"{CRON}/legacy01:backup_home", "0 1 * * *", (35, 50), 100, "/opt/legacy/backup-home.sh"),
    DemoJob(f"{CRON}/legacy01:report_mailer", "0 7 * * 1-5", (4, 6), 20, "/opt/legacy/mail-reports.sh"),
    # -- warehouse-airflow ----------------------------------------------------------------------------------------
    DemoJob(f"{FLOW}/fx_rates", "0 2 * * *", (4, 7), 25, "dags/fx_rates.py", reads=(f"{CRON}/etl02:fetch_fx",),
        tasks=_dag("load", "publish")),
    DemoJob(f"{FLOW}/load_stock", "15 3 * * *", (30, 39), 55, "dags/load_stock.py", "data-platform",
        reads=(f"{CRON}/db07:extract_stock",), tasks=_dag("check_file", "stage", "merge", "publish")),
    DemoJob(f"{FLOW}/load_prices", "30 3 * * *", (27, 38), 55, "dags/load_prices.py", "data-platform",
        reads=(f"{CRON}/db07:extract_prices", f"{FLOW}/fx_rates"), tasks=_dag("check_file", "stage", "merge")),
    DemoJob(f"{FLOW}/load_customers", "45 3 * * *", (25, 33), 55, "dags/load_customers.py", "data-platform",
        reads=(f"{CRON}/db07:extract_customers",), tasks=_dag("check_file", "stage", "merge")),
    DemoJob(f"{FLOW}/load_orders", "0 4 * * *", (12, 18.9), 36, "dags/load_orders.py", "data-platform",
        reads=(f"{CRON}/db07:extract_orders",), tasks=_dag("check_file", "stage", "merge", "publish"),
        monday=1.2, month_end=1.3),
    DemoJob(f"{FLOW}/orders_quality", "", (5, 7), 15, "dags/orders_quality.py", "data-platform",
        after=f"{FLOW}/load_orders",
        tasks=_dag("count_rows", "compare_totals")),
    DemoJob(f"{FLOW}/price_index", "45 4 * * *", (29, 38), 44, "dags/price_index.py", "pricing",
        reads=(f"{PG}/refresh_prices",), tasks=_dag("build", "compare", "publish")),
    DemoJob(f"{FLOW}/stock_cover", "0 5 * * *", (22, 29), 45, "dags/stock_cover.py", "supply-chain",
        reads=(f"{PG}/refresh_stock",), tasks=_dag("collect", "cover", "publish")),
    DemoJob(f"{FLOW}/crm_segments", "15 5 * * *", (41, 55), 90, "dags/crm_segments.py", "crm",
        reads=(f"{PG}/refresh_customers",), tasks=_dag("features", "score", "publish")),
    DemoJob(f"{FLOW}/supply_plan", "30 5 * * *", (38, 57), 58.5, "dags/supply_plan.py", "supply-chain",
        reads=(f"{PG}/refresh_supply", f"{PG}/refresh_stock"), tasks=_dag("collect", "plan", "check_plan", "publish"),
        monday=1.1),
    DemoJob(f"{FLOW}/weekly_forecast", "0 6 * * 1", (50, 65), 110, "dags/weekly_forecast.py", "supply-chain",
        tasks=_dag("train", "score", "publish")),
    DemoJob(f"{FLOW}/legacy_crm_export", "30 2 * * *", (10, 12), 20, "dags/legacy_crm_export.py", "crm", paused=True,
        nights=0, tasks=_dag("export", "publish")),
    # -- warehouse-pg: pg_cron, whose clock is GMT -----------------------------------------------------------------
    DemoJob(f"{PG}/partition_roll", "30 22 * * *", (1, 2), 10, "SELECT maint.roll_partitions()"),
    DemoJob(f"{PG}/analyze_hot", "0 0 * * *", (6, 9), 25, "SELECT maint.analyze_hot()"),
    DemoJob(f"{PG}/purge_sessions", "0 1 * * *", (3, 5), 20, "CALL web.purge_sessions('30 days')"),
    DemoJob(f"{PG}/refresh_stock", "15 3 * * *", (15, 21), 30, "CALL mart.refresh_stock()", "data-platform",
        reads=(f"{FLOW}/load_stock",)),
    DemoJob(f"{PG}/refresh_prices", "30 3 * * *", (9, 12), 14, "CALL mart.refresh_prices()", "data-platform",
        reads=(f"{FLOW}/load_prices",)),
    DemoJob(f"{PG}/refresh_customers", "45 3 * * *", (12, 17), 26, "CALL mart.refresh_customers()", "crm",
        reads=(f"{FLOW}/load_customers",)),
    DemoJob(f"{PG}/refresh_supply", "40 3 * * *", (22, 31), 46, "CALL mart.refresh_supply()", "supply-chain",
        reads=(f"{FLOW}/load_orders",)),
    DemoJob(f"{PG}/revenue_mart", "20 4 * * *", (17, 25), 38, "CALL mart.build_revenue()", "finance-data",
        reads=(f"{FLOW}/load_orders",), month_end=1.4),
    # -- payments-aws: Step Functions, started by EventBridge ------------------------------------------------------
    DemoJob(f"{SFN}/fraud_score", "0 1 * * *", (16, 22), 60, "fraud_score", "payments"),
    DemoJob(f"{SFN}/settle_refunds", "0 5 * * *", (7, 10), 30, "settle_refunds", "payments"),
    DemoJob(f"{SFN}/reconcile_bank", "40 5 * * *", (13, 18), 45, "reconcile_bank", "finance-data",
        reads=(f"{CRON}/etl02:fetch_bank",)),
    DemoJob(f"{SFN}/settle_orders", "0 6 * * *", (14, 20), 40, "settle_orders", "payments",
        reads=(f"{PG}/revenue_mart",)),
    DemoJob(f"{SFN}/invoice_batch", "50 6 * * *", (9, 13), 40, "invoice_batch", "finance-data",
        reads=(f"{CRON}/db07:export_invoices",)),
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class DemoService:
    name: str
    title: str
    delivered_by: tuple[str, ...]
    deadline: str
    tier: int
    owner: str


SERVICES: tuple[DemoService, ...] = (
    DemoService("daily-revenue", "Daily revenue", (f"{PG}/revenue_mart", f"{SFN}/settle_orders"), "07:30", 1,
            "finance-data"),
    DemoService("supply-plan", "Supply plan", (f"{FLOW}/supply_plan",), "06:30", 2, "supply-chain"),
    DemoService("stock-cover", "Stock cover", (f"{FLOW}/stock_cover",), "06:15", 2, "supply-chain"),
    DemoService("price-list", "Price list", (f"{FLOW}/price_index",), "05:30", 3, "pricing"),
    DemoService("customer-segments", "Customer segments", (f"{FLOW}/crm_segments",), "08:00", 4, "crm"),
)  # fmt: skip

SAFE = ("extract_*", "load_*", "refresh_*", "orders_quality", "revenue_mart", "*_index", "stock_cover", "supply_plan")
"""Patterns of jobs that are safe to rerun."""
NEVER = ("settle_refunds", "invoice_batch")
"""Jobs that transfer money."""


def rerun_of(plain: str) -> str:
    if plain in NEVER:
        return "never"
    return "safe" if any(fnmatchcase(plain, pattern) for pattern in SAFE) else "ask"


HEADING = "# The estate of the recorded night, made by `python -m tests.demo.generate`; paths are beside this file.\n"


def config_text() -> str:
    """The demo's config. Its paths are those of `DemoPlayback`, relative to the config's folder."""
    tables = [HEADING, '[estate]\nname = "demo night"\nstore = "headway.db"\nstarts_in = "live"\n']
    tables += ['[acting]\ncards = ["owner", "runbook", "rerun"]\n']
    tables += [_system(name) for name in KINDS]
    tables += [_job(job) for job in JOBS]
    tables += _dependencies()
    tables += [_service(service) for service in SERVICES]
    tables += [f"[routes.oncall]\nurls = [{{ env = {_text(SINK)} }}]\n", '[alerts]\ndefault_route = "oncall"\n']
    return "\n".join(tables)


def _text(value: str) -> str:
    return json.dumps(value)


def _system(name: str) -> str:
    return (
        f'[systems.{name}]\nkind = "replay"\nas = {_text(KINDS[name])}\nsystem = {_text(name)}\n'
        'night = "night.json.gz"\nactions = "actions.jsonl"\nclock_file = "clock.json"\n'
        f'poll_every = "15s"\ntimezone = {_text(ZONE)}\n'
    )


def _job(job: DemoJob) -> str:
    plain = job.native_id.partition(":")[2] or job.native_id
    runbook = f"https://runbooks.example/{plain.replace('_', '-')}"
    declared = rerun_of(plain)
    rerun = "" if declared == "ask" else f"rerun = {_text(declared)}\n"
    return f"[jobs.{_text(job.name)}]\nowner = {_text(job.owner)}\nrunbook = {_text(runbook)}\n{rerun}"


def _dependencies() -> Iterator[str]:
    for job in JOBS:
        for upstream in job.reads:
            yield f"[[dependencies]]\nupstream = {_text(upstream)}\ndownstream = {_text(job.name)}\n"


def _service(service: DemoService) -> str:
    ends = ", ".join(_text(name) for name in service.delivered_by)
    return (
        f"[services.{service.name}]\ntitle = {_text(service.title)}\ndelivered_by = [{ends}]\n"
        f"deadline = {_text(service.deadline)}\ntimezone = {_text(ZONE)}\ntier = {service.tier}\n"
        f"owner = {_text(service.owner)}\nrunbook = {_text(f'https://runbooks.example/{service.name}')}\n"
    )
