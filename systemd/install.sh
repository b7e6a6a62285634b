#!/bin/bash
# Installs storekeeper as a service, from the folder this script is in. Run it again after an update: it
# changes only what differs. Removing keeps ledger and settings.
#
#   sudo systemd/install.sh [--dry-run] [--root DIR]
#   sudo systemd/install.sh --remove [--dry-run] [--root DIR]
#
# --dry-run  says each change and makes none          --root DIR  installs into an image mounted at DIR
set -euo pipefail

source_dir=$(cd "$(dirname "$0")/.." && pwd)
dry_run=false
remove=false
root=
changes=0
program_changed=false
unit_changed=false

say() { printf '%s\n' "$*"; }
refuse() { printf 'storekeeper is not installed: %s\n' "$*" >&2; exit 1; }
usage() { sed -n '2,9s/^# \{0,1\}//p' "$0"; exit "$1"; }

while [ $# -gt 0 ]; do
    case $1 in
        --dry-run) dry_run=true ;;
        --remove) remove=true ;;
        --root) [ $# -gt 1 ] || usage 2; root=${2%/}; shift ;;
        -h | --help) usage 0 ;;
        *) say "unknown: $1" >&2; usage 2 ;;
    esac
    shift
done

program=$root/opt/storekeeper
settings=$root/etc/storekeeper
state=$root/var/lib/storekeeper
unit=$root/etc/systemd/system/storekeeper.service
rules=$root/etc/udev/rules.d/70-storekeeper.rules

# change WHAT COMMAND...: say it, count it, and unless this is a dry run, do it.
change() {
    say "  $1"
    changes=$((changes + 1))
    shift
    if ! $dry_run; then "$@"; fi
}

on_this_machine() { [ -z "$root" ]; }

find_python() {
    for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11}; do
        if "$candidate" -c 'import sys; sys.exit(sys.version_info < (3, 11))' 2>/dev/null; then
            command -v "$candidate"
            return
        fi
    done
}

check_machine() {
    [ "$(getconf LONG_BIT)" = 64 ] || refuse "this is a 32-bit system; the libraries exist for 64 bits only. Install the 64-bit image."
    python=$(find_python)
    [ -n "$python" ] || refuse "Python 3.11 or newer is needed, there is $(python3 --version 2>/dev/null || echo none). Debian 12 or newer has it."
    local place=$root/opt
    while [ ! -d "$place" ]; do place=$(dirname "$place"); done
    local free_kb
    free_kb=$(df -Pk "$place" | awk 'NR == 2 { print $4 }')
    [ "$free_kb" -ge 1048576 ] || refuse "only $((free_kb / 1024)) MB are free in $place; 1024 are needed. Make room, then run this again."
    if on_this_machine; then
        [ -d /run/systemd/system ] || refuse "this system does not run systemd. Without it: make run, or storekeeper run -c FILE."
        $dry_run || [ "$(id -u)" = 0 ] || refuse "this needs root. Run: sudo $0"
    else
        [ -d "$root/lib/systemd" ] || [ -d "$root/usr/lib/systemd" ] || refuse "there is no systemd in $root."
    fi
}

