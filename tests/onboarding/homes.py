"""Homes as people have them: what each scheduler's own tools leave there, made for one test."""

from __future__ import annotations

import json
from pathlib import Path

from console.onboarding.schedulers import Machine

SECRET = "CANARY-hunter2"
"""Stands wherever a real home has a secret: it is told nowhere."""

AWS_CONFIG = """\
[default]
region = eu-central-1
[profile prod]
region = eu-west-1
sso_session = corp
[profile no-region]
output = json
[sso-session corp]
sso_region = eu-west-1
"""
AWS_CREDENTIALS = f"""\
[default]
aws_access_key_id = AKIA{SECRET}
aws_secret_access_key = {SECRET}
[old-laptop]
aws_access_key_id = AKIA{SECRET}
"""
DATABRICKS = f"""\
[DEFAULT]
host = https://adb-1.azuredatabricks.net
token = {SECRET}
[staging]
host = https://adb-2.azuredatabricks.net
"""
KUBE = f"""\
apiVersion: v1
clusters:
- cluster:
    server: https://k8s.internal:6443
  name: prod
contexts:
- context:
    cluster: prod
    user: me
  name: prod-admin
- context:
    cluster: prod
  name: batch
current-context: prod-admin
users:
- name: me
  user:
    token: {SECRET}
"""
SSH = """\
Host *
  ServerAliveInterval 30
Host db07 etl02
  HostName 10.0.0.7
  User ops
  Port 2222
  IdentityFile ~/.ssh/ops_ed25519
Host *.internal !bad
  User root
# Host commented
Host legacy
  HostName=legacy.internal
"""
AIRFLOW = f"""\
[core]
dags_folder = {{home}}/airflow/dags
fernet_key = {SECRET}
[api]
base_url = http://localhost:8080/
"""
TIMERS = [{"unit": "logrotate.timer", "activates": "logrotate.service"}, {"unit": "backup.timer", "activates": "x"}]


def put(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)


def full_home(home: Path) -> dict[str, str]:
    """A home with something of every kind; the environment that belongs to it."""
    put(home / ".aws/config", AWS_CONFIG)
    put(home / ".aws/credentials", AWS_CREDENTIALS)
    put(home / ".databrickscfg", DATABRICKS)
    put(home / ".kube/config", KUBE)
    put(home / ".ssh/config", SSH)
    put(home / "airflow/airflow.cfg", AIRFLOW.format(home=home))
    for name in ("load.py", "mart.py", "sub/later.py"):
        put(home / "airflow/dags" / name, "")
    put(home / "bin/systemctl", f"#!/bin/sh\ncat <<'END'\n{json.dumps(TIMERS)}\nEND\n")
    (home / "bin/systemctl").chmod(0o755)
    return {"PATH": f"{home}/bin:/usr/bin:/bin", "HOME": str(home)}


def machine(home: Path, **env: str) -> Machine:
    """That home on a machine without servers of its own."""
    return Machine(home, {**full_home(home), **env}, etc=home / "etc", sockets=(), roots=(home / "opt",))
