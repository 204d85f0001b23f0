#!/bin/sh
# Everything that is measured on a GPU, on a machine with torch and without a network:
#     sh benches/gpu/start.sh FOLDER [options of benches.gpu]
# It installs what `make gpu-pack` has put into .gpu/ into a folder of its own.
set -e
cd "$(dirname "$0")/../.."
UAG_GPU_SITE=$(mktemp -d)
export UAG_GPU_SITE PYTHONPATH="$UAG_GPU_SITE"
export HF_HUB_OFFLINE=1 PYTHONUNBUFFERED=1 TOKENIZERS_PARALLELISM=false
unset TORCH_LOGS PYTORCH_CUDA_ALLOC_CONF PYTORCH_ALLOC_CONF
PYTHON=${PYTHON:-python3}
"$PYTHON" -m pip install -q --no-index --no-deps --no-compile --no-cache-dir \
	--disable-pip-version-check --target "$UAG_GPU_SITE" .gpu/wheels/*.whl
folder=$1
shift
exec "$PYTHON" -m benches.gpu --out "$folder" "$@"
