"""A driver that makes nonsense is stopped and named; its neighbours and the ledger never notice."""

from tests.system.shop import open_shop

PACKAGE = """
from dataclasses import dataclass
from decimal import Decimal
from drivers.contract import Scan, Weight
from drivers.transports import SerialTransport

@dataclass(frozen=True, slots=True)
class Config:
    port: str = ""

class Nonsense:
    Config = Config
    def open(self, config):
        return SerialTransport(config.port, 9600)
    def decoder(self, config):
        return Decoder()

class Decoder:
    def feed(self, chunk, now_s):
        if b"number" in chunk:
            return [Scan(data=12)]
        if b"weight" in chunk:
            return [Weight(value=Decimal("NaN"), unit="kg", stable=True)]
        return [Scan(data=chunk.decode().strip())]
    def idle(self, now_s):
        return []
"""


def install(folder):
    folder.mkdir()
    (folder / "nonsense.py").write_text(PACKAGE)
    info = folder / "nonsense-1.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: nonsense\nVersion: 1\n")
    (info / "entry_points.txt").write_text("[storekeeper.drivers]\nnonsense = nonsense:Nonsense\n")


def test_a_reading_that_is_none_ends_the_driver_and_nothing_else(tmp_path):
    install(tmp_path / "site")
    path = {"PYTHONPATH": str(tmp_path / "site")}
    with open_shop(tmp_path / "shop", scanners=("counter", "strange"), environment=path) as shop:
        toml = shop.config.read_text()
        before, after = toml.split('name = "strange"\ndriver = "serial_scanner"')
        after = after.replace('reply = "text"', "", 1)
        shop.config.write_text(f'{before}name = "strange"\ndriver = "nonsense"{after}')
        shop.start()
        code = shop.add_items(1)[0]

        shop.ports["strange"].scan("weight")
        shop.ports["strange"].scan("number")
        shop.wait_until(lambda: "no reading" in (shop.folder / "daemon.log").read_text(), "said in the log")
        shop.ports["counter"].scan(code)

        assert shop.ports["counter"].hear().startswith("negative Item 1")

        def both_count():
            shop.ports["strange"].scan(code)
            return shop.on_hand(code.zfill(14)) <= -2

        shop.wait_until(both_count, "the strange one counts again")
