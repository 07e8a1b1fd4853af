#!/bin/sh
# Install EdgeTalk as a service; running it again updates it. Nothing is started.
#   install.sh [--user] [--venv DIR]
# --user  for the desktop of the user who runs it, instead of the whole machine
# --venv  use this virtual environment, which has edge-run already, instead of making one
# From the environment: DESTDIR (put everything under it), PYTHON (python3),
# PACKAGE (what pip installs: this folder).
set -eu
here=$(cd "$(dirname "$0")" && pwd)
python=${PYTHON:-python3} root=${DESTDIR:-} user= venv=
while [ $# -gt 0 ]; do
	case $1 in
	--user) user=--user ;;
	--venv) venv=${2:?--venv needs a folder}; shift ;;
	*) echo "install.sh: unknown '$1'; known: --user, --venv DIR" >&2; exit 2 ;;
	esac
	shift
done
if [ "$user" ]; then
	etc=${XDG_CONFIG_HOME:-$HOME/.config}
	unit=$here/user/edgetalk.service units=$etc/systemd/user
	env=$etc/edgetalk/environment home=$HOME/.local/share/edgetalk
else
	etc=/etc
	unit=$here/edgetalk.service units=/etc/systemd/system
	env=/etc/default/edgetalk home=/opt/edgetalk
fi

if [ -z "$venv" ]; then
	venv=$home
	# On a Jetson TensorRT belongs to the system's Python, and the venv must see it.
	if "$python" -c 'import tensorrt' 2>/dev/null; then see=--system-site-packages; else see=; fi
	"$python" -m venv $see "$root$venv"
	if [ -z "${PACKAGE:-}" ]; then
		# From a copy: pip would leave its build folder in the tree, owned by root.
		PACKAGE=$(mktemp -d)
		trap 'rm -rf "$PACKAGE"' EXIT
		tar -C "$here/.." --exclude='./.*' --exclude=./build --exclude=./runs -cf - . | tar -C "$PACKAGE" -xf -
	fi
	"$root$venv/bin/python" -m pip install --quiet --disable-pip-version-check --upgrade "$PACKAGE"
fi
venv=$(cd "$root$venv" && pwd) && venv=${venv#"$root"}
if [ ! -x "$root$venv/bin/edge-run" ]; then
	echo "install.sh: no bin/edge-run in $root$venv; pip install edgetalk there first" >&2; exit 69
fi
case $user$venv/ in /home/*|/root/*)
	echo "install.sh: the system service cannot see $venv; keep it outside /home and /root" >&2; exit 2 ;;
esac

mkdir -p "$root$units" "$root$etc/edgetalk" "$(dirname "$root$env")"
# A group that this machine lacks would stop the service from starting (216/GROUP).
groups=
for group in audio video render; do
	if [ "$root" ] || getent group $group >/dev/null; then groups="$groups $group"; fi
done
sed -e "s|^ExecStart=[^ ]*|ExecStart=$venv/bin/edge-run|" \
	-e "s|^SupplementaryGroups=.*|SupplementaryGroups=${groups# }|" "$unit" > "$root$units/edgetalk.service"
chmod 644 "$root$units/edgetalk.service"
if [ -z "$user" ] && [ -e "$root/etc/nv_tegra_release" ]; then
	install -D -m 644 "$here/jetson.conf" "$root$units/edgetalk.service.d/jetson.conf"
fi
# What the technician wrote stays.
[ -e "$root$etc/edgetalk/edge.yaml" ] || install -m 644 "$here/edge.yaml" "$root$etc/edgetalk/edge.yaml"
[ -e "$root$env" ] || printf '%s\n' '# Flags for edge-run, which win over edge.yaml; see edge-run --help.' 'EDGETALK_ARGS=' > "$root$env"
if [ -z "$root" ]; then
	systemctl $user daemon-reload
	systemctl $user try-restart edgetalk
fi
echo "Installed. Edit $etc/edgetalk/edge.yaml, try $venv/bin/edge-run --doctor, then:"
echo "  systemctl${user:+ $user} enable --now edgetalk"
