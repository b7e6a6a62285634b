"""Phones of the shop's network: a code for a new one is shown on the box; on the phone it is typed in once."""

from starlette.requests import Request
from starlette.responses import FileResponse, RedirectResponse, Response
from starlette.routing import Route

from gateway.web.face import Face
from gateway.web.guard import COOKIE, is_remote
from gateway.web.pairing import SESSION_S
from gateway.web.routes.actions import fields, required


def phones(request: Request) -> Response:
    """Who is paired, and, on the box itself, the code for one more."""
    face = Face.of(request)
    here = not is_remote(request.scope)
    return face.reader(request).page(
        "phones.html",
        lan=face.lan,
        phones=face.pairing.phones,
        code=face.pairing.code if here else "",
        here=here,
    )


async def new_code(request: Request) -> Response:
    """Only for who stands before the box: a phone that was stolen pairs no other."""
    if not is_remote(request.scope):
        Face.of(request).pairing.new_code()
    return RedirectResponse("/phones", 303)


async def forget(request: Request) -> Response:
    Face.of(request).pairing.forget(required(await fields(request), "phone"))
    return RedirectResponse("/phones", 303)


def pair_page(request: Request) -> Response:
    return Face.of(request).reader(request).page("pair.html", wrong=False)


async def pair(request: Request) -> Response:
    """Right: the phone gets its secret, which no script can read and no other site can use."""
    face = Face.of(request)
    form = await fields(request)
    secret = face.pairing.pair(form.get("code", ""), form.get("name", ""))
    if secret is None:
        return face.reader(request).page("pair.html", 403, wrong=True)
    answer = RedirectResponse("/", 303)
    answer.set_cookie(COOKIE, secret, max_age=SESSION_S, secure=True, httponly=True, samesite="strict")
    return answer


def authority(request: Request) -> Response:
    """The certificate that a phone may be told to trust; no secret."""
    lan = Face.of(request).lan
    if lan is None:
        return Response(status_code=404)
    return FileResponse(lan.authority, media_type="application/x-x509-ca-cert", filename="storekeeper.crt")


routes = [
    Route("/phones", phones),
    Route("/do/code", new_code, methods=["POST"]),
    Route("/do/forget", forget, methods=["POST"]),
    Route("/pair", pair_page, methods=["GET"]),
    Route("/pair", pair, methods=["POST"]),
    Route("/authority.crt", authority),
]
