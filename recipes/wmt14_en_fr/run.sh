#!/usr/bin/env bash
# WMT14 English-French: europarl v7, common crawl, UN, news commentary v9, giga-fren; newstest2013 to validate, 2014 to test.
#
#   bash recipes/wmt14_en_fr/run.sh [MODEL] [--stage N] [--stop-stage N] [--seed N] [--raw DIR] [--sums FILE]
#                                   [--vocab-size 32000] [--pairs any] [--work DIR]
#
# MODEL       a flags file: models/MODEL.args here, or a path (default: bigru_bahdanau_maxout)
# --stage, --stop-stage   1 download  2 extract  3 prepare  4 segment  5 binarize  6 train  7 translate  8 score
# --src/--tgt en fr or fr en (default: en fr); a work folder serves one direction
# --seed N    of the training; results of seeds other than 1 go to MODEL-seedN (default: 1)
# --raw DIR   take the archives from DIR (default: download them)
# --sums FILE what the archives must be (default: SUMS here)
# --vocab-size N          pieces of the joint byte-pair encoding (default: 32000)
#             The training text is binarized in 8 folders, of which fairseq reads one in each of its epochs.
# --pairs any             do not insist on 3,000 and 3,003 segments of the test sets
# --work DIR  where everything goes (default: work here)
# --processes N           train with N processes (and --nodes M --master HOST:PORT, on M machines); see ../README.md
#
# Interrupt it at any time and run it again: finished stages are skipped, downloads go on where they ended, training
# from its last checkpoint.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
# shellcheck source=recipes/common.sh
source "$here/../common.sh"
# shellcheck source=recipes/stages.sh
source "$here/../stages.sh"
# shellcheck source=recipes/wmt14.sh
source "$here/../wmt14.sh"

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
disk_gb=70 src=en tgt=fr shards=8
run_recipe "$@"
