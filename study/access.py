"""The token that a Ray of this machine asks for: made for one process, not written into the user's home folder."""

from __future__ import annotations

import atexit
import os
import secrets
import tempfile
from pathlib import Path

MODE, TOKEN, FILE = "RAY_AUTH_MODE", "RAY_AUTH_TOKEN", "RAY_AUTH_TOKEN_PATH"


def own_token() -> None:
    """Make the Ray that this process starts ask for a token of its own, unless the user has chosen one or none.

    The token lies in a file that only the user can read, for as long as the process lives.
    """
    if any(name in os.environ for name in (MODE, TOKEN, FILE)):
        return
    descriptor, name = tempfile.mkstemp(prefix="ray-token-")  # with mode 600
    with os.fdopen(descriptor, "w") as file:
        file.write(secrets.token_hex(32))
    os.environ[FILE] = name  # Ray itself turns its asking on, which it would not notice in the environment any more
    atexit.register(Path(name).unlink, missing_ok=True)


def token_advice() -> str:
    """Where the token is that the dashboard asks for; "" where it asks for none, or where the user set it."""
    if os.environ.get(MODE, "").lower() != "token" or TOKEN in os.environ:
        return ""
    return f" (its token: cat {os.environ.get(FILE, '~/.ray/auth_token')})"
