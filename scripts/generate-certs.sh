#!/usr/bin/env bash
# Makes the cluster's CA and one certificate for each node: DIR/ca.{crt,key}, DIR/node{1..N}.{crt,key}.
# Renews certificates, and takes a cluster from one CA to the next without a pause: docs/operations.md, "Certificates".
set -euo pipefail
umask 077

usage() {
    cat <<'TEXT'
Usage: scripts/generate-certs.sh [--out DIR] [--nodes N] [--days D] [--force]
       scripts/generate-certs.sh --renew [--only I] [--out DIR] [--nodes N] [--days D]
       scripts/generate-certs.sh --new-ca | --retire-ca [--out DIR] [--days D]

  --out DIR    where to write (default: certs)
  --nodes N    number of nodes, 1..1000 (default: 5)
  --days D     validity of the node certificates in days (default: 365); the CA lives ten times as long
  --force      replace what is there; every node then needs its new files and the new ca.crt
  --renew      new keys and certificates for the nodes, from the CA that is there; replaces the old ones
  --only I     with --renew: for node I alone
  --new-ca     begin a change of CA: ca.key becomes a new one, ca.crt holds the new CA and the old one, both trusted
  --retire-ca  end it: ca.crt keeps the new CA alone; refused while a node certificate here is from another

Copy ca.crt, nodeN.crt and nodeN.key to node N. Keep ca.key offline: who holds it can impersonate every node.
TEXT
}

fail() {
    echo "generate-certs: $*" >&2
    exit 1
}

out=certs nodes=5 days=365 force=no only= mode=create
choose() {
    [ $mode = create ] || fail "--$mode and --$1 exclude each other"
    mode=$1
}
while [ $# -gt 0 ]; do
    case $1 in
        --out | --nodes | --days | --only)
            [ $# -ge 2 ] || fail "$1 needs a value"
            declare "${1#--}=$2"
            shift 2
            ;;
        --force) force=yes; shift ;;
        --renew | --new-ca | --retire-ca) choose "${1#--}"; shift ;;
        -h | --help) usage; exit 0 ;;
        *) usage >&2; fail "unknown argument '$1'" ;;
    esac
done

[[ $nodes =~ ^[1-9][0-9]{0,3}$ ]] && [ "$nodes" -le 1000 ] || fail "--nodes must be 1 to 1000, not '$nodes'"
[[ $days =~ ^[1-9][0-9]{0,3}$ ]] || fail "--days must be 1 to 9999, not '$days'"
if [ -n "$only" ]; then
    [ "$mode" = renew ] || fail "--only goes with --renew"
    [[ $only =~ ^[1-9][0-9]{0,3}$ ]] && [ "$only" -le "$nodes" ] || fail "--only must be 1 to $nodes, not '$only'"
fi
if [ $force = yes ] && [ "$mode" != create ]; then fail "--force and --$mode exclude each other"; fi
command -v openssl >/dev/null ||
    fail "openssl is missing; install it: apt-get install openssl (Debian, Ubuntu), dnf install openssl (Fedora), apk add openssl (Alpine)"

ids() { if [ -n "$only" ]; then echo "$only"; else seq "$nodes"; fi; }

wanted=()
case $mode in
    create) wanted+=(ca.crt ca.key) ;;
    # The bundle first: whatever else fails, the old CA stays trusted.
    new-ca) wanted+=(ca.crt ca.key) ;;
    retire-ca) wanted+=(ca.crt) ;;
esac
case $mode in
    create | renew) for i in $(ids); do wanted+=("node$i.crt" "node$i.key"); done ;;
esac

if [ "$mode" = create ]; then
    for file in "${wanted[@]}"; do
        if [ -e "$out/$file" ] && [ $force = no ]; then
            fail "$out/$file exists; nothing was changed. Use another --out, --renew for new node certificates, or --force to replace all"
        fi
    done
else
    for file in ca.crt ca.key; do
        [ -e "$out/$file" ] || fail "$out/$file is missing; --$mode works where the CA is"
    done
    # The CA that issues is the first of the file.
    [ "$(openssl x509 -in "$out/ca.crt" -noout -pubkey)" = "$(openssl pkey -in "$out/ca.key" -pubout)" ] ||
        fail "$out/ca.key does not belong to the first certificate of $out/ca.crt; restore the pair"
fi
authorities() { grep -c -e '-----BEGIN CERTIFICATE-----' "$out/ca.crt"; }

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

new_ca() {
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
}

new_nodes() { # certificate and key of the CA
    local i
    for i in $(ids); do
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
        run x509 -req -sha256 -in "$work/node.csr" -CA "$1" -CAkey "$2" -set_serial "$(serial)" \
            -days "$days" -extfile "$work/node.ext" -out "$work/node$i.crt"
    done
}

# Every node certificate that is here must be from the CA that stays.
retire_ca() {
    local crt
    openssl x509 -in "$out/ca.crt" -out "$work/ca.crt"
    for crt in "$out"/node*.crt; do
        [ -e "$crt" ] || continue
        openssl verify -no_check_time -CAfile "$work/ca.crt" "$crt" >/dev/null 2>&1 ||
            fail "$crt is not from the CA that stays; renew it first (--renew), and give it to its node"
    done
}

case $mode in
    create)
        new_ca
        new_nodes "$work/ca.crt" "$work/ca.key"
        ;;
    renew) new_nodes "$out/ca.crt" "$out/ca.key" ;;
    new-ca)
        [ "$(authorities)" -eq 1 ] || fail "$out/ca.crt holds several CAs: a change is under way; end it with --retire-ca"
        new_ca
        cat "$out/ca.crt" >>"$work/ca.crt"
        ;;
    retire-ca)
        [ "$(authorities)" -gt 1 ] || fail "$out/ca.crt holds one CA; there is none to take out"
        retire_ca
        ;;
esac

for file in "${wanted[@]}"; do
    case $file in *.crt) chmod 644 "$work/$file" ;; esac
    mv -f "$work/$file" "$out/$file"
done
check="check with scripts/verify-certs.sh $out"
case $mode in
    create) echo "$out: CA and $nodes node certificates, valid for $days days; $check" ;;
    renew) echo "$out: new certificates of node $(ids | paste -sd ' '), valid for $days days; $check, then install them" ;;
    new-ca) echo "$out/ca.crt trusts the old CA and a new one; give it to every node, then renew the node certificates" ;;
    retire-ca) echo "$out/ca.crt trusts the new CA alone; give it to every node" ;;
esac
