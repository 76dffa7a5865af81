"""An issuer of JWTs, and everything else that somebody might send instead of one of them."""

from __future__ import annotations

import base64
import hashlib
import hmac
import json
import time
from dataclasses import dataclass, field
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat

__all__ = ["AUDIENCE", "ISSUER", "SCOPE", "Issuer"]

ISSUER = "https://issuer.example.com/"
AUDIENCE = "lead-scoring"
SCOPE = "leads:score"
_KEY_ID = "one"


def _new_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


@dataclass(frozen=True)
class Issuer:
    """Signs tokens with a key of its own."""

    key: rsa.RSAPrivateKey = field(default_factory=_new_key)

    @property
    def key_set(self) -> str:
        """Return the public keys as a JSON Web Key Set."""
        public = json.loads(jwt.algorithms.RSAAlgorithm.to_jwk(self.key.public_key()))
        return json.dumps({"keys": [{**public, "kid": _KEY_ID, "use": "sig", "alg": "RS256"}]})

    def token(self, **changed: Any) -> str:
        """Return a token for the service; `changed` claims replace the right ones, None leaves one out."""
        claims = {
            "iss": ISSUER,
            "aud": AUDIENCE,
            "sub": "crm",
            "scope": f"openid {SCOPE}",
            "exp": int(time.time()) + 3600,
            **changed,
        }
        claims = {name: value for name, value in claims.items() if value is not None}
        return jwt.encode(claims, self.key, algorithm="RS256", headers={"kid": _KEY_ID})

    def bad_tokens(self) -> dict[str, str]:
        """Return what must not open anything, by what is wrong with it."""
        good = self.token()
        claims = jwt.decode(good, options={"verify_signature": False})
        now = int(time.time())
        return {
            "expired": self.token(exp=now - 3600),
            "not yet valid": self.token(nbf=now + 3600),
            "for another audience": self.token(aud="payments"),
            "for no audience": self.token(aud=None),
            "of another issuer": self.token(iss="https://issuer.example.org/"),
            "of no issuer": self.token(iss=None),
            "without the scope": self.token(scope="openid"),
            "unsigned": f"{_part({'alg': 'none', 'typ': 'JWT'})}.{_part(claims)}.",
            "signed with the public key": self._signed_with_the_public_key(claims),
            "signed by somebody else": jwt.encode(claims, _new_key(), algorithm="RS256", headers={"kid": _KEY_ID}),
            "altered": good[:-6] + ("AAAAAA" if not good.endswith("AAAAAA") else "BBBBBB"),
            "no token at all": "made-up",
        }

    def _signed_with_the_public_key(self, claims: dict[str, Any]) -> str:
        public = self.key.public_key().public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
        signed = f"{_part({'alg': 'HS256', 'typ': 'JWT', 'kid': _KEY_ID})}.{_part(claims)}"
        return f"{signed}.{_base64(hmac.new(public, signed.encode(), hashlib.sha256).digest())}"


def _part(value: dict[str, Any]) -> str:
    return _base64(json.dumps(value).encode())


def _base64(value: bytes) -> str:
    return base64.urlsafe_b64encode(value).rstrip(b"=").decode()
