#!/usr/bin/env bash
# WMT14 English-French: europarl v7, common crawl, UN, news commentary v9, giga-fren; newstest2013 to validate, 2014 to test.
# A work folder serves one direction. The training text is binarized in 8 folders, of which fairseq reads one in each of its
# epochs.
set -euo pipefail

# shellcheck source=recipes/wmt14.sh
source "$(dirname "${BASH_SOURCE[0]}")/../wmt14.sh"

languages=("en fr" "fr en") disk_gb=70 shards=8
training=(
  "training-parallel-europarl-v7.tgz training/europarl-v7.fr-en"
  "training-parallel-commoncrawl.tgz commoncrawl.fr-en"
  "training-parallel-un.tgz un/undoc.2000.fr-en"
  "training-parallel-nc-v9.tgz training/news-commentary-v9.fr-en"
  "training-giga-fren.tar giga-fren.release2.fixed.gz"
)
tests=(
  "valid dev.tgz dev/newstest2013-%s.%s.sgm 3000"
  "test test-full.tgz test-full/newstest2014-fren-%s.%s.sgm 3003"
)
run_recipe "$@"
