"""`/static/...`: kept for ever by a browser, because the address changes with the content."""

from fastapi import APIRouter, Request
from fastapi.responses import PlainTextResponse, Response

from gateway.web.assets import asset

router = APIRouter()
FOR_EVER = "public, max-age=31536000, immutable"


@router.get("/static/{name:path}")
async def static(request: Request, name: str) -> Response:
    found = asset(name)
    if found is None:
        return PlainTextResponse("there is no such file", 404)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    kept = request.query_params.get("v") == found.version
    headers = {"cache-control": FOR_EVER if kept else "no-cache", "vary": "accept-encoding"}
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(found.packed if packed else found.plain, media_type=found.media_type, headers=headers)
