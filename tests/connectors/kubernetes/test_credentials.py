"""Ways in: a kubeconfig as the `kubernetes` package reads it, address and token; and what is refused with its fix."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import certifi
import httpx
import pytest
from kubernetes.config import incluster_config
from pydantic import ValidationError

from connectors.kubernetes.connector import CONNECTOR, KubernetesConnector
from connectors.kubernetes.options import CLUSTER_TARGET, KubernetesOptions
from connectors.sdk.errors import AccessRefused
from tests.connectors.kubernetes.support import cluster, opened
from tests.fakes.kubernetes import URL, FakeKubernetes
from tests.rows import each_row


def kubeconfig(folder: Path, user: dict[str, Any], **cluster_: Any) -> Path:
    path = folder / "config"
    body = {
        "clusters": [{"name": "prod", "cluster": {"server": URL, **cluster_}}],
        "users": [{"name": "me", "user": user}],
        "contexts": [{"name": "prod", "context": {"cluster": "prod", "user": "me"}}],
        "current-context": "prod",
    }
    path.write_text(json.dumps(body), encoding="utf-8")
    return path


def by(fake: FakeKubernetes, path: Path, **options: Any) -> KubernetesConnector:
    chosen = KubernetesOptions(kubeconfig=path, **options)
    return KubernetesConnector(chosen, CLUSTER_TARGET, lambda reference: "", fake.transport)


def test_token_of_a_kubeconfig_is_used_and_read_again_when_it_is_refused(tmp_path: Path) -> None:
    fake, path = cluster(), kubeconfig(tmp_path, {"token": "right"})
    connector = by(fake, path)
    assert connector.inventory("", 10).complete
    path = kubeconfig(tmp_path, {"token": "wrong"})
    connector = by(fake, path)
    with pytest.raises(AccessRefused, match="401"):
        connector.inventory("", 10)
    kubeconfig(tmp_path, {"token": "right"})
    assert connector.inventory("", 10).complete


def test_command_of_a_kubeconfig_is_run_for_its_token(tmp_path: Path) -> None:
    details = {"apiVersion": "client.authentication.k8s.io/v1", "kind": "ExecCredential", "status": {"token": "right"}}
    command = {"apiVersion": details["apiVersion"], "command": sys.executable, "interactiveMode": "Never",
               "args": ["-c", f"print({json.dumps(json.dumps(details))})"]}  # fmt: skip
    assert by(cluster(), kubeconfig(tmp_path, {"exec": command})).inventory("", 10).complete


def test_a_failing_command_is_a_refusal_and_its_output_is_logged(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    command = {"apiVersion": "client.authentication.k8s.io/v1", "command": sys.executable, "interactiveMode": "Never",
               "args": ["-c", "import sys; sys.exit('sign in first: aws sso login')"]}  # fmt: skip
    connector = by(cluster(), kubeconfig(tmp_path, {"exec": command}))
    with pytest.raises(AccessRefused, match="its command fails"):
        connector.inventory("", 10)
    assert "sign in first: aws sso login" in caplog.text


def test_certificates_that_are_not_verified_are_refused(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "right"}, **{"insecure-skip-tls-verify": True})
    with pytest.raises(AccessRefused, match="verification cannot be switched off"):
        by(cluster(), path).inventory("", 10)


def test_a_proxy_in_a_kubeconfig_is_refused_with_its_fix(tmp_path: Path) -> None:
    path = kubeconfig(tmp_path, {"token": "right"}, **{"proxy-url": "http://proxy:3128"})
    with pytest.raises(AccessRefused, match="proxies are not used"):
        by(cluster(), path).inventory("", 10)


@pytest.mark.parametrize("text", ["", "not: [yaml", "clusters: 7", '{"current-context": "x"}'])
def test_kubeconfig_that_cannot_be_read_is_a_refusal_that_names_it(tmp_path: Path, text: str) -> None:
    path = tmp_path / "broken"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(AccessRefused, match="broken"):
        by(cluster(), path).inventory("", 10)


def test_context_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(AccessRefused, match="staging"):
        by(cluster(), kubeconfig(tmp_path, {"token": "right"}), context="staging").inventory("", 10)


def test_without_the_package_its_extra_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "kubernetes", None)
    with pytest.raises(AccessRefused, match=r'install "headway\[kubernetes\]"'):
        by(cluster(), kubeconfig(tmp_path, {"token": "right"})).inventory("", 10)


def test_a_pod_in_the_cluster_uses_its_own_account(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    token = tmp_path / "token"
    token.write_text("right", encoding="utf-8")
    monkeypatch.setattr(incluster_config, "SERVICE_TOKEN_FILENAME", str(token))
    monkeypatch.setattr(incluster_config, "SERVICE_CERT_FILENAME", certifi.where())
    monkeypatch.setenv("KUBERNETES_SERVICE_HOST", "10.0.0.1")
    monkeypatch.setenv("KUBERNETES_SERVICE_PORT", "443")
    fake = cluster()
    options = KubernetesOptions(in_cluster=True)
    assert KubernetesConnector(options, CLUSTER_TARGET, lambda reference: "", fake.transport).inventory("", 10).complete


def test_outside_of_a_pod_in_cluster_is_refused() -> None:
    connector = KubernetesConnector(KubernetesOptions(in_cluster=True), CLUSTER_TARGET, lambda reference: "")
    with pytest.raises(AccessRefused, match="in_cluster"):
        connector.inventory("", 10)


def test_opening_a_connector_reads_no_file_and_sends_nothing(tmp_path: Path) -> None:
    options = KubernetesOptions(kubeconfig=tmp_path / "not there")
    CONNECTOR.open(options, CLUSTER_TARGET, lambda reference: "").close()


@each_row(
    "given, text",
    [
        ({}, "one of the three"),
        ({"kubeconfig": "x", "in_cluster": True}, "one of the three"),
        ({"url": URL}, "belong together"),
        ({"url": URL, "token": {"env": "T"}, "context": "x"}, "give kubeconfig as well"),
        ({"in_cluster": True, "ca_file": "x"}, "go with url"),
        ({"url": "http://k8s.example.com", "token": {"env": "T"}}, "unencrypted"),
        ({"in_cluster": True, "namespaces": ["No_Such"]}, "namespaces"),
    ],
)
def test_settings_that_do_not_go_together_say_so(given: dict[str, Any], text: str) -> None:
    with pytest.raises(ValidationError, match=text):
        KubernetesOptions.model_validate(given)


def test_a_web_server_that_is_no_cluster_is_reported_as_one() -> None:
    answer = httpx.MockTransport(lambda request: httpx.Response(200, json={"hello": "world"}))
    with pytest.raises(Exception, match="is the url that of a cluster's API"):
        opened(cluster(), answer).inventory("", 10)
