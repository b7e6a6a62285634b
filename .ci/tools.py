"""The programs beside Python that building and testing use: says what is missing, installs it where it may.

    python .ci/tools.py build test

As root on a system with apt the missing packages are installed. Otherwise a missing tool of `build` is an
error with its remedy, and a missing tool of `test` means that its tests are skipped and say so.
"""

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path


def has_python_headers() -> bool:
    return Path(sysconfig.get_path("include"), "Python.h").exists()


def has_kernel_headers() -> bool:
    return Path("/usr/include/linux/input.h").exists()


def has_venv() -> bool:
    return subprocess.run([sys.executable, "-c", "import ensurepip"], capture_output=True).returncode == 0


# use -> [(is it there?, the Debian package, what for)]
TOOLS = {
    "build": [
        (lambda: shutil.which("cc") is not None, "gcc", "evdev has no wheels"),
        (has_kernel_headers, "linux-libc-dev", "evdev has no wheels"),
        (has_python_headers, "python3-dev", "evdev has no wheels"),
        (has_venv, "python3-venv", "the virtual environment"),
    ],
    "test": [
        (lambda: shutil.which("mosquitto") is not None, "mosquitto", "the broker of the sync tests"),
        (lambda: shutil.which("chromium") is not None, "chromium", "the browser of the page tests"),
        (lambda: shutil.which("systemd-analyze") is not None, "systemd", "the check of the service unit"),
        (lambda: shutil.which("strace") is not None, "strace", "what the daemon asks of the kernel"),
    ],
}


def main(uses: list[str]) -> int:
    missing = {use: [tool for tool in TOOLS[use] if not tool[0]()] for use in uses}
    packages = [package for tools in missing.values() for _, package, _ in tools]
    if not packages:
        return 0
    if os.geteuid() == 0 and shutil.which("apt-get"):
        print(f"installing by apt: {' '.join(packages)}", flush=True)
        quiet = {**os.environ, "DEBIAN_FRONTEND": "noninteractive"}
        subprocess.run(["apt-get", "-qq", "update"], env=quiet, stdin=subprocess.DEVNULL)
        install = ["apt-get", "-qq", "install", "-y", "--no-install-recommends", *packages]
        subprocess.run(install, env=quiet, stdin=subprocess.DEVNULL, stdout=subprocess.DEVNULL)
        missing = {use: [tool for tool in tools if not tool[0]()] for use, tools in missing.items()}
    for use, tools in missing.items():
        for _, package, purpose in tools:
            consequence = "needed" if use == "build" else "its tests will be skipped"
            print(f"missing: {package} ({purpose}; {consequence}). Remedy: sudo apt install {package}")
    return 1 if missing.get("build") else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
