#!/bin/sh
# Remove what install.sh made, with configuration, drop-ins, caches and recordings. Asks nothing.
#   uninstall.sh [--user]
# A virtual environment given with install.sh --venv stays: install.sh did not make it.
set -eu
root=${DESTDIR:-} user=
case ${1:-} in
'') ;;
--user) user=--user ;;
*) echo "uninstall.sh: unknown '$1'; known: --user" >&2; exit 2 ;;
esac
[ "$root" ] || systemctl $user disable --now edgetalk 2>/dev/null || true
if [ "$user" ]; then
	etc=${XDG_CONFIG_HOME:-$HOME/.config}
	rm -rf "$root$etc/systemd/user/edgetalk.service" "$root$etc/systemd/user/edgetalk.service.d" \
		"$root$etc/edgetalk" "$root$HOME/.local/share/edgetalk" \
		"$root${XDG_CACHE_HOME:-$HOME/.cache}/edgetalk"
else
	rm -rf "$root/etc/systemd/system/edgetalk.service" "$root/etc/systemd/system/edgetalk.service.d" \
		"$root/etc/edgetalk" "$root/etc/default/edgetalk" "$root/opt/edgetalk" \
		"$root/var/cache/edgetalk" "$root/var/cache/private/edgetalk" \
		"$root/var/lib/edgetalk" "$root/var/lib/private/edgetalk"
fi
if [ -z "$root" ]; then
	systemctl $user daemon-reload
	systemctl $user reset-failed edgetalk 2>/dev/null || true
fi
echo "EdgeTalk is removed."
