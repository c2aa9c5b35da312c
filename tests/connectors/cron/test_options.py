from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from connectors.cron.options import CronOptions
from connectors.sdk.secrets import LITERAL_REFUSED
from connectors.sdk.transport.hosts import address, targets
from console.config.document import ConfigFaults
from console.config.loading import load_config
from tests.rows import each_row


def options(**values: Any) -> CronOptions:
    return CronOptions.model_validate({"hosts": ["db07"], "key": "/etc/headway/key", **values})


def test_host_has_the_systems_defaults_and_its_own_address() -> None:
    result = options(hosts=["db07", {"name": "etl02", "address": "127.0.0.1", "port": 2222, "user": "ops"}])
    assert targets(result) == ["db07", "etl02"]
    first, second = (address(result, name, lambda reference: "") for name in targets(result))
    assert (first.address, first.port, first.user) == ("db07", 22, "headway")
    assert (second.address, second.port, second.user) == ("127.0.0.1", 2222, "ops")
    assert first.key_file == Path("/etc/headway/key")


def test_key_may_be_a_reference_and_never_a_literal() -> None:
    result = address(options(key={"env": "SSH_KEY"}), "db07", lambda reference: "SECRET")
    assert (result.key_file, result.key_text) == (None, "SECRET\n")
    assert "SECRET" not in repr(result)
    with pytest.raises(ValidationError, match=LITERAL_REFUSED):
        options(key_passphrase="hunter2")


KEY = "-----BEGIN OPENSSH PRIVATE KEY-----\nCANARY\n-----END OPENSSH PRIVATE KEY-----\n"


@pytest.mark.parametrize("value", [KEY, KEY.replace("\n", " "), "CANARY\nb64"])
@pytest.mark.parametrize("setting", ["key", "known_hosts", "file of key"])
def test_a_pasted_key_is_refused_and_never_repeated(setting: str, value: str, tmp_path: Path) -> None:
    """As a path it would stand in every error about the file that is not there."""
    written = {"key": '"/etc/headway/key"', setting: json.dumps(value)}
    if setting == "file of key":
        written = {"key": f"{{ file = {json.dumps(value)} }}"}
    config = tmp_path / "headway.toml"
    lines = "".join(f"{name} = {item}\n" for name, item in written.items())
    config.write_text(f'[systems.etl]\nkind = "cron"\nhosts = ["db07"]\n{lines}')
    with pytest.raises(ConfigFaults) as raised:
        load_config(config)
    faults = [str(fault) for fault in raised.value.faults]
    assert any("the text of a secret" in item for item in faults), faults
    assert "CANARY" not in "".join(faults)


@each_row(
    "values",
    [
        {"hosts": []},
        {"hosts": ["db07", {"name": "db07"}]},
        {"hosts": ["a b"]},
        {"hosts": [{"name": "x", "colour": "red"}]},
        {"user": "-oProxyCommand=x"},
        {"users": ["etl; rm"]},
        {"spool": "relative"},
        {"spool": "/var/'; touch /tmp/x; '"},
        {"logs": []},
        {"logs": ["/var/log/my cron.log"]},  # the gate parts its list of them at blanks
        {"port": 0},
        {"colour": "red"},
    ],
)
def test_unfit_setting_is_refused(values: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        options(**values)
