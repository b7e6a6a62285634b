"""`python -m backoffice [-c FILE]`: what `storekeeper backoffice` becomes."""

import argparse
import sys
from pathlib import Path


def main() -> int:
    parser = argparse.ArgumentParser(prog="storekeeper backoffice")
    parser.add_argument("-c", "--config", type=Path, default=None)
    parser.add_argument("--stock", action="store_true", help="print the stock of all gateways and end")
    parser.add_argument("--json", action="store_true")
    parser.add_argument(
        "--release", metavar="STORE/GATEWAY", help="hear a gateway again that was in quarantine"
    )
    parser.add_argument(
        "--restored-to", metavar="SEQ", type=int, help="its history goes on after that movement"
    )
    parser.add_argument("--factor", metavar="FILE", type=Path, help="send a daily series to gateways")
    parser.add_argument("--name", help="what the series is called; else the name of the file")
    parser.add_argument("--ahead", action="store_true", help="its days to come are known")
    parser.add_argument("--to", metavar="STORE/GATEWAY", action="append", default=[])
    parser.add_argument("--wait-s", type=float, default=30.0, help="for the gateways' replies")
    parser.add_argument("--dry-run", action="store_true")
    asked = parser.parse_args()

    from gateway.config import find, load

    settings = load(find(asked.config)).settings.backoffice
    if asked.stock:
        return _print_stock(settings.database, as_json=asked.json)
    if asked.release:
        return _release(settings.database, asked.release, asked.restored_to)
    if asked.factor:
        from backoffice.asking import send_factor

        return send_factor(
            settings.database,
            asked.factor,
            asked.name,
            known_ahead=asked.ahead,
            to=asked.to,
            wait_s=asked.wait_s,
            dry_run=asked.dry_run,
        )
    from backoffice.server import serve

    return serve(settings)


def _print_stock(database: Path, *, as_json: bool) -> int:
    import json
    from dataclasses import asdict

    from backoffice.store_sqlite import SqliteStore

    if not database.exists():
        print(
            f"{database} is not there: has the back office run yet? storekeeper backoffice", file=sys.stderr
        )
        return 6
    rows = SqliteStore(database, read_only=True).stock()
    if as_json:
        print(json.dumps([asdict(row) for row in rows], ensure_ascii=False))
        return 0
    for row in rows:
        lot = f"  lot {row.lot}" if row.lot else ""
        print(f"{row.store:<12} {row.qty:>7}  {row.name or row.sku:<32} {row.location}{lot}")
    return 0


def _release(database: Path, wanted: str, restored_to: int | None) -> int:
    from backoffice.store import StoreRefused
    from backoffice.store_sqlite import SqliteStore

    store = SqliteStore(database)
    sources = [
        one.source for one in store.gateways() if one.problem and f"/{one.source}".endswith(f"/{wanted}")
    ]
    for source in sources:
        if restored_to is not None:
            try:
                gone = store.leave_history(source, restored_to)
            except StoreRefused as refused:
                print(f"{refused}: storekeeper backup restore says the number", file=sys.stderr)
                return 1
            print(f"{gone} movements after {restored_to} are set aside: count what they were about")
        store.release(source)
        print(f"{source} is heard again")
    if not sources:
        print(f'no gateway "{wanted}" is in quarantine', file=sys.stderr)
    return 0 if sources else 1


if __name__ == "__main__":
    sys.exit(main())
