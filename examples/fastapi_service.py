"""A web service that verifies lists: `BULKVERIFY_API_KEY=… uvicorn fastapi_service:app`."""

import csv
import io
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse, StreamingResponse

from bulkverify import AlreadyStartedError, Client, ServiceError, TransportError


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Keep one client for the life of the application."""
    async with Client() as client:
        app.state.client = client
        yield


app = FastAPI(lifespan=lifespan)


@app.exception_handler(ServiceError)
async def refused(request: Request, error: ServiceError) -> JSONResponse:
    """Pass on a refusal of the service; its message never has the key."""
    return JSONResponse({"detail": error.message}, error.status or 400)


@app.exception_handler(TransportError)
async def unanswered(request: Request, error: TransportError) -> JSONResponse:
    """Say that the service gave no usable answer."""
    return JSONResponse({"detail": error.message}, 502)


@app.post("/lists", status_code=201)
async def upload(addresses: list[str], request: Request) -> dict[str, str]:
    """Upload a list, which costs nothing."""
    job = await request.app.state.client.upload(addresses)
    return {"id": job.id}


@app.get("/lists/{job_id}")
async def status(job_id: str, request: Request) -> dict[str, object]:
    """Say how a list is doing."""
    snapshot = await request.app.state.client.status(job_id)
    return {"status": snapshot.status, "total": snapshot.total, "verified": snapshot.verified}


@app.post("/lists/{job_id}/start")
async def start(job_id: str, request: Request) -> dict[str, bool]:
    """Start a list, which spends one credit an address, once."""
    try:
        await request.app.state.client.start(job_id)
    except AlreadyStartedError:
        return {"started": False}
    return {"started": True}


def line(*cells: str) -> str:
    """Return a line of CSV."""
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerow(cells)
    return text.getvalue()


@app.get("/lists/{job_id}/rows")
async def rows(job_id: str, request: Request) -> StreamingResponse:
    """Stream the verdicts of a completed list."""
    found = request.app.state.client.rows(job_id)
    first = await anext(found)  # a refusal comes before the answer begins

    async def lines() -> AsyncIterator[str]:
        yield line(first.email, str(first.verdict))
        async for row in found:
            yield line(row.email, str(row.verdict))

    return StreamingResponse(lines(), media_type="text/csv")
