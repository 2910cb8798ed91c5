#!/usr/bin/env bash
# Whether this suite works on a GPU: from a bare Python with torch 2.11 to 2.13, in eight minutes or less on one 80 GB card.
#   tests/gpu/acceptance.sh [--wheels DIR] [--python PYTHON] [--out DIR] [--device cpu --tiny] [--no-speed]
# --wheels: packages that this Python lacks, unpacked into a folder of their own; tests/gpu/README.md says which.
set -euo pipefail
python=python3 wheels='' rest=()
while (($#)); do
  case $1 in
    --wheels) wheels=$(realpath "$2"); shift 2 ;;
    --python) python=$2; shift 2 ;;
    --out) rest+=(--out "$(realpath -m "$2")"); shift 2 ;;
    *) rest+=("$1"); shift ;;
  esac
done
cd "$(dirname "$0")/../.."
path=$PWD
if [[ -n $wheels ]]; then
  scratch=$(mktemp -d)
  trap 'rm -rf "$scratch"' EXIT
  site=$scratch/site-packages  # by this name dill, which `datasets` hashes with, knows packages from code of ours
  for wheel in "$wheels"/*.whl; do "$python" -m zipfile -e "$wheel" "$site"; done
  path=$site:$path
fi
export PYTHONPATH=$path HF_HUB_OFFLINE=1 TOKENIZERS_PARALLELISM=false TRANSFORMERS_VERBOSITY=error TRL_EXPERIMENTAL_SILENCE=1
"$python" -m tests.gpu.acceptance "${rest[@]}"
