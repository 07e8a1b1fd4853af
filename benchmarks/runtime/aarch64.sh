#!/usr/bin/env bash
# Do the runtime's dependencies have wheels for the Pythons of JetPack 6 (3.10) and 7 (3.12), and does
# CUDA for Python that needs no compiler? Needs a package index; downloads about 80 MB into a temporary
# folder.
set -euo pipefail
cd "$(dirname "$0")/../.."
folder=$(mktemp -d)
trap 'rm -rf "$folder"' EXIT
mapfile -t wanted < <("${PYTHON:-python3}" - <<'PY'
import re
from pathlib import Path
text = Path("pyproject.toml").read_text()
block = re.search(r"^dependencies = \[(.*?)^\]", text, re.M | re.S)[1]
print("\n".join(re.findall(r'"([^"]+)"', block)))
PY
)
for pair in 3.10:12.9 3.12:13; do
	version=${pair%:*}
	# JetPack 6 is Ubuntu 22.04 (glibc 2.35), JetPack 7 is 24.04 (2.39): both take manylinux_2_28.
	"${PYTHON:-python3}" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
		--platform manylinux_2_28_aarch64 --platform manylinux_2_27_aarch64 \
		--platform manylinux_2_17_aarch64 --platform manylinux2014_aarch64 \
		--python-version "$version" --dest "$folder/$version" "${wanted[@]}" "cuda-bindings==${pair#*:}.*"
	echo "aarch64, Python $version:"
	(cd "$folder/$version" && printf '  %s\n' *)
done
