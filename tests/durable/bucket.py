"""A bucket of S3 on a socket of this machine, which can be away for a while."""

from collections.abc import Iterator
from typing import Any

import pytest

NAME = "lists"


class Bucket:
    """A bucket; boto3 reads and writes its objects, so that no mistake of ours is made twice."""

    def __init__(self) -> None:
        import boto3  # noqa: PLC0415 - slow, and perhaps missing
        from moto.server import ThreadedMotoServer  # noqa: PLC0415 - likewise

        self._make = ThreadedMotoServer
        self._server = ThreadedMotoServer("127.0.0.1", 0, verbose=False)
        self._server.start()
        self._port = self._server.get_host_and_port()[1]
        self.environment = {
            "AWS_ENDPOINT_URL_S3": f"http://127.0.0.1:{self._port}",
            "AWS_ACCESS_KEY_ID": "testing",
            "AWS_SECRET_ACCESS_KEY": "SECRETOFTHESTORE",
            "AWS_DEFAULT_REGION": "us-east-1",
            "AWS_MAX_ATTEMPTS": "1",
        }
        self.client: Any = boto3.client(
            "s3",
            endpoint_url=self.environment["AWS_ENDPOINT_URL_S3"],
            aws_access_key_id="testing",
            aws_secret_access_key="testing",
            region_name="us-east-1",
        )

    def url(self, key: str) -> str:
        return f"s3://{NAME}/{key}"

    def put(self, key: str, text: str) -> str:
        self.client.put_object(Bucket=NAME, Key=key, Body=text.encode())
        return self.url(key)

    def get(self, key: str) -> str:
        return str(self.client.get_object(Bucket=NAME, Key=key)["Body"].read().decode())

    def keys(self) -> list[str]:
        found = self.client.list_objects_v2(Bucket=NAME).get("Contents", ())
        return [one["Key"] for one in found]

    def unfinished(self) -> int:
        """Return how many uploads were neither committed nor discarded."""
        return len(self.client.list_multipart_uploads(Bucket=NAME).get("Uploads", ()))

    def make(self) -> None:
        self.client.create_bucket(Bucket=NAME)

    def delete(self) -> None:
        for key in self.keys():
            self.client.delete_object(Bucket=NAME, Key=key)
        self.client.delete_bucket(Bucket=NAME)

    def go_away(self) -> None:
        self._server.stop()

    def come_back(self) -> None:
        self._server = self._make("127.0.0.1", self._port, verbose=False)
        self._server.start()


def served() -> Iterator[Bucket]:
    pytest.importorskip("s3fs", reason="s3fs is not installed")
    pytest.importorskip("moto.server", reason="moto[server] is not installed")
    bucket = Bucket()
    yield bucket
    bucket.go_away()
