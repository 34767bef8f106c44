# Sourced by the other scripts: makes sure that programs are there.
#
#   require_programs PROGRAM:PACKAGE...
#   require_builders
#   require_etcd
#   require_prometheus
#
# A program with a slash in its name is looked for there and not in PATH; it may be a pattern.
# Installs the Debian packages of the programs that are missing, as root or through a sudo that asks for no password.
# Where neither is possible, says exactly which packages are missing and ends with status 1.

require_programs() {
    local pair missing=()
    for pair in "$@"; do
        has_program "${pair%%:*}" || missing+=("${pair#*:}")
    done
    install_packages "${missing[@]}"
}

# What the build of a node needs: cc for SQLite and ring, g++ for libbitcoinconsensus, protoc and the definitions that
# come apart from it for the etcd client.
require_builders() {
    require_programs cc:gcc g++:g++ protoc:protobuf-compiler
    if ! protoc --descriptor_set_out=/dev/null google/protobuf/descriptor.proto 2>/dev/null; then
        install_packages libprotobuf-dev
    fi
}

# etcd and its client, for suites that start members of their own: the service that Debian's package starts is stopped.
require_etcd() {
    local installed=yes
    command -v etcd >/dev/null 2>&1 || installed=no
    require_programs etcd:etcd-server etcdctl:etcd-client
    if [ "$installed" = no ] && [ -d /run/systemd/system ]; then as_root systemctl disable --now etcd; fi
}

# Prometheus and promtool, for a suite that starts its own. The service of Debian's package would listen on every address of the
# machine: while the package is installed, policy-rc.d, which Debian asks, forbids its start; afterwards it is disabled.
require_prometheus() {
    if has_program prometheus && has_program promtool; then return 0; fi
    (
        policy=/usr/sbin/policy-rc.d
        if [ ! -e "$policy" ]; then
            trap 'as_root rm -f "$policy"' EXIT
            { printf '#!/bin/sh\nexit 101\n' | as_root tee "$policy" >/dev/null && as_root chmod 0755 "$policy"; } || true
        fi
        require_programs prometheus:prometheus promtool:prometheus
    )
    if [ -d /run/systemd/system ]; then as_root systemctl disable --now prometheus; fi
}

as_root() {
    if [ "$(id -u)" -eq 0 ]; then "$@"; else sudo -n "$@"; fi
}

install_packages() {
    local missing=("$@")
    [ ${#missing[@]} -gt 0 ] || return 0

    if ! command -v apt-get >/dev/null 2>&1; then
        echo "missing packages (Debian's names): ${missing[*]}. Install them with your system's package manager" >&2
        exit 1
    fi
    if [ "$(id -u)" -ne 0 ] && ! sudo -n true 2>/dev/null; then
        echo "missing packages: ${missing[*]}. Install them: sudo apt-get install ${missing[*]}" >&2
        exit 1
    fi
    echo "installing ${missing[*]}"
    # Lists may be old or absent on a fresh machine; a failure here shows in the next step.
    as_root apt-get -q update || true
    if ! as_root env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; then
        echo "these packages cannot be installed: ${missing[*]}" >&2
        exit 1
    fi
}

has_program() {
    case $1 in
    */*) compgen -G "$1" >/dev/null ;;
    *) command -v "$1" >/dev/null 2>&1 ;;
    esac
}

# Rust is not Debian's business: rust-toolchain.toml names the version.
require_cargo() {
    if ! command -v cargo >/dev/null 2>&1; then
        echo "cargo is missing: install the Rust toolchain that rust-toolchain.toml names, with rustup" >&2
        exit 1
    fi
}
