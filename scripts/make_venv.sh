#!/usr/bin/env bash
# Makes the virtual environment named by the first argument, unless a usable one is there.
# PYTHON names the interpreter; without it the first that is new enough is taken.
set -euo pipefail
venv=$1

is_usable() {
  "$1" -c 'import ensurepip, sys, venv; sys.exit(sys.version_info < (3, 11))' >/dev/null 2>&1
}

if [ -d "$venv" ]; then
  if is_usable "$venv/bin/python"; then
    "$venv/bin/python" -m pip --version >/dev/null 2>&1 || "$venv/bin/python" -m ensurepip >/dev/null
    exit 0
  fi
  echo "$venv is there but has no Python 3.11 or newer. Remove it with 'make clean' and try again." >&2
  exit 1
fi

candidates=(python3.13 python3.12 python3.11 python3.14 python3)
if [ -n "${PYTHON:-}" ]; then
  candidates=("$PYTHON")
fi
for candidate in "${candidates[@]}"; do
  if is_usable "$candidate"; then
    exec "$candidate" -m venv "$venv"
  fi
done

echo "No Python 3.11 or newer with the venv module was found (tried: ${candidates[*]})." >&2
echo "Install one (on Debian and Ubuntu also its venv package, such as python3.11-venv)," >&2
echo "or name one: make install PYTHON=/path/to/python3.11" >&2
exit 1
