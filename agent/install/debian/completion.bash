# Completion of intervene-agent for bash.
_intervene_agent() {
  local current=${COMP_WORDS[COMP_CWORD]} path='' word words='' files='--config --state --policy'
  for word in "${COMP_WORDS[@]:1:COMP_CWORD-1}"; do
    case "$path $word" in
      ' enroll' | ' run' | ' status' | ' lock' | ' unlock' | ' jobs' | ' trust' | ' policy') path=$word ;;
      'jobs prune' | 'trust accept-time' | 'policy check') path="$path $word" ;;
    esac
  done
  case "$path" in
    '') words='enroll run status lock unlock jobs trust policy --help --version' ;;
    enroll)
      words="--server-address --token-file --token-stdin --token --ca --root --account-keys --mode
        --allow --highest-class --allow-no-undo --kernel-command-line --replace --yes $files"
      ;;
    lock) words="--until-stopped $files" ;;
    status) words="--json $files" ;;
    jobs) words="prune --json $files" ;;
    'jobs prune') words="--older-than --dry-run --yes --json $files" ;;
    trust) words="accept-time --json $files" ;;
    policy) words='check' ;;
    'policy check' | 'trust accept-time') words="--json $files" ;;
    *) words=$files ;;
  esac
  case "${COMP_WORDS[COMP_CWORD - 1]}" in
    --mode) words='resident rescue' ;;
    --highest-class) words='A B C' ;;
  esac
  mapfile -t COMPREPLY < <(compgen -W "$words" -- "$current")
}
complete -o default -F _intervene_agent intervene-agent
