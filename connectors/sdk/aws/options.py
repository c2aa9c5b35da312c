"""Settings of every AWS system: one region of one account, and the identity that signs in."""

from __future__ import annotations

from typing import Annotated, Self

from pydantic import StrictBool, model_validator

from connectors.sdk.option_errors import StrictOptions, formatted_like
from connectors.sdk.secrets import FilePath, SecretRef
from connectors.sdk.transport.http import checked_origin


class AwsIdentity(StrictOptions):
    """Which region, and who asks: two keys, a profile, or what the engine's own machine is in AWS."""

    region: Annotated[str, formatted_like(r"[a-z]{2}(-[a-z]+)+-[0-9]{1,2}", "eu-central-1")]
    """AWS region: "eu-central-1"."""
    access_key_id: SecretRef | None = None
    """Access key, with secret_access_key. Without keys and profile: AWS's usual chain (environment, instance role)."""
    secret_access_key: SecretRef | None = None
    """Its secret; both are read again when AWS refuses them."""
    session_token: SecretRef | None = None
    """Session token of temporary keys."""
    profile: str | None = None
    """Profile of the AWS config files of the engine's user, instead of keys."""

    @model_validator(mode="after")
    def one_identity(self) -> Self:
        if (self.access_key_id is None) != (self.secret_access_key is None):
            raise ValueError("access_key_id and secret_access_key belong together: give both or none")
        if self.profile is not None and self.access_key_id is not None:
            raise ValueError("a profile brings its own keys: drop access_key_id and secret_access_key, or the profile")
        if self.session_token is not None and self.access_key_id is None:
            raise ValueError("session_token belongs to access_key_id and secret_access_key")
        return self


class AwsOptions(AwsIdentity):
    """An identity, and the address of the service."""

    endpoint_url: str | None = None
    """Another address of the service: a VPC endpoint, or a moto server in tests."""
    plain_http: StrictBool = False
    """Allows http:// to an address that is not this machine."""
    ca_file: FilePath | None = None
    """PEM file of the CA that signed endpoint_url's certificate; the machine's own CAs when not given."""

    @model_validator(mode="after")
    def one_origin(self) -> Self:
        for name in type(self).model_fields:
            address = getattr(self, name) if name.endswith("endpoint_url") else None
            if address is not None:
                checked_origin(address, self.plain_http)
        return self


class AwsLogOptions(AwsOptions):
    """The settings of kinds whose logs are in CloudWatch."""

    logs_endpoint_url: str | None = None
    """Another address of CloudWatch Logs. With endpoint_url and without this, logs are not read."""

    @property
    def reads_logs(self) -> bool:
        """False where only the address of another service is known."""
        return self.endpoint_url is None or self.logs_endpoint_url is not None


def targets(options: AwsOptions) -> list[str]:
    return [options.region]
