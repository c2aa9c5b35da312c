"""Who asks, and where: read by the `kubernetes` package from a kubeconfig or the pod's own files, as kubectl does.

The package signs in, renews tokens and runs the commands that a kubeconfig names; what it finds goes over the door that
all REST connectors share, since its own client knows no deadline for a whole answer and no limit of its size.
"""

from __future__ import annotations

import ssl
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from connectors.contract import AccessRefused, Secrets
from connectors.kubernetes.options import KubernetesOptions
from connectors.secrets import remembering
from connectors.transport.account import Account

EXTRA = 'the package kubernetes is missing: install "headway[kubernetes]"'


@dataclass(frozen=True, slots=True)
class WayIn:
    """The API server's address, what verifies it (None: the machine's CAs or `ca_file`), and who asks."""

    url: str
    context: ssl.SSLContext | None
    account: Account


class KubeAccount(Account):
    """Signs in with what the `kubernetes` package has loaded; loaded anew once it is refused."""

    def __init__(self, secrets: Secrets, load: Callable[[], Any], loaded: Any) -> None:
        super().__init__(secrets, None, None, None)
        self._load, self._loaded, self._was_asked = load, loaded, False

    def headers(self) -> dict[str, str]:
        """As the package has them now: it renews a token that has passed."""
        if self._headers is None and self._was_asked:
            self._loaded = self._load()
        self._was_asked = True
        self._headers = _headers(self._loaded)
        remember = remembering(self._secrets)
        for value in self._headers.values():
            remember(value.rpartition(" ")[2])
        return self._headers


def way_in(options: KubernetesOptions, secrets: Secrets) -> WayIn:
    """From the options. Raises AccessRefused."""
    if options.url is not None:
        return WayIn(options.url, None, Account(secrets, None, None, options.token))

    def load() -> Any:
        return _loaded(options)

    loaded = load()
    if getattr(loaded, "proxy", None):
        raise AccessRefused("Kubernetes: the kubeconfig names a proxy-url: proxies are not used, give a direct server")
    if getattr(loaded, "tls_server_name", None):
        raise AccessRefused("Kubernetes: the kubeconfig names a tls-server-name: give a server of that name")
    return WayIn(str(loaded.host), _context(loaded), KubeAccount(secrets, load, loaded))


def _loaded(options: KubernetesOptions) -> Any:
    try:
        from kubernetes import client, config
    except ImportError:
        raise AccessRefused(f"Kubernetes: {EXTRA}") from None
    found, where = client.Configuration(), "in_cluster"
    try:
        if options.in_cluster:
            config.load_incluster_config(client_configuration=found)
        else:
            where = str(options.kubeconfig)
            path = str(options.kubeconfig.expanduser()) if options.kubeconfig else ""
            config.load_kube_config(path, options.context, client_configuration=found, persist_config=False)
    except Exception as error:  # noqa: BLE001  commands, YAML and files of others: whatever fails there is a refusal
        raise AccessRefused(f"Kubernetes: {where}: no account can be read ({type(error).__name__}: {error})") from None
    if not found.verify_ssl:
        raise AccessRefused(
            f"Kubernetes: {where} says insecure-skip-tls-verify: verification cannot be switched off; "
            "name the cluster's certificate-authority there"
        )
    if not (found.api_key or found.cert_file or found.username):
        raise AccessRefused(
            f"Kubernetes: {where}: neither token nor certificate came of it: its user has none, or its command fails"
            " (the log has what that said). Try: kubectl auth can-i list cronjobs"
        )
    return found


def _headers(loaded: Any) -> dict[str, str]:
    try:
        token = loaded.auth_settings().get("BearerToken", {}).get("value")
    except Exception as error:  # noqa: BLE001  as above: it may run a command
        raise AccessRefused(f"Kubernetes: the token cannot be renewed ({type(error).__name__}: {error})") from None
    if token:
        scheme, _, value = str(token).strip().rpartition(" ")
        return {"Authorization": f"{scheme.capitalize() or 'Bearer'} {value}"}
    basic = loaded.get_basic_auth_token() if loaded.username or loaded.password else None
    return {"Authorization": str(basic)} if basic else {}


def _context(loaded: Any) -> ssl.SSLContext:
    try:
        inline = getattr(loaded, "ca_cert_data", None)  # younger than the oldest package that is allowed
        context = ssl.create_default_context(cafile=loaded.ssl_ca_cert or None, cadata=inline)
        if loaded.cert_file:
            context.load_cert_chain(loaded.cert_file, loaded.key_file or None)
    except (OSError, ValueError) as error:
        raise AccessRefused(f"Kubernetes: the certificates of the kubeconfig cannot be read: {error}") from None
    return context
