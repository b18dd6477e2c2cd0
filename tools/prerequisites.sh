#!/bin/sh
# Print the Python to use: the first of $PYTHON or the usual names that is 3.10 or newer and can make environments.
# Where Python, its headers or a C++ compiler are missing, say so and how to get them, on stderr, and exit 1.
# pydensecrf2 has no binary packages: pip compiles it, hence the compiler and the headers (up to Python 3.12; on 3.13
# its sources do not compile, and it is left out).

new_enough() { "$1" -c 'import sys; sys.exit(sys.version_info < (3, 10))' >/dev/null 2>&1; }

python=
for candidate in ${PYTHON:-python3 python3.13 python3.12 python3.11 python3.10 python}; do
    if new_enough "$candidate"; then python=$candidate; break; fi
done

missing=
compiles_nothing=
report() { missing=yes; printf '%s\n' "$@" >&2; }

if [ -z "$python" ]; then
    if [ -n "$PYTHON" ]; then found="PYTHON=$PYTHON is none"
    else found="found $(command -v python3 >/dev/null && python3 --version 2>&1 | head -n 1 | grep . || echo none)"; fi
    report "Missing: Python 3.10 or newer ($found)." \
        "  Debian, Ubuntu: sudo apt-get install python3 python3-venv python3-dev" \
        "  Fedora:         sudo dnf install python3 python3-devel" \
        "  macOS:          brew install python" \
        "  conda:          conda env create -f environment.yml" \
        "  elsewhere:      make demo PYTHON=/path/to/python3"
else
    if ! "$python" -c 'import venv, ensurepip' >/dev/null 2>&1; then
        report "Missing: the venv module of $python." \
            "  Debian, Ubuntu: sudo apt-get install python3-venv" \
            "  elsewhere:      another Python, make demo PYTHON=/path/to/python3"
    fi
    "$python" -c 'import sys; sys.exit(sys.version_info < (3, 13))' && compiles_nothing=yes
    include=$("$python" -c 'import sysconfig; print(sysconfig.get_paths()["include"])')
    if [ -z "$compiles_nothing" ] && ! [ -f "$include/Python.h" ]; then
        report "Missing: the headers of $python (Python.h), which compiling pydensecrf2 needs." \
            "  Debian, Ubuntu: sudo apt-get install python3-dev" \
            "  Fedora:         sudo dnf install python3-devel" \
            "  macOS:          brew install python" \
            "  conda:          conda env create -f environment.yml   (binaries, nothing to compile)"
    fi
fi

compiler=
for candidate in ${CXX:-c++ g++ clang++}; do
    if command -v "$candidate" >/dev/null 2>&1; then compiler=$candidate; break; fi
done
works() { echo 'int main() { return 0; }' | "$1" -x c++ -c -o /dev/null - >/dev/null 2>&1; }
if [ -z "$compiles_nothing" ] && { [ -z "$compiler" ] || ! works "$compiler"; }; then
    report "Missing: a C++ compiler (c++, g++ or clang++), which compiling pydensecrf2 needs." \
        "  Debian, Ubuntu: sudo apt-get install g++" \
        "  Fedora:         sudo dnf install gcc-c++" \
        "  macOS:          xcode-select --install" \
        "  conda:          conda env create -f environment.yml   (binaries, nothing to compile)"
fi

[ -z "$missing" ] || exit 1
command -v "$python"
