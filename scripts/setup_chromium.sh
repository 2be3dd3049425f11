#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Install Debian's chromium, which the inspector's browser tests open their pages in, where apt and root are at hand.
#
# Usage: scripts/setup_chromium.sh
#
# Never fails: where there is no chromium the browser tests are skipped, and this says why.
set -uo pipefail

give_up() {
    echo "setup_chromium.sh: $1; the inspector's browser tests will be skipped" >&2
    exit 0
}

if command -v chromium > /dev/null; then
    echo "setup_chromium.sh: $(command -v chromium) is there"
    exit 0
fi
command -v apt-get > /dev/null || give_up "no chromium on the path, and no apt-get to install it with"
[[ "$(id -u)" == 0 ]] || give_up "no chromium on the path, and only root may install it (apt-get install chromium)"
export DEBIAN_FRONTEND=noninteractive
{ timeout 300 apt-get update -qq && timeout 600 apt-get install -y -qq --no-install-recommends chromium; } > /dev/null ||
    give_up "apt-get could not install chromium"
command -v chromium > /dev/null || give_up "apt-get installed chromium, but it is not on the path"
echo "setup_chromium.sh: installed $(command -v chromium)"
