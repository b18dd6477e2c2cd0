#!/bin/sh
# Write requirements-lock.txt anew: the versions and SHA-256 of everything that pyproject.toml asks for, with markers for
# Python 3.10 and newer on every system. What is locked stays as it is wherever the ranges still allow it;
#   make lock UPGRADE=1    moves everything to the newest release
# uv is taken from PATH, or installed for this once into a temporary folder.
set -eu
lock=requirements-lock.txt
if ! command -v uv >/dev/null 2>&1; then
    python=$(sh tools/prerequisites.sh) || exit 1
    folder=$(mktemp -d)
    trap 'rm -rf "$folder"' EXIT
    "$python" -m venv "$folder"
    "$folder/bin/python" -m pip install --quiet --disable-pip-version-check uv
    PATH="$folder/bin:$PATH"
fi
uv pip compile pyproject.toml --extra dev --universal --python-version 3.10 --generate-hashes --quiet --no-config \
    --no-emit-index-url --no-emit-find-links --custom-compile-command "make lock" --output-file "$lock" \
    ${UPGRADE:+--upgrade} >/dev/null
echo "$lock: $(grep -c '^[a-z]' "$lock") entries. To install them: make install"
