# Sourced by the other scripts: makes sure that programs are there.
#
#   require_programs PROGRAM:PACKAGE...
#
# A program with a slash in its name is looked for there and not in PATH; it may be a pattern.
# Installs the Debian packages of the programs that are missing, as root or through a sudo that asks for no password.
# Where neither is possible, says exactly which packages are missing and ends with status 1.

require_programs() {
    local pair missing=()
    for pair in "$@"; do
        has_program "${pair%%:*}" || missing+=("${pair#*:}")
    done
    [ ${#missing[@]} -gt 0 ] || return 0

    local elevate=()
    if [ "$(id -u)" -ne 0 ]; then elevate=(sudo -n); fi
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
    "${elevate[@]}" apt-get -q update || true
    if ! "${elevate[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q -y install --no-install-recommends "${missing[@]}"; then
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
