#!/bin/sh
# The page tests drive a real Chromium, the metadata tests read files back with exiftool, the tests of the study's server
# run on a real PostgreSQL as well. Installs Debian's where there is none and we may; else those tests skip and say so.
missing=
have() { for name in "$@"; do command -v "$name" >/dev/null 2>&1 && return 0; done; return 1; }
have chromium chromium-browser google-chrome google-chrome-stable || missing="$missing chromium"
have exiftool || missing="$missing libimage-exiftool-perl"
ls /usr/lib/postgresql/*/bin/initdb >/dev/null 2>&1 || have initdb || missing="$missing postgresql"
[ -z "$missing" ] && exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt-get update -qq && apt-get install -qq -y $missing) >/dev/null 2>&1 && exit 0
fi
echo "Not found:$missing. Tests that need them will be skipped; install them to run those." >&2
exit 1
