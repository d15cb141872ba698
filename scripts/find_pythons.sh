#!/usr/bin/env bash
# Prints one interpreter a line for each Python from 3.11 on that this machine has, the oldest first:
# those on the PATH, then those that pyenv keeps.
set -euo pipefail

usable() {
  # What is printed is the interpreter itself: a shim of pyenv may name another one tomorrow.
  "$1" -c 'import ensurepip, os, sys, venv; os.path.exists(sys._base_executable) and print(sys._base_executable)' \
    2>/dev/null
}

pyenv="${PYENV_ROOT:-$HOME/.pyenv}/versions"
for version in 3.11 3.12 3.13 3.14; do
  # The newest of pyenv's first.
  mapfile -t kept < <(compgen -G "$pyenv/$version.*/bin/python" | sort -rV)
  for candidate in "python$version" "${kept[@]}"; do
    if found=$(usable "$candidate") && [ -n "$found" ]; then
      echo "$found"
      break
    fi
  done
done
