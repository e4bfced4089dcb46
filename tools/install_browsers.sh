#!/bin/sh
# Chromium, Firefox and WebKit from Debian's packages, and the proxies that the deployment files are
# for, when something is missing and we are root.
set -eu
missing=""
for pair in chromium:chromium chromedriver:chromium-driver firefox-esr:firefox-esr \
            WebKitWebDriver:webkit2gtk-driver Xvfb:xvfb xauth:xauth unshare:util-linux ip:iproute2 \
            nginx:nginx-light caddy:caddy apache2:apache2-bin; do
    command -v "${pair%%:*}" >/dev/null 2>&1 || missing="$missing ${pair#*:}"
done
[ -n "$missing" ] || exit 0
if [ "$(id -u)" = 0 ] && command -v apt-get >/dev/null; then
    echo "· installing browsers (Debian):$missing"
    # RUNLEVEL: no package starts its service.
    export RUNLEVEL=1 DEBIAN_FRONTEND=noninteractive
    for pause in 5 30 ""; do # a mirror does not always give at once what it has
        # shellcheck disable=SC2086
        apt-get update -qq && apt-get install -y -qq --no-install-recommends $missing >/dev/null && break
        [ -n "$pause" ] || exit 1
        sleep "$pause"
    done
else
    echo "Browsers are missing; install them first: apt-get install$missing" >&2
    [ "${CI:-}" = true ] && exit 1
    exit 0
fi
