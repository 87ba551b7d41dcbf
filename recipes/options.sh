# The options of a recipe's run.sh: one table, which says what is read and what --help prints. stages.sh sources this file.
# shellcheck shell=bash disable=SC2034,SC2154

model='' src='' tgt='' first=1 last='' seed=1 gen_subset=test raw='' sums=$here/SUMS vocab_size='' pairs='' work=$here/work
train_text='' valid_text='' test_text='' processes=1 nodes=1 master='' precision=''
# A line an option: its name and what stands for its value, the variable that holds it, what it means. One without a value
# makes its variable true.
option_table=(
  "MODEL|model|a flags file: models/MODEL.args beside run.sh, or a path"
  "--src L|src|source language"
  "--tgt L|tgt|target language"
  "--train PREFIX|train_text|the text to train on: PREFIX.L in both languages, or PREFIX.L.gz"
  "--valid PREFIX|valid_text|the text to validate on, likewise"
  "--test PREFIX|test_text|the text to test on, likewise"
  "--tokenized|tokenized|the text is tokenised already, as Moses does it"
  "--lowercase|lowercase|lower-case all text; the scores ignore case"
  "--stage N|first|begin at this stage"
  "--stop-stage N|last|end after this stage"
  "--seed N|seed|of the training; results of seeds other than 1 go to MODEL-seedN"
  "--gen-subset SET|gen_subset|translate and score test, or valid, by which one chooses; valid goes to MODEL/valid"
  "--raw DIR|raw|take the published files from this folder or address"
  "--sums FILE|sums|what those files must be; with --raw, a way to run a corpus of one's own"
  "--vocab-size N|vocab_size|pieces of the joint byte-pair encoding"
  "--pairs any|pairs|do not insist on the published numbers of sentence pairs"
  "--work DIR|work|where everything goes"
  "--precision P|precision|of a training on a GPU: bf16, fp16 or fp32; bf16 where the GPU has it, else fp16"
  "--processes N|processes|train with this many processes on every machine; see recipes/README.md"
  "--nodes N|nodes|train on this many machines"
  "--master HOST:PORT|master|which all of those machines can reach"
)
every_recipe="--src --tgt --stage --stop-stage --seed --work --precision"

# takes NAME: true when this recipe has the option.
takes() {
  [[ " $every_recipe $accepts " == *" $1 "* ]]
}

# parse_options ARGUMENTS...: into the variables of the table.
parse_options() {
  local name form variable given given_model=''
  [ "${languages[0]}" = any ] || read -r src tgt <<<"${languages[0]}"
  last=${#stages[@]}
  for given in "$@"; do
    [[ ! $given =~ ^(-h|--help)$ ]] || { print_help; exit; }
  done
  while [ $# -gt 0 ]; do
    [[ $1 == -* ]] || set -- MODEL "$@"
    name=$1
    takes "$name" || die "this recipe has no $name, see --help"
    IFS='|' read -r form variable _ <<<"$(row_of "$name")"
    [ "$name" != MODEL ] || [ -z "$given_model" ] || die "one MODEL at a time, not $given_model and $2"
    [ "$name" != MODEL ] || given_model=${2:-}
    if [[ $form = --* && $form != *' '* ]]; then
      given=true
      shift
    else
      given=$(value "$@")
      shift 2
    fi
    printf -v "$variable" '%s' "$given"
  done
  check_options
}

# row_of NAME: the line of the table that has the option.
row_of() {
  local row
  for row in "${option_table[@]}"; do
    [ "${row%%[ |]*}" != "$1" ] || echo "$row"
  done
}

# check_options: stops where something is missing, at a value that no recipe can use, or at languages that this one does not
# translate.
check_options() {
  local name form variable both allowed='' ending='^[[:alnum:]][[:alnum:]_-]*$'
  for name in $required; do
    IFS='|' read -r form variable _ <<<"$(row_of "$name")"
    [ -n "${!variable}" ] || die "needs $form, see --help"
  done
  [ -z "$pairs" ] || [ "$pairs" = any ] || die "--pairs must be any, not '$pairs'"
  number --seed "$seed" && number --processes "$processes" && number --nodes "$nodes"
  [ -z "$vocab_size" ] || number --vocab-size "$vocab_size"
  [ "$nodes" = 1 ] || [ -n "$master" ] || die "--nodes $nodes needs --master HOST:PORT, the same on every machine"
  [[ $precision =~ ^(|bf16|fp16|fp32)$ ]] || die "--precision must be bf16, fp16 or fp32, not '$precision'"
  [[ $gen_subset =~ ^(test|valid)$ ]] || die "--gen-subset must be test or valid, not '$gen_subset'"
  [ "$src" != "$tgt" ] || die "--src and --tgt are both $src"
  [[ $src =~ $ending && $tgt =~ $ending ]] ||
    die "--src and --tgt end the names of files: letters, digits, _ and - alone, not $src and $tgt"
  for both in "${languages[@]}"; do
    case $both in any | "$src $tgt") return ;; esac
    allowed=$allowed${allowed:+, or }${both/ / and }
  done
  die "--src and --tgt are $allowed, not $src and $tgt"
}

# number FLAG VALUE: stops unless the value is a whole number from 1 on.
number() {
  [[ $2 =~ ^[1-9][0-9]*$ ]] || die "$1 must be a number from 1 on, not '$2'"
}

# print_help: the usage, the comment at the recipe's head, its stages, and its options with their defaults.
print_help() {
  local recipe both row form variable meaning default name i
  recipe=recipes/$(basename "$here")
  takes MODEL && form='[MODEL] ' || form=''
  for name in $required; do
    row=$(row_of "$name")
    form+="${row%%|*} "
  done
  printf 'bash %s/run.sh %s[options]\n\n' "$recipe" "$form"
  usage
  printf '\nInterrupt it at any time and run it again: finished stages are skipped, a download goes on where it ended, and so does\n'
  printf 'a training, from its last checkpoint.\n\nstages:'
  for i in "${!stages[@]}"; do printf '  %d %s' $((i + 1)) "${stages[i]}"; done
  printf '\nlanguages:'
  for both in "${languages[@]}"; do printf '  %s' "$both"; done
  printf '\n\n'
  for row in "${option_table[@]}"; do
    IFS='|' read -r form variable meaning <<<"$row"
    takes "${form%% *}" || continue
    default=${!variable/#"$here"/"$recipe"}
    [[ $form = *' '* || $form = MODEL ]] || default=''
    printf '%-19s %s%s\n' "$form" "$meaning" "${default:+ (default: $default)}"
  done
}
