"""A FastAPI service that verifies lists: `BULKVERIFY_DATABASE=sqlite:///runs.db uvicorn fastapi_service:app`.

The engine lives in the service's event loop and takes work there. With PostgreSQL, each replica of the
service shares the work, and a replica that dies loses nothing.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Annotated

from fastapi import Depends, FastAPI, HTTPException, Request

from bulkverify import UsageError
from bulkverify.durable import Engine, RunState

LISTS = Path(os.environ.get("LISTS", "lists"))  # a folder that all replicas can read and write


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    """Take work while the service runs."""
    async with Engine(os.environ["BULKVERIFY_DATABASE"]) as app.state.engine:
        yield


app = FastAPI(lifespan=lifespan)


def engine_of(request: Request) -> Engine:
    """Return the engine of the service."""
    return request.app.state.engine


Runs = Annotated[Engine, Depends(engine_of)]


@app.put("/lists/{name}", status_code=202)
async def verify(name: str, engine: Runs, account: str = "default") -> dict[str, str]:
    """Submit a list. A repeated request is the same run, so a lost answer costs nothing."""
    path = LISTS / f"{Path(name).name}.csv"
    if not path.is_file():
        raise HTTPException(404, "There is no such list.")
    try:
        run = await engine.submit(
            path, path.with_name(f"{path.stem}-verified.csv"), account=account, id=path.stem
        )
    except UsageError as error:
        raise HTTPException(422, error.message) from error
    return {"run": run.id}


@app.get("/lists/{name}")
async def state(name: str, engine: Runs) -> dict[str, str | int]:
    """Say how far a list is."""
    try:
        found: RunState = await engine.run(name).state()
    except UsageError as error:
        raise HTTPException(404, error.message) from error
    return {
        "state": found.state,
        "parts": found.parts,
        "parts_left": found.parts_left,
        "message": found.message,
    }