install_packages() {
    on_this_machine || return 0
    local missing=()
    command -v cc >/dev/null || missing+=(gcc)
    [ -e /usr/include/linux/input.h ] || missing+=(linux-libc-dev)
    "$python" -c 'import ensurepip' 2>/dev/null || missing+=(python3-venv)
    "$python" -c 'import pathlib, sys, sysconfig; sys.exit(not pathlib.Path(sysconfig.get_path("include"), "Python.h").exists())' \
        || missing+=(python3-dev)
    [ ${#missing[@]} = 0 ] && return 0
    command -v apt-get >/dev/null || refuse "these packages are missing: ${missing[*]}. Install them, then run this again."
    change "packages, to build the one library that has no binary: ${missing[*]}" \
        apt-get install -y -q --no-install-recommends "${missing[@]}"
}

create_user() {
    on_this_machine || return 0
    if ! getent passwd storekeeper >/dev/null; then
        change "user storekeeper, without login" \
            useradd --system --home-dir "$state" --no-create-home --shell /usr/sbin/nologin storekeeper
    fi
    local group
    for group in input dialout audio i2c gpio; do
        getent group "$group" >/dev/null || continue
        id -nG storekeeper 2>/dev/null | grep -qw "$group" && continue
        change "user storekeeper into group $group" usermod -aG "$group" storekeeper
    done
}

# make_directory PATH MODE OWNER
make_directory() {
    [ -d "$1" ] && return 0
    change "directory $1" install -d -m "$2" "$1"
    if on_this_machine && ! $dry_run; then chown "$3" "$1"; fi
}

# What would be installed: the lock and every file of the packages.
fingerprint() {
    (cd "$source_dir" && find requirements.lock pyproject.toml gateway drivers models backoffice \
        -name __pycache__ -prune -o -type f -print0 | LC_ALL=C sort -z | xargs -0 sha256sum | sha256sum | cut -d' ' -f1)
}

install_program() {
    local wanted
    wanted="$(fingerprint) $("$python" -c 'import sys; print("%d.%d" % sys.version_info[:2])')"
    [ -e "$program/installed" ] && [ "$(cat "$program/installed")" = "$wanted" ] && return 0
    program_changed=true
    change "program in $program/venv, from requirements.lock (takes a minute or two)" build_program "$wanted"
}

build_program() {
    local pip=("$program/venv/bin/python" -m pip install --quiet --disable-pip-version-check)
    rm -f "$program/installed"
    "$python" -m venv "$program/venv"
    "${pip[@]}" --require-hashes -r "$source_dir/requirements.lock"
    "${pip[@]}" --no-deps --no-build-isolation --force-reinstall "$source_dir"
    install -m 0644 "$source_dir/README.md" "$program/README.md"
    ln -sfn "$program/venv/bin/storekeeper" "$program/storekeeper"
    say "$1" >"$program/installed"
}

write_settings() {
    [ -e "$settings/config.toml" ] && return 0
    change "settings in $settings/config.toml" first_settings
}

first_settings() {
    cat >"$settings/config.toml" <<'SETTINGS'
# All options with their meaning: config.example.toml. Is it right? storekeeper check
[shop]
name = "My shop"

[ledger]
data_dir = "/var/lib/storekeeper"
SETTINGS
    chmod 0640 "$settings/config.toml"
    if on_this_machine; then chgrp storekeeper "$settings/config.toml"; fi
}

# install_file SOURCE DESTINATION: 0 when it was changed.
install_file() {
    cmp -s "$1" "$2" && return 1
    change "file $2" install -D -m 0644 "$1" "$2"
}

start_service() {
    on_this_machine || return 0
    if $unit_changed; then change "systemd reads the unit" systemctl daemon-reload; fi
    systemctl -q is-enabled storekeeper 2>/dev/null || change "service starts with the machine" systemctl -q enable storekeeper
    if ! systemctl -q is-active storekeeper 2>/dev/null; then
        change "service started" systemctl start storekeeper
    elif $program_changed || $unit_changed; then
        change "service started again" systemctl restart storekeeper
    fi
}

finish() {
    if [ $changes = 0 ]; then
        say "  nothing: everything is as it should be"
    elif $dry_run; then
        say "$changes changes, none of them made."
        return 0
    fi
    on_this_machine || return 0
    say "Pages: http://127.0.0.1:8080 on this box, $(hostname).local, $(hostname -I | cut -d' ' -f1)"
    say "From another computer: ssh -L 8080:127.0.0.1:8080 $(hostname).local, then http://127.0.0.1:8080"
    if [ -x "$program/venv/bin/storekeeper" ] && ! $dry_run; then
        "$program/venv/bin/storekeeper" doctor -c /etc/storekeeper/config.toml || true
    fi
}

remove_all() {
    say "Removing storekeeper:"
    if on_this_machine && [ -e "$unit" ]; then
        change "service stopped and disabled" systemctl -q disable --now storekeeper
    fi
    local path
    for path in "$unit" "$rules" "$program"; do
        if [ -e "$path" ]; then change "deleted $path" rm -rf "$path"; fi
    done
    if on_this_machine && [ $changes -gt 0 ]; then change "systemd reads its units" systemctl daemon-reload; fi
    [ $changes -gt 0 ] || say "  nothing: it is not installed"
    if $dry_run && [ $changes -gt 0 ]; then say "$changes changes, none of them made."; fi
    for path in "$state" "$settings"; do
        if [ -d "$path" ]; then say "Kept: $path"; fi
    done
}

if $remove; then
    if on_this_machine && ! $dry_run && [ "$(id -u)" != 0 ]; then refuse "removing needs root. Run: sudo $0 --remove"; fi
    remove_all
    exit 0
fi
check_machine
$dry_run && say "Would change:" || say "Changing:"
install_packages
create_user
make_directory "$program" 0755 root:root
make_directory "$settings" 0770 root:storekeeper
make_directory "$state" 0700 storekeeper:storekeeper
install_program
write_settings
install_file "$source_dir/systemd/storekeeper.service" "$unit" && unit_changed=true
if install_file "$source_dir/systemd/70-storekeeper.rules" "$rules" && on_this_machine; then
    change "udev reads the rules" udevadm control --reload
    change "udev looks at the devices again" udevadm trigger --subsystem-match=tty --subsystem-match=input --subsystem-match=hidraw
fi
start_service
finish
