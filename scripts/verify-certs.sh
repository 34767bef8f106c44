#!/usr/bin/env bash
# Checks a directory of certificates: chain, names, usage, validity, key pairs, permissions. Lists every problem; exit 1 if there is one.
set -uo pipefail

if [ "${1:-}" = -h ] || [ "${1:-}" = --help ] || [ $# -gt 1 ]; then
    echo "Usage: scripts/verify-certs.sh [DIR]   (default: certs)" >&2
    [ $# -gt 1 ] && exit 1
    exit 0
fi
dir=${1:-certs}
problems=0

problem() {
    echo "PROBLEM  $*"
    problems=$((problems + 1))
}

if ! command -v openssl >/dev/null; then
    echo "verify-certs: openssl is missing; install it: apt-get install openssl (Debian, Ubuntu), dnf install openssl (Fedora), apk add openssl (Alpine)" >&2
    exit 1
fi
if [ ! -d "$dir" ]; then
    echo "verify-certs: $dir is not a directory; make one with scripts/generate-certs.sh --out $dir" >&2
    exit 1
fi

check_validity() { # certificate, how to call it
    local from until now days name=${2:-$1}
    now=$(date +%s)
    from=$(date -d "$(openssl x509 -in "$1" -noout -startdate | cut -d= -f2)" +%s)
    until=$(date -d "$(openssl x509 -in "$1" -noout -enddate | cut -d= -f2)" +%s)
    days=$(((until - now) / 86400))
    if [ "$from" -gt "$now" ]; then
        problem "$name is not valid yet; check this machine's clock"
    elif [ "$until" -le "$now" ]; then
        problem "$name has expired; issue a new one"
    else
        echo "ok       $name: $(openssl x509 -in "$1" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p'), $days days left"
        if [ "$days" -lt 14 ]; then echo "NOTE     $name: less than 14 days left, rotate now"; fi
    fi
}

check_key() { # certificate, key
    local mode of_cert of_key
    if [ ! -e "$2" ]; then
        problem "$2 is missing"
        return
    fi
    mode=$(stat -L -c %a "$2")
    if [ $((8#$mode & 8#77)) -ne 0 ]; then problem "$2 has mode $mode: group or others may use it; chmod 600 $2"; fi
    if ! of_key=$(openssl pkey -in "$2" -pubout 2>/dev/null); then
        problem "$2 is not a readable private key"
        return
    fi
    of_cert=$(openssl x509 -in "$1" -noout -pubkey)
    if [ "$of_cert" != "$of_key" ]; then problem "$2 does not belong to $1"; fi
}

extension() { openssl x509 -in "$1" -noout -ext "$2" 2>/dev/null | tail -n +2 | sed 's/^ *//'; }

readable() { # certificate, how to call it
    if openssl x509 -in "$1" -noout 2>/dev/null; then return 0; fi
    problem "${2:-$1} is not a readable certificate"
    return 1
}

ca=$dir/ca.crt
if [ ! -e "$ca" ]; then
    problem "$ca is missing"
else
    # Several CAs while one takes over from the other. The first one issues.
    work=$(mktemp -d)
    trap 'rm -rf "$work"' EXIT
    awk -v dir="$work" '/-----BEGIN CERTIFICATE-----/ { n++ } n { print > sprintf("%s/%04d.crt", dir, n) }' "$ca"
    authorities=("$work"/*.crt)
    if [ ! -e "${authorities[0]}" ]; then problem "$ca holds no certificate"; fi
    number=0
    for one in "${authorities[@]}"; do
        [ -e "$one" ] || continue
        number=$((number + 1))
        name=$ca
        if [ ${#authorities[@]} -gt 1 ]; then name="$ca, certificate $number"; fi
        readable "$one" "$name" || continue
        check_validity "$one" "$name"
        case $(extension "$one" basicConstraints) in *CA:TRUE*) ;; *) problem "$name is not a CA certificate" ;; esac
    done
    if [ $number -gt 1 ]; then echo "NOTE     $ca trusts $number CAs: a change is under way; end it with generate-certs.sh --retire-ca"; fi
    # A node does not have it, and should not.
    if [ -e "$dir/ca.key" ] && [ $number -gt 0 ]; then check_key "$ca" "$dir/ca.key"; fi
fi

found=0
for crt in "$dir"/node*.crt; do
    [ -e "$crt" ] || continue
    found=$((found + 1))
    id=${crt##*/node}
    id=${id%.crt}
    readable "$crt" || continue
    check_validity "$crt"
    name=$(openssl x509 -in "$crt" -noout -subject -nameopt multiline | sed -n 's/^ *commonName *= //p')
    if [ "$name" != "node-$id" ]; then problem "$crt has common name '$name', expected 'node-$id'"; fi
    names=$(extension "$crt" subjectAltName)
    if ! grep -qE "(^|, )DNS:node-$id(,|$)" <<<"$names"; then
        problem "$crt has subject alternative names '$names', expected DNS:node-$id"
    fi
    usage=$(extension "$crt" extendedKeyUsage)
    for needed in "TLS Web Server Authentication" "TLS Web Client Authentication"; do
        case $usage in *"$needed"*) ;; *) problem "$crt lacks the usage '$needed'" ;; esac
    done
    # Validity is judged above; here only who signed it.
    if [ -e "$ca" ] && ! openssl verify -no_check_time -CAfile "$ca" "$crt" >/dev/null 2>&1; then
        problem "$crt is not signed by $ca"
    fi
    check_key "$crt" "${crt%.crt}.key"
done
for key in "$dir"/node*.key; do
    if [ -e "$key" ] && [ ! -e "${key%.key}.crt" ]; then problem "$key has no certificate"; fi
done
if [ $found -eq 0 ]; then problem "$dir holds no node certificate"; fi

if [ $problems -gt 0 ]; then
    echo "$problems problem(s) in $dir"
    exit 1
fi
echo "$dir is in order: $found node certificate(s)"
