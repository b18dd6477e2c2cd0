#!/bin/sh
# Make .venv and install the project into it, with the versions of requirements-lock.txt, each checked by its SHA-256.
#   TORCH=cpu     with TORCH_INDEX=ADDRESS: PyTorch's own packages without CUDA (Linux: 1 GB in place of 7)
#   LOCKED=no     the newest releases that pyproject.toml allows, for systems on which a locked one does not exist
# Every half minute it tells what pip is at.
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

install() {
    if ! .venv/bin/python -m pip install --disable-pip-version-check --progress-bar off --no-compile ${PIP_ARGS:-} \
        "$@" >>"$log" 2>&1; then
        echo "pip failed. The end of $log:" >&2
        tail -n 25 "$log" >&2
        [ "${LOCKED:-yes}" = no ] || echo "LOCKED=no takes the newest releases that pyproject.toml allows instead." >&2
        exit 1
    fi
}

started=$(date +%s)
lock=requirements-lock.txt
if [ "${LOCKED:-yes}" = no ]; then
    install -e '.[dev]'
else
    if [ "${TORCH:-}" = cpu ]; then # the same releases, from the one index that has them without CUDA
        install --no-deps --index-url "${TORCH_INDEX:?TORCH=cpu needs TORCH_INDEX, the address of the index of PyTorch without CUDA (see the PyTorch site)}" $(grep -oE '^torch(vision)?==[^ ]+' "$lock")
        awk '/^[a-zA-Z]/ { skip = /^(torch|torchvision|triton|nvidia-[a-z0-9-]*|cuda-[a-z0-9-]*)==/ } !skip' \
            "$lock" >.venv/requirements-cpu.txt
        lock=.venv/requirements-cpu.txt
    fi
    install --no-deps --require-hashes -r "$lock"
    install --no-deps --no-build-isolation -e . # setuptools is locked too
fi
.venv/bin/python tools/warm.py --import >>"$log" 2>&1 || true # so that the first run need not compile what it imports
echo "Installed in $(($(date +%s) - started)) s."
