#!/bin/sh
# Makes the virtual environment with everything that demo, tests and benchmarks need.
# usage: install.sh PYTHON VENV CONSTRAINTS
set -eu
python=$1 venv=$2 constraints=$3

"$python" -c 'import sys; sys.exit(sys.version_info < (3, 11))' || {
    echo "tracknow-static needs Python 3.11 or newer; $python is $("$python" --version)." >&2
    echo "Name another one: make PYTHON=python3.12 …" >&2
    exit 1
}
if ! "$python" -m venv --help >/dev/null 2>&1 || ! "$python" -c 'import ensurepip' 2>/dev/null; then
    if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
        echo "· installing python3-venv (Debian)"
        apt-get update -qq
        DEBIAN_FRONTEND=noninteractive apt-get install -y -qq python3-venv >/dev/null
    else
        echo "Python's venv module is missing: install it (Debian: apt-get install python3-venv)." >&2
        exit 1
    fi
fi
[ -x "$venv/bin/python" ] || {
    echo "· creating $venv with $("$python" --version)"
    "$python" -m venv "$venv"
}
echo "· installing packages into $venv (one to three minutes the first time)"
# --group needs pip 25.1
"$venv/bin/python" -m pip install --quiet --upgrade 'pip>=25.1'
"$venv/bin/python" -m pip install --progress-bar on --quiet --constraint "$constraints" \
    --editable '.[all]' --group dev
echo "· ready"
