"""Debian's promtool and Prometheus read the metrics of a real engine, and take the rules of examples/."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path

import httpx

from tests.lab.headway import Headway
from tests.lab.process import Daemon, ask, free_port, wait_until

EXAMPLES = Path(__file__).parents[2] / "examples"
TOKEN = "canary-0123456789abcdef"
CONFIG = """
[endpoints]
listen = "127.0.0.1:{port}"
token = {{ env = "ENDPOINT_TOKEN" }}

[systems.people]
kind = "manual"

[systems.people.steps.count]
at = "06:00"

[services.stock]
delivered_by = ["people/count"]
deadline = "07:00"
timezone = "UTC"
"""


INTERRUPTED = '{service="stock",tier="1"}'
NO_ENGINE = "No Headway engine answers: nothing is watched and nobody is notified"


def promtool(*arguments: str, text: str | None = None) -> str:
    done = subprocess.run(["promtool", *arguments], input=text, capture_output=True, text=True)
    assert 0 == done.returncode, done.stdout + done.stderr
    return done.stdout + done.stderr


def test_promtool_takes_the_rules_the_config_and_the_metrics_that_they_name(tmp_path: Path) -> None:
    promtool("check", "config", str(EXAMPLES / "prometheus" / "prometheus.yml"))
    tests = tmp_path / "tests.yml"
    tests.write_text(
        json.dumps(
            {
                "rule_files": [str(EXAMPLES / "prometheus" / "headway-rules.yml")],
                "evaluation_interval": "1m",
                "tests": [
                    {
                        "interval": "1m",
                        "input_series": [
                            {"series": 'up{job="headway",instance="a"}', "values": "1 1 0 0 0"},
                            {"series": 'up{job="headway",instance="b"}', "values": "1 0 0 0 0"},
                            {"series": f"headway_service_late_probability{INTERRUPTED}", "values": "0x7"},
                            {"series": f"headway_service_act_by_seconds{INTERRUPTED}", "values": "7200-60x7"},
                        ],
                        "alert_rule_test": [
                            {"eval_time": "6m", "alertname": "HeadwayServiceLikelyLate"},
                            {
                                "eval_time": "6m",
                                "alertname": "HeadwayServiceInterrupted",
                                "exp_alerts": [
                                    {
                                        "exp_labels": {"severity": "warning", "service": "stock", "tier": "1"},
                                        "exp_annotations": {
                                            "summary": "stock is interrupted: 1h 54m 0s until its act-by"
                                        },
                                    }
                                ],
                            },
                            {"eval_time": "3m", "alertname": "HeadwayDown"},
                            {
                                "eval_time": "4m",
                                "alertname": "HeadwayDown",
                                "exp_alerts": [
                                    {
                                        "exp_labels": {"severity": "critical", "job": "headway"},
                                        "exp_annotations": {"summary": NO_ENGINE},
                                    }
                                ],
                            },
                        ],
                    }
                ],
            }
        )
    )
    promtool("test", "rules", str(tests))


def test_prometheus_scrapes_a_real_engine_and_every_series_of_the_examples_is_there(tmp_path: Path) -> None:
    port, web = free_port(), free_port()
    config = tmp_path / "headway.toml"
    config.write_text(CONFIG.format(port=port))
    config.chmod(0o600)
    headway = Headway(config, ENDPOINT_TOKEN=TOKEN)
    url = f"http://127.0.0.1:{port}/metrics"
    bearer = {"Authorization": f"Bearer {TOKEN}"}
    (tmp_path / "token").write_text(TOKEN)
    scrape = {
        "job_name": "headway",
        "static_configs": [{"targets": [f"127.0.0.1:{port}"]}],
        "authorization": {"credentials_file": str(tmp_path / "token")},
    }
    prometheus_config = {"global": {"scrape_interval": "1s"}, "scrape_configs": [scrape]}
    (tmp_path / "prometheus.yml").write_text(json.dumps(prometheus_config))
    argv = ["prometheus", f"--config.file={tmp_path / 'prometheus.yml'}", f"--storage.tsdb.path={tmp_path / 'tsdb'}"]
    prometheus = Daemon([*argv, f"--web.listen-address=127.0.0.1:{web}"], tmp_path / "prometheus.log", {})

    def result(query: str) -> list[dict[str, object]]:
        reply = ask("GET", f"http://127.0.0.1:{web}/api/v1/query", params={"query": query})
        rows: list[dict[str, object]] = reply.raise_for_status().json()["data"]["result"]
        return rows

    def answered() -> bool:
        try:
            return bool(result('headway_target_up{system="people"} == 1'))
        except (httpx.HTTPError, ValueError):  # before it is ready it answers in plain text
            return False

    with headway.running_engine():
        prometheus.start()
        try:
            wait_until(answered, "Prometheus has a poll of the engine")
            promtool("check", "metrics", text=ask("GET", url, headers=bearer).text)
            assert result('up{job="headway"} == 1')
            dashboard = json.loads((EXAMPLES / "grafana" / "headway.json").read_text())
            queries = {target["expr"] for panel in dashboard["panels"] for target in panel["targets"]}
            without_forecast = {"headway_service_late_probability", "headway_service_act_by_seconds"}
            assert set() == {query for query in queries if not result(query)} - without_forecast
            assert 1 == len(result('headway_service_deadline_seconds{service="stock"}'))
            assert TOKEN not in ask("GET", url, headers=bearer).text
        finally:
            prometheus.stop()
