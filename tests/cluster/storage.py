"""S3 storage as a publisher of models uses it, spoken by curl."""

from __future__ import annotations

import hashlib
import subprocess
from dataclasses import dataclass, field
from pathlib import Path

from tests.cluster.settings import Settings

__all__ = ["Bucket"]


@dataclass
class Bucket:
    """A folder of a bucket; remembers what it was given and takes it all away again."""

    settings: Settings
    prefix: str
    _keys: set[str] = field(default_factory=set)

    def uri(self, path: str) -> str:
        """Return a storageUri; it ends in `/`, or siblings with the same beginning would be fetched too."""
        return f"s3://{self.settings.s3_bucket}/{self.prefix}/{path}/"

    def publish(self, folder: Path, path: str) -> str:
        """Upload every file of a folder; return the storageUri."""
        for file in sorted(folder.rglob("*")):
            if file.is_file():
                self.put(f"{path}/{file.relative_to(folder)}", file.read_bytes())
        return self.uri(path)

    def put(self, path: str, body: bytes) -> None:
        """Store an object."""
        self._keys.add(path)
        self._curl(path, "--request", "PUT", "--data-binary", "@-", body=body)

    def delete(self, path: str) -> None:
        """Remove an object."""
        self._keys.discard(path)
        self._curl(path, "--request", "DELETE")

    def clear(self) -> None:
        """Remove everything that was stored through this object."""
        for path in list(self._keys):
            self.delete(path)

    def _curl(self, path: str, *words: str, body: bytes = b"") -> None:
        found = self.settings
        address = f"{found.s3_endpoint}/{found.s3_bucket}/{self.prefix}/{path}"
        done = subprocess.run(
            [
                *("curl", "--silent", "--show-error", "--fail-with-body", "--max-time", "30", "--retry", "3"),
                *("--aws-sigv4", f"aws:amz:{found.s3_region}:s3", "--user", f"{found.s3_key}:{found.s3_secret}"),
                *("--header", f"x-amz-content-sha256: {hashlib.sha256(body).hexdigest()}", "--header", "Expect:"),
                *("--header", "Content-Type: application/octet-stream", *words, address),
            ],
            input=body,
            capture_output=True,
            check=False,
        )
        assert done.returncode == 0, (address, done.stdout, done.stderr)
