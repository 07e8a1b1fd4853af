#!/bin/sh
# Make the Debian root that tests/integration/test_systemd_boot.py boots, once per set of dependencies.
#   make_root.sh FOLDER REQUIREMENT...
# Prints the root's path. FOLDER keeps roots and wheels; delete it whenever you like.
set -eu
folder=$1
shift
python=${PYTHON:-python3}
root=$folder/root-$(printf '%s\n' "$@" | cat - "$0" | sha256sum | cut -c1-12)
if [ ! -d "$root" ]; then
	mkdir -p "$folder/wheels"
	rm -rf "$root.part"
	{
		debootstrap --variant=minbase \
			--include=systemd,systemd-sysv,python3,python3-venv,libportaudio2 bookworm "$root.part"
		# Debian 12 has Python 3.11, whatever Python runs this.
		"$python" -m pip download --quiet --disable-pip-version-check --only-binary=:all: \
			--python-version 3.11 --dest "$folder/wheels" "$@"
		systemd-nspawn --register=no --keep-unit --quiet -D "$root.part" \
			--bind-ro="$folder/wheels:/wheels" /bin/sh -c \
			'python3 -m venv /opt/edgetalk && exec "$@"' - \
			/opt/edgetalk/bin/pip install --quiet --no-index --find-links /wheels "$@"
	} >&2
	mv "$root.part" "$root"
fi
echo "$root"
