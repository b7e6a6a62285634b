"""`python -m gateway`: the service's entry. Children forked from it never import this again."""

if __name__ == "__main__":
    import sys

    match sys.argv[1:]:
        case ["run", "-c" | "--config", path]:
            # What stays resident does without the command line's library (8 MB, 70 ms).
            import gc

            gc.disable()  # what is imported stays; `gateway.nursery.preload` goes on from there
            sys.modules["typing_extensions"] = None  # type: ignore[assignment]  # half a megabyte: asked first, not needed
            import msgspec  # noqa: F401

            del sys.modules["typing_extensions"]
            from gateway.start import start

            sys.exit(start(path))
        case _:
            from gateway.cli import main

            main(prog_name="storekeeper")
