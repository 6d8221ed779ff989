#!/usr/bin/env bash
# Installs the Debian packages of the test cluster (SLURM, MariaDB), of the tracking tests (PostgreSQL) and of the storm
# (faketime), if missing.
# Where it cannot, it says so and exits 0: the tests that need them are skipped.
set -euo pipefail

packages=(slurm-wlm slurmdbd munge mariadb-server postgresql psmisc faketime)

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
	echo "tests/slurm: not a Debian system; tests on a real SLURM are skipped unless its daemons are installed"
	exit 0
fi

missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
	echo "tests/slurm: all packages are installed"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "tests/slurm: not root; tests on a real SLURM are skipped (as root: apt-get install ${missing[*]})"
	exit 0
fi

# The tests start daemons of their own; the packages must not start theirs.
policy=/usr/sbin/policy-rc.d
if [ ! -e "$policy" ]; then
	printf '#!/bin/sh\nexit 101\n' > "$policy"
	chmod +x "$policy"
	trap 'rm -f "$policy"' EXIT
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
echo "tests/slurm: installing ${missing[*]}"
log=$(mktemp)
"${install[@]}" > "$log" 2>&1 || { apt-get update -qq > "$log" 2>&1 && "${install[@]}" > "$log" 2>&1; } || {
	cat "$log" >&2
	echo "tests/slurm: could not install ${missing[*]}; tests that need them are skipped" >&2
}
rm -f "$log"
