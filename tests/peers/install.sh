#!/usr/bin/env bash
# What the browser and peer tests of tests/integration run against: Node, Chromium and the npm packages
# of package-lock.json.
set -euo pipefail
cd "$(dirname "$0")"

missing=()
command -v node >/dev/null || missing+=(nodejs)
command -v npm >/dev/null || missing+=(npm)
command -v chromium >/dev/null || missing+=(chromium)
if [ ${#missing[@]} -gt 0 ]; then
	if ! command -v apt-get >/dev/null || [ "$(id -u)" != 0 ]; then
		echo "install ${missing[*]} first" >&2
		exit 69
	fi
	DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends \
		"${missing[@]}" >/dev/null
fi

# No install scripts: npm osc would build a serial port that UDP does not need.
npm ci --ignore-scripts --omit=optional --no-audit --no-fund

# What the preview's page is built from, for the test that builds it again.
npm ci --ignore-scripts --no-audit --no-fund --prefix ../../page
