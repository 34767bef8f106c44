#!/usr/bin/env bash
# Makes the cluster's CA and one certificate for each node: DIR/ca.{crt,key}, DIR/node{1..N}.{crt,key}.
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/generate-certs.sh [--out DIR] [--nodes N] [--days D] [--force]

  --out DIR    where to write (default: certs)
  --nodes N    number of nodes, 1..1000 (default: 5)
  --days D     validity of the node certificates in days (default: 365); the CA lives ten times as long
  --force      replace what is there; every node then needs its new files and the new ca.crt

Copy ca.crt, nodeN.crt and nodeN.key to node N. Keep ca.key offline: who holds it can impersonate every node.
TEXT
}

fail() {
    echo "generate-certs: $*" >&2
    exit 1
}

out=certs nodes=5 days=365 force=no
while [ $# -gt 0 ]; do
    case $1 in
        --out | --nodes | --days)
            [ $# -ge 2 ] || fail "$1 needs a value"
            declare "${1#--}=$2"
            shift 2
            ;;
        --force) force=yes; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument '$1'" ;;
    esac
done

[[ $nodes =~ ^[1-9][0-9]{0,3}$ ]] && [ "$nodes" -le 1000 ] || fail "--nodes must be 1 to 1000, not '$nodes'"
[[ $days =~ ^[1-9][0-9]{0,3}$ ]] || fail "--days must be 1 to 9999, not '$days'"
command -v openssl >/dev/null ||
    fail "openssl is missing; install it: apt-get install openssl (Debian, Ubuntu), dnf install openssl (Fedora), apk add openssl (Alpine)"

wanted=(ca.crt ca.key)
for i in $(seq "$nodes"); do wanted+=("node$i.crt" "node$i.key"); done
for file in "${wanted[@]}"; do
    if [ -e "$out/$file" ] && [ $force = no ]; then
        fail "$out/$file exists; nothing was changed. Use another --out, or --force to replace all certificates"
    fi
done

# Everything is made aside and moved at the end: a failure half-way leaves the old set whole.
mkdir -p "$out"
work=$(mktemp -d "$out/.new.XXXXXX")
trap 'rm -rf "$work"' EXIT

run() {
    openssl "$@" 2>"$work/openssl.log" || { cat "$work/openssl.log" >&2; fail "openssl $1 failed"; }
}

new_key() {
    run genpkey -algorithm EC -pkeyopt ec_paramgen_curve:P-256 -out "$1"
    chmod 600 "$1"
}

# Names are in the requests; openssl insists on a section for them.
request() { # key, common name, output
    printf '[req]\ndistinguished_name = name\nprompt = no\n[name]\nCN = %s\n' "$2" >"$work/request.cnf"
    run req -new -key "$1" -config "$work/request.cnf" -out "$3"
}

serial() { printf '0x%s' "$(openssl rand -hex 16 | sed 's/^./4/')"; }

new_key "$work/ca.key"
# A name of its own for each CA, so that an old and a new one can be trusted side by side.
request "$work/ca.key" "mpc-wallet CA $(openssl rand -hex 4)" "$work/ca.csr"
cat >"$work/ca.ext" <<'TEXT'
basicConstraints = critical, CA:TRUE, pathlen:0
keyUsage = critical, keyCertSign, cRLSign
subjectKeyIdentifier = hash
TEXT
run x509 -req -sha256 -in "$work/ca.csr" -signkey "$work/ca.key" -set_serial "$(serial)" \
    -days $((days * 10)) -extfile "$work/ca.ext" -out "$work/ca.crt"

for i in $(seq "$nodes"); do
    new_key "$work/node$i.key"
    request "$work/node$i.key" "node-$i" "$work/node.csr"
    cat >"$work/node.ext" <<TEXT
basicConstraints = critical, CA:FALSE
keyUsage = critical, digitalSignature
extendedKeyUsage = serverAuth, clientAuth
subjectAltName = DNS:node-$i
subjectKeyIdentifier = hash
authorityKeyIdentifier = keyid
TEXT
    run x509 -req -sha256 -in "$work/node.csr" -CA "$work/ca.crt" -CAkey "$work/ca.key" -set_serial "$(serial)" \
        -days "$days" -extfile "$work/node.ext" -out "$work/node$i.crt"
done

for file in "${wanted[@]}"; do
    case $file in *.crt) chmod 644 "$work/$file" ;; esac
    mv -f "$work/$file" "$out/$file"
done
echo "$out: CA and $nodes node certificates, valid for $days days. Check with scripts/verify-certs.sh $out"
