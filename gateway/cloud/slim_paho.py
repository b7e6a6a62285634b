"""paho-mqtt without what it imports and a shop hardly ever needs: two megabytes of a process that runs for months.

ssl is for brokers that want TLS, and `learn_tls` brings it then; urllib.request, with http, email and tempfile
behind it, looks for the proxy that PySocks would go through, and so stays away where that is not installed.
"""

import sys
from importlib.util import find_spec
from types import ModuleType


class WantsMore(OSError):
    """What only a TLS connection raises; paho names it wherever it reads or writes."""


def _stand_in(name: str, **contents: object) -> None:
    """Until `_stand_ins` are taken away, whoever imports `name` gets this; the real one if it is there already."""
    if name not in sys.modules:
        _stand_ins.append(name)
        sys.modules[name] = ModuleType(name, "a stand-in")
        vars(sys.modules[name]).update(contents)


_stand_ins: list[str] = []
_stand_in("ssl", SSLWantReadError=WantsMore, SSLWantWriteError=WantsMore)
if find_spec("socks") is None:
    _stand_in("urllib.request")
try:
    from paho.mqtt import client
finally:
    for _name in _stand_ins:
        del sys.modules[_name]


def learn_tls() -> None:
    """Before a client is given a TLS context: paho knows the real module from here on."""
    import ssl

    client.ssl = ssl  # type: ignore[attr-defined]
