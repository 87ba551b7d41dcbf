#!/usr/bin/env bash
# WMT14 English-German: europarl v7, common crawl, news commentary v9; newstest2013 to validate, newstest2014 to test.
# A work folder serves one direction.
set -euo pipefail

# shellcheck source=recipes/wmt14.sh
source "$(dirname "${BASH_SOURCE[0]}")/../wmt14.sh"

languages=("en de" "de en") disk_gb=12
training=(
  "training-parallel-europarl-v7.tgz training/europarl-v7.de-en"
  "training-parallel-commoncrawl.tgz commoncrawl.de-en"
  "training-parallel-nc-v9.tgz training/news-commentary-v9.de-en"
)
tests=(
  "valid dev.tgz dev/newstest2013-%s.%s.sgm 3000"
  "test test-full.tgz test-full/newstest2014-deen-%s.%s.sgm 3003"
)
run_recipe "$@"
