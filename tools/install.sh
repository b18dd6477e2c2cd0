#!/bin/sh
# Make .venv and install the project with its dependencies into it; tell every half minute what pip is at.
set -eu
python=$(sh tools/prerequisites.sh) || exit 1
echo "Installing into .venv with $("$python" --version). PyTorch and JupyterLab are large: 2 to 15 minutes, 2 to 7 GB."

.venv/bin/python -c '' >/dev/null 2>&1 || "$python" -m venv --clear .venv
log=.venv/install.log
: >"$log"
(
    seconds=0
    while sleep 30; do
        seconds=$((seconds + 30))
        printf '  %3d s  %s\n' "$seconds" "$(tail -n 1 "$log" | sed 's/^ *//' | cut -c 1-100)"
    done
) &
ticker=$!
trap 'kill $ticker 2>/dev/null' EXIT
trap 'exit 130' INT TERM

started=$(date +%s)
if ! .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --no-compile ${PIP_ARGS:-} -e '.[dev]' >"$log" 2>&1; then
    echo "pip failed. The end of $log:" >&2
    tail -n 25 "$log" >&2
    exit 1
fi
echo "Installed in $(($(date +%s) - started)) s."
