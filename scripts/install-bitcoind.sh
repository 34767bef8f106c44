#!/bin/sh
# Unpacks a bitcoind, with every library it needs, into DIR, for the suites that want a foreign
# validator. Nothing is installed into the system: packages are fetched and verified by apt under a
# private configuration, unpacked with dpkg-deb and started through their own dynamic linker.
#
#   scripts/install-bitcoind.sh DIR
#
# Debian stable has no bitcoind; the unstable suite of the mirror this system already uses has.
# Afterwards DIR/bitcoind starts the node and DIR/VERSION says which one it is. A second run finds
# that and returns at once. Needs no root. Exit 2: wrong use; exit 3: not possible here.
set -eu

package=bitcoin-knots
suite=sid

say() { printf '%s\n' "install-bitcoind: $*" >&2; }
cannot() {
    say "$*"
    say "the suites run against the embedded chain only until this works"
    exit 3
}

if [ $# -ne 1 ] || [ -z "$1" ]; then
    say "usage: $0 DIR"
    exit 2
fi
mkdir -p "$1" || cannot "cannot create $1"
dir=$(cd "$1" && pwd)

if [ -s "$dir/VERSION" ] && "$dir/bitcoind" -version >/dev/null 2>&1; then
    say "already there: $(cat "$dir/VERSION")"
    exit 0
fi

for tool in apt-get dpkg dpkg-deb; do
    command -v "$tool" >/dev/null 2>&1 || cannot "$tool not found: this needs a Debian system"
done

# The mirror that serves the system's own release, asked from apt itself so that every format of
# sources file is understood.
release=$(. /etc/os-release && printf '%s' "${VERSION_CODENAME:-}")
mirror=$(apt-get indextargets --no-release-info --format '$(REPO_URI) $(RELEASE) $(COMPONENT)' 'Identifier: Packages' |
    awk -v release="$release" '$2 == release && $3 == "main" { print $1; exit }')
[ -n "$mirror" ] || cannot "apt's sources name no mirror for release '$release', component main"
keyring=/usr/share/keyrings/debian-archive-keyring.gpg
[ -r "$keyring" ] || cannot "$keyring is missing: install debian-archive-keyring"

work=$dir/unpack.$$
trap 'rm -rf "$work"' EXIT
trap 'exit 130' INT TERM
mkdir -p "$work/state/lists/partial" "$work/cache/archives/partial" "$work/etc" "$work/root"
: >"$work/state/status"
printf 'deb [signed-by=%s] %s %s main\n' "$keyring" "$mirror" "$suite" >"$work/etc/sources.list"

# An empty dpkg status makes apt resolve the whole closure, the C library included.
private_apt() {
    apt-get -q -y \
        -o Dir::Etc::sourcelist="$work/etc/sources.list" -o Dir::Etc::sourceparts=- \
        -o Dir::Etc::preferences=- -o Dir::Etc::preferencesparts=- \
        -o Dir::State="$work/state" -o Dir::State::status="$work/state/status" \
        -o Dir::Cache="$work/cache" -o Acquire::Languages=none \
        -o APT::Sandbox::User= -o APT::Install-Recommends=false -o Debug::NoLocking=true \
        -o Acquire::Retries=2 -o DPkg::Post-Invoke::= \
        "$@" >>"$work/log" 2>&1
}

say "reading the $suite package lists"
private_apt -o APT::Update::Post-Invoke::= -o APT::Update::Post-Invoke-Success::= \
    --error-on=any update || { tail -n 5 "$work/log" >&2; cannot "cannot read $suite from $mirror"; }
say "fetching $package and the libraries it needs"
private_apt --download-only install "$package" ||
    { tail -n 5 "$work/log" >&2; cannot "cannot fetch $package from $mirror"; }

for deb in "$work"/cache/archives/*.deb; do
    [ -e "$deb" ] || cannot "apt fetched no package"
    dpkg-deb --extract "$deb" "$work/root" || cannot "cannot unpack $deb"
done

# The node runs on its own C library, not the system's: both come from DIR. Only what runs is kept.
mkdir -p "$work/kept/lib"
linker=$(find "$work/root" -type f -name 'ld-linux*.so.*' | head -n 1)
binary=$work/root/usr/bin/bitcoind
[ -n "$linker" ] && [ -x "$binary" ] || cannot "$package holds no bitcoind or no dynamic linker for this machine"
cp "$linker" "$work/kept/ld.so"
cp "$binary" "$work/kept/bitcoind.bin"
find "$work/root" \( -type f -o -type l \) -name '*.so.*' -exec cp -P {} "$work/kept/lib/" \;

cat >"$work/kept/bitcoind" <<'LAUNCHER'
#!/bin/sh
here=$(cd "$(dirname "$0")" && pwd)
exec "$here/ld.so" --library-path "$here/lib" "$here/bitcoind.bin" "$@"
LAUNCHER
chmod +x "$work/kept/bitcoind"
version=$("$work/kept/bitcoind" -version 2>/dev/null | head -n 1) || version=
[ -n "$version" ] || cannot "the unpacked bitcoind does not start on this kernel"

rm -rf "$dir/lib" "$dir/ld.so" "$dir/bitcoind.bin" "$dir/bitcoind" "$dir/VERSION"
mv "$work/kept/"* "$dir/"
printf '%s\n' "$version" >"$dir/VERSION"
say "ready: $version in $dir"
