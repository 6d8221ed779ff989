#!/usr/bin/env bash
# Installs the Debian packages that the tests of the report and of the LaTeX tables need, if missing: Chromium with a
# font, Java for the HTML validator, and LaTeX. Where it cannot, it says so and exits 0: the tests that need them are skipped.
set -euo pipefail

installed() { [ "$(dpkg-query --show --showformat='${db:Status-Status}' "$1" 2> /dev/null)" = installed ]; }

if ! command -v apt-get > /dev/null || ! command -v dpkg-query > /dev/null; then
	echo "tests/analysis/report: not a Debian system; tests that need chromium, java or pdflatex are skipped unless they are installed"
	exit 0
fi

packages=(chromium fonts-liberation texlive-latex-base texlive-latex-recommended lmodern)
command -v java > /dev/null || packages+=(default-jre-headless)
missing=()
for package in "${packages[@]}"; do
	installed "$package" || missing+=("$package")
done
if [ ${#missing[@]} = 0 ]; then
	echo "tests/analysis/report: all packages are installed"
	exit 0
fi
if [ "$(id -u)" != 0 ]; then
	echo "tests/analysis/report: not root; tests that need them are skipped (as root: apt-get install ${missing[*]})"
	exit 0
fi

export DEBIAN_FRONTEND=noninteractive
install=(apt-get install -y -qq --no-install-recommends "${missing[@]}")
echo "tests/analysis/report: installing ${missing[*]}"
log=$(mktemp)
"${install[@]}" > "$log" 2>&1 || { apt-get update -qq > "$log" 2>&1 && "${install[@]}" > "$log" 2>&1; } || {
	cat "$log" >&2
	echo "tests/analysis/report: could not install ${missing[*]}; tests that need them are skipped" >&2
}
rm -f "$log"
