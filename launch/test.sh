#!/usr/bin/env bash
# Lint, types and all tests. Further arguments go to pytest.
set -euo pipefail
source "$(dirname "${BASH_SOURCE[0]}")/environment.sh"
make_environment dev
cd "$here"
ruff check .
ruff format --check .
mypy
export OMP_NUM_THREADS=1
exec pytest -n 2 --dist loadfile "$@"
