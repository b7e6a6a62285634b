"""`/static/...`: kept for ever by a browser, because the address changes with the content."""

from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from gateway.web.assets import asset

FOR_EVER = "public, max-age=31536000, immutable"


async def static(request: Request) -> Response:
    found = asset(request.path_params["name"])
    if found is None:
        return PlainTextResponse("there is no such file", 404)
    packed = "gzip" in request.headers.get("accept-encoding", "")
    kept = request.query_params.get("v") == found.version
    headers = {"cache-control": FOR_EVER if kept else "no-cache", "vary": "accept-encoding"}
    if packed:
        headers["content-encoding"] = "gzip"
    return Response(found.packed if packed else found.plain, media_type=found.media_type, headers=headers)


routes = [
    Route("/static/{name:path}", static),
]
