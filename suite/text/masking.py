"""Secrets in addresses, hidden wherever text leaves: printed, logged, recorded, or in an exception."""

from __future__ import annotations

import os
import re
from typing import Final

SECRET_VARIABLES: Final = (
    *("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN", "DATABRICKS_TOKEN"),
    *("AWS_SECRET_ACCESS_KEY", "AWS_SESSION_TOKEN", "HF_TOKEN"),
)
"""Environment variables whose values are secrets, of the services that MLflow and its stores talk to."""

#: A shorter value would be found in innocent words.
LEAST_LENGTH: Final = 6
HIDDEN: Final = "***"

_ENCODED: Final = "%(?:25)*"
"""The percent sign of an encoded character, in what was encoded once or more often."""
_NAMED: Final = (
    rf"(?:[?&;=+]|{_ENCODED}[0-9a-f]{{2}})(?:password|passwd|pwd|sslpassword|secret|token|access_token|api_?key)"
)
_PATTERNS: Final = tuple(
    re.compile(pattern, re.IGNORECASE)
    for pattern in (
        r"(://[^\s:/@]*:)[^\s@]*(?:@[^\s/@]+)*(?P<end>@)",  # a password may hold a raw / or @
        r"(://)[^\s:/@]{20,}(?P<end>@)",  # a token in the place of a user
        rf"({_NAMED}=)(?:\{{.{{0,200}}?\}}|[^&;\s'\"])+(?P<end>)",  # ODBC has values in braces
        # odbc_connect=UID%3Dme%3BPWD%3D...: the value ends at a ; that is encoded as often as the =
        rf"({_NAMED}(?P<sign>{_ENCODED})3D)"
        r"(?:(?P=sign)7B.{0,200}?(?P=sign)7D|(?!(?P=sign)3B)[^&;\s'\"])+(?P<end>)",
    )
)


def masked(text: str) -> str:
    """Return a text without the passwords and tokens of the addresses in it, and without those of the environment."""
    for name in SECRET_VARIABLES:
        value = os.environ.get(name, "")
        if len(value) >= LEAST_LENGTH:
            text = text.replace(value, HIDDEN)
    if "://" in text:
        for pattern in _PATTERNS:
            text = pattern.sub(rf"\1{HIDDEN}\g<end>", text)
    return text
