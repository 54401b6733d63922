#!/usr/bin/env bash
# Run tests/benchmarks/gpu in this clone's environment; on a machine that has none and no network,
# with the Python at hand and the wheels that `make gpu-wheels` packed elsewhere.
# usage: [PYTHON=python3] [VENV=.venv] run.sh [OPTIONS of the script]
set -euo pipefail
cd "$(dirname "$0")/../../.."
venv=${VENV:-.venv} python=${PYTHON:-python3} wheels=build/gpu-wheels packages=build/gpu-packages
if [ ! -x "$venv/bin/python" ] && [ -d "$wheels" ]; then
    "$python" -m pip install --quiet --no-index --no-deps --upgrade --find-links "$wheels" \
        --target "$packages" braceexpand ftfy ijson open-clip-torch regex simplejpeg wcwidth webdataset
    # What this clone would be called if it were installed, which ledgers and results record.
    version=$(sed -n 's/^version = "\(.*\)"$/\1/p' pyproject.toml)
    mkdir -p "$packages/clipbench-$version.dist-info"
    printf 'Metadata-Version: 2.1\nName: clipbench\nVersion: %s\n' "$version" \
        >"$packages/clipbench-$version.dist-info/METADATA"
    older=$PWD/$packages
else
    make --silent "$venv/.installed"
    python=$venv/bin/python older=$PWD/$venv/webdataset-0.2 # which open_clip's script needs
fi
export PYTHONPATH="$older:$PWD/bench:$PWD/attacks:$PWD/defenses:$PWD/datasets"
exec "$python" tests/benchmarks/gpu "$@"
