"""A plain HTTP client of the sandbox; its tests do not depend on the SDK."""

import asyncio
import csv
import io
import json
from collections.abc import Mapping
from typing import Any, Protocol

import aiohttp
import attrs

from bulkverify.sandbox import Sandbox


@attrs.frozen(kw_only=True)
class Response:
    status: int
    reason: str | None
    headers: Mapping[str, str]
    content: bytes

    @property
    def body(self) -> dict[str, Any]:
        loaded: dict[str, Any] = json.loads(self.content)
        return loaded

    @property
    def table(self) -> list[list[str]]:
        return list(csv.reader(io.StringIO(self.content.decode(), newline="")))

    @property
    def refusal(self) -> tuple[int, str]:
        body = self.body
        assert body["success"] in {False, "false"}
        return self.status, body.get("result") or body["message"]


@attrs.frozen
class Caller:
    sandbox: Sandbox
    session: aiohttp.ClientSession

    async def ask(  # noqa: PLR0917
        self,
        method: str,
        path: str,
        params: Mapping[str, str] | None = None,
        body: object = None,
        data: object = None,
        headers: Mapping[str, str] | None = None,
    ) -> Response:
        params = {"apikey": self.sandbox.api_key, **(params or {})}
        async with self.session.request(
            method, self.sandbox.url + path, params=params, json=body, data=data, headers=headers
        ) as response:
            return Response(
                status=response.status,
                reason=response.reason,
                headers=response.headers,
                content=await response.read(),
            )

    async def send_file(
        self, content: str | bytes, *, filename: str = "list.csv", **fields: str
    ) -> Response:
        form = aiohttp.FormData()
        for name, value in fields.items():
            form.add_field(name, value)
        raw = content.encode() if isinstance(content, str) else content
        form.add_field("local_file", io.BytesIO(raw), filename=filename, content_type="text/csv")
        return await self.ask("POST", "/bulk", data=form)

    async def send_rows(self, *rows: object, **others: object) -> Response:
        return await self.ask("POST", "/bulk", body={"emails": rows, **others})

    async def until_asked(self, endpoint: str, times: int = 1) -> None:
        """Yield to the loop until so many requests have arrived."""
        while self.sandbox.ledger.requests[endpoint] < times:  # noqa: ASYNC110 - there is no event to wait for
            await asyncio.sleep(0)

    async def upload(self, content: str | bytes, **fields: str) -> str:
        answer = await self.send_file(content, **fields)
        assert answer.status == 201, answer.content
        job_id: str = answer.body["job_id"]
        return job_id

    async def status(self, job_id: str) -> dict[str, Any]:
        answer = await self.ask("GET", f"/bulk/{job_id}")
        assert answer.status == 200, answer.content
        return answer.body

    async def start(self, job_id: str) -> Response:
        return await self.ask("PATCH", f"/bulk/{job_id}", body={"action": "start"})

    async def download(self, job_id: str, *wanted: str) -> Response:
        body = {"filterResult": wanted} if wanted else None
        return await self.ask("POST", "/download", {"jobId": job_id}, body)

    async def delete(self, job_id: str) -> Response:
        return await self.ask("DELETE", f"/bulk/{job_id}")

    async def bring(self, content: str | bytes, status: str) -> str:
        """Upload a list and bring it to `status`."""
        if status == "failed":
            content = "no address\nat all\n"
        job_id = await self.upload(content)
        if status == "cancelled":
            self.sandbox.cancel(job_id)
        if status in {"preparing", "cancelled"}:
            return job_id
        self.sandbox.advance(3 + len(content) // 500_000)
        if status in {"verifying", "completed"}:
            assert (await self.start(job_id)).status == 200
            self.sandbox.advance(2 if status == "verifying" else 100_000)
        assert (await self.status(job_id))["status"] == status
        return job_id


class Serve(Protocol):
    """Start a sandbox whose clock stands still, with these options."""

    async def __call__(self, **options: Any) -> Caller: ...  # noqa: ANN401
