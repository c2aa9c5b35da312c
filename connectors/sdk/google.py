"""Google's identities: the key of a service account, or the service account of the engine's own machine.

Sources: Google, "Using OAuth 2.0 for Server to Server Applications", and the metadata server.
"""

from __future__ import annotations

import base64
import json
import time
from collections.abc import Callable

from connectors.sdk import fields
from connectors.sdk.contract import SecretResolver
from connectors.sdk.errors import AccessRefused, RecordUnreadable
from connectors.sdk.fields import masked_head
from connectors.sdk.option_errors import StrictOptions
from connectors.sdk.secrets import SecretRef
from connectors.sdk.transport.call_limits import Deadline
from connectors.sdk.transport.http import AUTHORIZATION, HttpEndpoint, HttpReply, Transport
from connectors.sdk.transport.sign_in import SIGN_IN_REFUSED, RenewedAccount, lifetime_of

GOOGLE_SCOPE = "https://www.googleapis.com/auth/cloud-platform"
GOOGLE_TOKEN_URL = "https://oauth2.googleapis.com"  # noqa: S105  an address
GOOGLE_METADATA_URL = "http://metadata.google.internal"
GOOGLE_METADATA_TOKEN_PATH = "/computeMetadata/v1/instance/service-accounts/default/token"  # noqa: S105  a path
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"
ASSERTION_LIFETIME_SECONDS = 3600


class GoogleOptions(StrictOptions):
    key: SecretRef | None = None
    """A service account's key, the JSON file as Google made it; without it, the service account of the engine's own
    machine in Google Cloud."""


class GoogleIdentity:
    """Obtains tokens of one identity."""

    def __init__(self, options: GoogleOptions, secrets: SecretResolver, transport: Transport = None) -> None:
        self._options, self._secrets = options, secrets
        url = GOOGLE_METADATA_URL if options.key is None else GOOGLE_TOKEN_URL
        self.endpoint = HttpEndpoint("Google", url, None, transport)

    def token(self, deadline: Deadline, now: float) -> tuple[str, float]:
        """A new token, and the seconds that it lasts. Raises AccessRefused."""
        reply = self._request(deadline, now)
        table = reply.table()
        token = table.get("access_token")
        if not isinstance(token, str) or not token:
            raise AccessRefused(f"{reply.place} holds no access_token")
        return token.rstrip("."), lifetime_of(table.get("expires_in"))  # some tokens are padded with dots

    def _request(self, deadline: Deadline, now: float) -> HttpReply:
        if self._options.key is None:
            flavor, scopes = {"Metadata-Flavor": "Google"}, {"scopes": GOOGLE_SCOPE}
            return self.endpoint.call("GET", GOOGLE_METADATA_TOKEN_PATH, deadline, params=scopes, headers=flavor)
        form = {"grant_type": JWT_GRANT, "assertion": signed_assertion(self._secrets(self._options.key), now)}
        reply = self.endpoint.call("POST", "/token", deadline, form=form, accept=SIGN_IN_REFUSED)
        if reply.status >= 400:
            try:
                table = reply.table()
                named = [str(table[name]) for name in ("error", "error_description") if table.get(name)]
                texts = [masked_head(text, 200) for text in named]
                why = ": ".join(texts) or "no message"
            except AccessRefused:
                why = str(reply.status)
            raise AccessRefused(f"{reply.place}: Google refuses the key ({why}). Renew the reference in google.")
        return reply


class GoogleAccount(RenewedAccount):
    """The bearer token of an identity with each request."""

    def __init__(
        self, identity: GoogleIdentity, secrets: SecretResolver, monotonic: Callable[[], float] = time.monotonic
    ) -> None:
        super().__init__(secrets, monotonic)
        self._identity = identity

    def _sign_in(self) -> tuple[dict[str, str], float]:
        token, seconds = self._identity.token(self.deadline, time.time())
        self._mask(token)
        return {AUTHORIZATION: f"Bearer {token}"}, seconds

    def close(self) -> None:
        self._identity.endpoint.close()


def signed_assertion(key: str, now: float) -> str:
    """A JWT signed with a service account's key. Raises AccessRefused, without parts of the key, for an invalid key."""
    from cryptography.exceptions import UnsupportedAlgorithm
    from cryptography.hazmat.primitives import hashes, serialization
    from cryptography.hazmat.primitives.asymmetric import padding, rsa

    try:
        row = fields.table(json.loads(key))
        private = serialization.load_pem_private_key(fields.text(row, "private_key").encode(), None)
        account, kid = fields.text(row, "client_email"), fields.text(row, "private_key_id")
        if not isinstance(private, rsa.RSAPrivateKey):
            raise ValueError("its private_key is not an RSA key")
    except (ValueError, TypeError, RecursionError, RecordUnreadable, UnsupportedAlgorithm):
        raise AccessRefused(
            "Google: google.key does not refer to the key of a service account. Give the JSON file from Google with "
            "client_email, private_key_id and private_key."
        ) from None
    claims = {
        "iss": account,
        "scope": GOOGLE_SCOPE,
        "aud": f"{GOOGLE_TOKEN_URL}/token",
        "iat": int(now),
        "exp": int(now) + ASSERTION_LIFETIME_SECONDS,
    }
    header = {"alg": "RS256", "typ": "JWT", "kid": kid}
    signed_text = b".".join(_base64url(json.dumps(part, separators=(",", ":")).encode()) for part in (header, claims))
    signature = _base64url(private.sign(signed_text, padding.PKCS1v15(), hashes.SHA256()))
    return (signed_text + b"." + signature).decode()


def _base64url(data: bytes) -> bytes:
    return base64.urlsafe_b64encode(data).rstrip(b"=")
