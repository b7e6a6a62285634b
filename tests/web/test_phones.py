"""The pages in the shop's network: encrypted, and closed to every phone that was not paired at the box."""

import http.client
import re
import socket
import ssl
import time
from pathlib import Path
from urllib.parse import urlencode

import pytest

from gateway.demo.processes import free_port
from gateway.web.certificate import certificate
from gateway.web.pairing import TRIES_MAX, Pairing
from tests.system.shop import Shop, open_shop

BOX = "127.0.0.2"  # the box's address in this network of one machine


@pytest.fixture(scope="module")
def shop(tmp_path_factory):
    folder = tmp_path_factory.mktemp("lan")
    lan = {"LAN": "true", "LAN_HOST": BOX, "LAN_PORT": str(free_port(18_400))}
    with open_shop(
        folder,
        web=True,
        web_port=free_port(18_300),
        environment={f"STOREKEEPER_WEB__{key}": value for key, value in lan.items()},
    ) as opened:
        opened.start()
        opened.wait_until(lambda: (folder / "web.address").exists(), "the pages")
        opened.lan_port = int(lan["LAN_PORT"])
        opened.wait_until(lambda: is_open(BOX, opened.lan_port), "the pages in the network")
        yield opened


def is_open(host: str, port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex((host, port)) == 0


class Phone:
    """A browser elsewhere in the network, which trusts the box's authority."""

    def __init__(self, shop: Shop, host: str = "") -> None:
        self._trust = ssl.create_default_context(cafile=str(shop.folder / "tls" / "authority.crt"))
        self._port = shop.lan_port
        self._host = host or f"{BOX}:{shop.lan_port}"
        self.cookie = ""

    def ask(self, method: str, path: str, headers: dict[str, str] | None = None, **form: str):
        line = http.client.HTTPSConnection(BOX, self._port, context=self._trust, timeout=120)
        said = {"Host": self._host, "Accept": "text/html", **({"Cookie": self.cookie} if self.cookie else {})}
        body = urlencode(form) if method == "POST" else None
        line.request(method, path, body, {**said, "Origin": f"https://{self._host}", **(headers or {})})
        answer = line.getresponse()
        answer.text = answer.read().decode(errors="replace")
        if given := answer.getheader("set-cookie"):
            self.cookie = given.split(";")[0]
        return answer


def at_the_box(shop: Shop, method: str, path: str) -> str:
    line = http.client.HTTPConnection("127.0.0.1", shop.web_port, timeout=120)
    line.request(method, path, "" if method == "POST" else None)
    return line.getresponse().read().decode()


def shown_code(shop: Shop) -> str:
    at_the_box(shop, "POST", "/do/code")
    return re.search(r'class="onetime">(\d{3} \d{3})<', at_the_box(shop, "GET", "/phones"))[1]


def test_a_stranger_sees_the_pairing_page_and_nothing_else(shop):
    phone = Phone(shop)

    assert [phone.ask("GET", path).getheader("location") for path in ("/", "/stock", "/phones")] == [
        "/pair"
    ] * 3
    assert phone.ask("GET", "/pair").status == 200
    assert phone.ask("GET", "/live/counter", {"Accept": "text/event-stream"}).status == 401
    assert phone.ask("POST", "/do/scan", code="5000000000012").status == 401


def test_a_phone_that_types_the_code_is_let_in_and_its_secret_is_for_no_script(shop):
    phone = Phone(shop)
    paired = phone.ask("POST", "/pair", code=shown_code(shop), name="Anna's phone")

    assert paired.status == 303
    assert set(paired.getheader("set-cookie").split("; ")[1:]) == {
        "HttpOnly",
        "Max-Age=7776000",
        "Path=/",
        "SameSite=strict",
        "Secure",
    }
    assert phone.ask("GET", "/stock").status == 200
    assert "Anna&#39;s phone" in at_the_box(shop, "GET", "/phones")


def test_a_code_is_good_once(shop):
    code = shown_code(shop)

    assert Phone(shop).ask("POST", "/pair", code=code).status == 303
    assert Phone(shop).ask("POST", "/pair", code=code).status == 403


def test_a_phone_that_was_forgotten_is_a_stranger_again(shop):
    phone = Phone(shop)
    phone.ask("POST", "/pair", code=shown_code(shop), name="Lost")
    page = phone.ask("GET", "/phones").text
    number = re.search(r'value="(\w{8})"><button class="quiet">Forget it<span class="sr">: Lost', page)[1]

    phone.ask("POST", "/do/forget", phone=number)

    assert phone.ask("GET", "/stock").status == 303


def test_a_paired_phone_cannot_let_the_box_show_a_code(shop):
    phone = Phone(shop)
    phone.ask("POST", "/pair", code=shown_code(shop))

    phone.ask("POST", "/do/code")

    assert 'class="onetime"' not in at_the_box(shop, "GET", "/phones")


def test_a_form_of_another_site_books_nothing_even_on_a_paired_phone(shop):
    phone = Phone(shop)
    phone.ask("POST", "/pair", code=shown_code(shop))

    assert phone.ask("POST", "/do/scan", {"Origin": "https://evil.example"}, code="x").status == 403


def test_a_name_that_is_not_the_boxs_is_refused(shop):
    assert Phone(shop, host="evil.example").ask("GET", "/pair").status == 403


def test_nothing_plain_listens_in_the_network(shop):
    assert not is_open(BOX, shop.web_port)
    line = http.client.HTTPConnection(BOX, shop.lan_port, timeout=120)
    with pytest.raises((http.client.HTTPException, OSError)):
        line.request("GET", "/")
        line.getresponse()


def test_a_stranger_cannot_pretend_to_come_from_the_box_itself(shop):
    lie = {"X-Forwarded-Proto": "http", "X-Forwarded-For": "127.0.0.1"}

    assert Phone(shop).ask("GET", "/stock", lie).status == 303


def test_who_guesses_codes_has_five_tries(tmp_path):
    pairing = Pairing(tmp_path / "phones.json", time.time, time.monotonic)
    code = pairing.new_code()
    wrong = f"{(int(code) + 1) % 1_000_000:06}"

    assert [pairing.pair(wrong, "thief") for _ in range(TRIES_MAX)] == [None] * TRIES_MAX
    assert pairing.pair(code, "thief") is None


def test_a_code_is_good_for_ten_minutes_and_a_phone_for_ninety_days(tmp_path):
    now_s = [1_800_000_000.0]
    pairing = Pairing(tmp_path / "phones.json", lambda: now_s[0], lambda: now_s[0])
    old = pairing.new_code()
    now_s[0] += 601
    too_late = pairing.pair(old, "")
    secret = pairing.pair(pairing.new_code(), "")
    now_s[0] += 89 * 86_400
    known = pairing.knows(secret)
    now_s[0] += 2 * 86_400

    assert too_late is None
    assert (known, pairing.knows(secret)) == (True, False)


def test_paired_phones_survive_a_restart_and_only_digests_are_kept(tmp_path):
    path = tmp_path / "phones.json"
    first = Pairing(path, time.time, time.monotonic)
    secret = first.pair(first.new_code(), "Anna")

    assert Pairing(path, time.time, time.monotonic).knows(secret)
    assert secret not in path.read_text()
    assert path.stat().st_mode & 0o777 == 0o600


def test_the_certificate_is_kept_while_the_names_are_and_its_keys_are_secret(tmp_path):
    first = certificate(tmp_path / "tls", ["box", "box.local", "192.0.2.7"])
    made = first.chain.read_bytes()
    again = certificate(tmp_path / "tls", ["box", "box.local", "192.0.2.7"])
    same = first.chain.read_bytes() == made
    moved = certificate(tmp_path / "tls", ["box", "box.local", "192.0.2.8"])

    assert same and first.fingerprint == again.fingerprint == moved.fingerprint
    assert moved.chain.read_bytes() != made
    assert {path.stat().st_mode & 0o777 for path in Path(tmp_path / "tls").glob("*.key")} == {0o600}
