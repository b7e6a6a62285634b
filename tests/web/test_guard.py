"""Strangers: other sites, other names, other programs on our port."""

import socket

import pytest
from real_shop import RealShop, free_port
from starlette.datastructures import Headers

from gateway.web.guard import is_loopback, refuse
from gateway.web.port import listen
from gateway.web.routes.actions import BadForm, local_path, minor


@pytest.mark.parametrize(
    ("host", "ours"),
    [
        ("127.0.0.1:8080", True),
        ("localhost", True),
        ("localhost:8080", True),
        ("[::1]:8080", True),
        ("127.0.0.1.evil.example", False),
        ("shop.example:8080", False),
        ("192.168.1.20:8080", False),
        ("", False),
    ],
)
def test_only_names_of_this_very_box_are_served(host: str, ours: bool) -> None:
    assert is_loopback(host) is ours


@pytest.mark.parametrize(
    ("headers", "served"),
    [
        ({}, True),  # curl, an old browser
        ({"origin": "http://127.0.0.1:8080", "sec-fetch-site": "same-origin"}, True),
        ({"origin": "http://evil.example"}, False),
        ({"origin": "null"}, False),
        ({"sec-fetch-site": "cross-site"}, False),
        ({"origin": "http://127.0.0.1:9999"}, False),  # another program of this box
    ],
)
def test_a_form_of_another_site_books_nothing(headers: dict[str, str], served: bool) -> None:
    asked = Headers({"host": "127.0.0.1:8080", **headers})

    assert (refuse("POST", asked) is None) is served


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ("/counter?station=a", "/counter?station=a"),
        ("//evil.example", "/"),
        ("/\\evil.example", "/"),
        ("https://evil.example", "/"),
        ("", "/"),
        ("/x\r\nset-cookie: a", "/"),
    ],
)
def test_a_form_leads_back_to_our_own_pages_only(text: str, path: str) -> None:
    assert local_path(text) == path


@pytest.mark.parametrize(
    ("text", "cents"), [("1,29", 129), ("1.2", 120), ("3", 300), ("", None), ("0,05", 5)]
)
def test_a_price_is_read_as_people_type_it(text: str, cents: int | None) -> None:
    assert minor(text) == cents


@pytest.mark.parametrize("text", ["1,2,3", "free", "-1", "1.299", "٣", "1e3"])
def test_a_price_that_is_none_is_refused_with_an_example(text: str) -> None:
    with pytest.raises(BadForm, match=r"write it like 1\.29"):
        minor(text)


def test_a_port_that_is_taken_is_named_with_its_holder_and_the_next_one_is_used() -> None:
    with socket.socket() as other:
        port = free_port()
        other.bind(("127.0.0.1", port))
        other.listen()

        ours, note = listen("127.0.0.1", port)

        taken = ours.getsockname()[1]
        ours.close()
    assert taken > port
    assert note.startswith(f'{port} is used by "')
    assert note.endswith(f"; using {taken}")


def test_every_answer_forbids_what_a_page_never_does(shop: RealShop) -> None:
    from urllib.request import urlopen

    with urlopen(shop.address + "/counter") as answer:
        headers = answer.headers

    assert "script-src 'self'" in headers["content-security-policy"]
    assert "unsafe" not in headers["content-security-policy"]
    assert headers["x-content-type-options"] == "nosniff"
    assert headers["set-cookie"] is None


@pytest.mark.parametrize(
    ("kind", "body"),
    [
        ("undo", {"seq": "first"}),
        ("name_code", {}),
        ("items", {"rows": [{"sku": "x", "name": ["a", "list"]}]}),
        ("items", {"rows": [{"sku": "x", "name": "X", "unit": "barrel"}]}),
        ("alert", {"id": {"a": 1}, "do": "ack"}),
        ("alert", {"id": 1, "do": "forget"}),
        ("nonsense", {}),
    ],
)
def test_a_document_that_makes_no_sense_is_refused_and_counting_goes_on(
    shop: RealShop, kind: str, body: dict[str, object]
) -> None:
    from gateway.cli.opened import tell
    from gateway.config import load

    code, text = tell(load(shop.data_dir / "config.toml").settings, kind, body)

    assert (code, bool(text)) == ("refused", True)
    assert shop.process.poll() is None
