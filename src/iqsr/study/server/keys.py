"""The study's key, and what is derived from it: links, names of pictures, the admin token.

Links are derived instead of stored, so that the admin can see them again while the database holds only their hashes:
whoever reads a dump of it cannot vote.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import os
import secrets
from pathlib import Path

from iqsr.errors import IqsrError
from iqsr.io.places import read_whole

KEY_FILE = "server.key"
_KEY_BYTES = 32


class Keys:
    """Everything that is derived from a study's key.

    Args:
        key: Random bytes that only the server knows.
    """

    def __init__(self, key: bytes) -> None:
        self._key = key

    def seat_token(self, seat: str, generation: int) -> str:
        """What a rater's link ends with: 192 bits."""
        return self._derived("seat", seat, str(generation))[:32]

    def picture_name(self, rater: int, trial: str, position: int) -> str:
        """The name of a picture in one trial of one rater: tells neither the method nor the side."""
        return self._derived("picture", str(rater), trial, str(position))[:24]

    def input_name(self, rater: int, trial: str) -> str:
        """The name of the low-resolution picture in one trial of one rater; it looks like the others."""
        return self._derived("picture", str(rater), trial, "input")[:24]

    def admin_token(self) -> str:
        """What the admin types in, unless another one was chosen."""
        return self._derived("admin")[:32]

    def signature(self, text: str) -> str:
        """Proves that the server made the text."""
        return self._derived("signature", text)

    def fingerprint(self) -> str:
        """Tells two keys apart, and tells nothing else."""
        return self._derived("fingerprint")

    def _derived(self, *parts: str) -> str:
        message = b"".join(len(data).to_bytes(4, "big") + data for data in (part.encode() for part in parts))
        return base64.urlsafe_b64encode(hmac.digest(self._key, message, "sha256")).decode().rstrip("=")


def token_hash(token: str) -> str:
    """What the database holds of a link."""
    return hashlib.sha256(token.encode()).hexdigest()


def read_or_make_keys(folder: Path) -> Keys:
    """The keys of the study in the folder. The file is made by the first start, for its owner's eyes only."""
    path = folder / KEY_FILE
    try:
        with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
            file.write(secrets.token_hex(_KEY_BYTES) + "\n")
            file.flush()
            os.fsync(file.fileno())
    except FileExistsError:
        pass
    try:
        key = bytes.fromhex(read_whole(path).decode().strip())
    except ValueError:
        key = b""
    if len(key) != _KEY_BYTES:
        raise IqsrError(f"'{path}' is damaged: bring it back from a copy, or delete it and votes.sqlite to begin anew")
    return Keys(key)
