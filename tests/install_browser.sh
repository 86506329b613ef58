#!/bin/sh
# The page tests drive a real Chromium. Installs Debian's where there is none and we may; else the tests skip and say so.
for name in chromium chromium-browser google-chrome google-chrome-stable; do
    command -v "$name" >/dev/null 2>&1 && exit 0
done
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null 2>&1; then
    (apt-get update -qq && apt-get install -qq -y chromium) >/dev/null 2>&1 && exit 0
fi
echo "No Chromium found: tests marked 'browser' will be skipped. Install it to run them." >&2
exit 1
