#!/bin/sh
# Installs the Intervene agent on this server, or removes it.
#
#   sh install.sh --control-plane HOST:PORT --url URL --ca DIGEST --root DIGEST --account-keys DIGEST
#                 (--token TOKEN | --token-stdin | --token-file FILE)
#                 [--mode resident|rescue] [--allow PATTERN]... [--highest-class A|B|C]
#                 [--allow-no-undo]
#                 [--bundle-digest DIGEST] [--prefix DIR] [--yes]
#   sh install.sh remove [--prefix DIR] [--yes]
#
# The agent dials out to the control plane and opens no port. Everything it will trust is named by digests
# on the command line; other bytes are refused. --allow, --highest-class and --allow-no-undo say what the
# local policy lets orders do (default: anything that only looks); local root may change it at any time. --prefix installs
# below another directory and starts nothing.
set -eu
umask 022
PATH=/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL

# Digest of the agent's archive per machine type and packing; filled in when the agent is built.
bundles=''

say() { printf '%s\n' "$*" >&2; }
fail() {
  say "✗ $1"
  [ $# -lt 2 ] || say "  $2"
  exit 1
}
usage() {
  say "✗ $1"
  say "  sh install.sh --help"
  exit 2
}

# Only whole strings of expected characters get past these; nothing is ever evaluated.
is_digest() {
  case $1 in sha256:*) ;; *) return 1 ;; esac
  hex=${1#sha256:}
  [ ${#hex} -eq 64 ] || return 1
  case $hex in *[!0-9a-f]*) return 1 ;; esac
}
is_address() {
  case $1 in '' | -* | *[!A-Za-z0-9.:_[\]-]*) return 1 ;; esac
  port=${1##*:}
  host=${1%:*}
  [ "$host" != "$1" ] && [ -n "$host" ] || return 1
  case $port in '' | *[!0-9]* | ??????*) return 1 ;; esac
  [ "$port" -ge 1 ] && [ "$port" -le 65535 ]
}
is_url() {
  case $1 in http://?* | https://?*) ;; *) return 1 ;; esac
  case $1 in *[!A-Za-z0-9.:/_[\]-]*) return 1 ;; esac
}
is_token() {
  case $1 in *[!A-Za-z0-9_-]*) return 1 ;; esac
  [ ${#1} -ge 16 ] && [ ${#1} -le 200 ]
}
is_pattern() {
  case $1 in
  '*') ;;
  *.*.* | .* | *.) return 1 ;;
  *.'*') case ${1%.*} in '' | *[!a-z]*) return 1 ;; esac ;;
  *.*)
    case ${1%%.*} in *[!a-z]*) return 1 ;; esac
    case ${1#*.} in -* | *- | *[!a-z-]*) return 1 ;; esac
    ;;
  *) return 1 ;;
  esac
}

command=install
control_plane='' url='' ca='' root='' account_keys='' token='' token_from=''
mode=resident allow='' highest_class=A allow_no_undo=no bundle_digest='' prefix='' yes=no

parse() {
  if [ "${1:-}" = remove ]; then
    command=remove
    shift
  fi
  while [ $# -gt 0 ]; do
    option=$1
    shift
    case $option in
    --yes) yes=yes && continue ;;
    --allow-no-undo) allow_no_undo=yes && continue ;;
    --token-stdin) take_token_source stdin && continue ;;
    -h | --help)
      sed -n '2,/^set -eu/s/^# \{0,1\}//p' "$0" 2>/dev/null || say 'see the head of install.sh'
      exit 0
      ;;
    --*) [ $# -gt 0 ] || usage "$option needs a value" ;;
    *) usage "unknown word: $option" ;;
    esac
    value=$1
    shift
    case $option in
    --control-plane) is_address "$value" || usage "--control-plane: not host:port" && control_plane=$value ;;
    --url) is_url "$value" || usage "--url: not an address of the web" && url=${value%/} ;;
    --ca) is_digest "$value" || usage "--ca: not a digest (sha256:…)" && ca=$value ;;
    --root) is_digest "$value" || usage "--root: not a digest (sha256:…)" && root=$value ;;
    --account-keys) is_digest "$value" || usage "--account-keys: not a digest (sha256:…)" && account_keys=$value ;;
    --bundle-digest) is_digest "$value" || usage "--bundle-digest: not a digest (sha256:…)" && bundle_digest=$value ;;
    --token) take_token_source argument && token=$value ;;
    --token-file) take_token_source file && token=$(cat -- "$value") || usage "--token-file: cannot be read" ;;
    --mode)
      case $value in resident | rescue) mode=$value ;; *) usage "--mode: resident or rescue" ;; esac
      ;;
    --allow) is_pattern "$value" || usage "--allow: not an action or a pattern" && allow="$allow${allow:+, }\"$value\"" ;;
    --highest-class)
      case $value in A | B | C) highest_class=$value ;; *) usage "--highest-class: A, B or C" ;; esac
      ;;
    --prefix)
      case $value in /*) prefix=${value%/} ;; *) usage "--prefix: not an absolute path" ;; esac
      case $value in *[!A-Za-z0-9./_-]*) usage "--prefix: only plain characters" ;; esac
      ;;
    *) usage "unknown option: $option" ;;
    esac
  done
}

take_token_source() {
  [ -z "$token_from" ] || usage "give the token in one way only"
  token_from=$1
}

# Everything that is installed, and nothing else.
set_places() {
  lib=$prefix/usr/lib/intervene-agent
  launcher=$prefix/usr/bin/intervene-agent
  etc=$prefix/etc/intervene
  state=$prefix/var/lib/intervene
  unit=$prefix/etc/systemd/system/intervene-agent.service
}

# What came as a Debian package belongs to dpkg.
refuse_package() {
  [ ! -e "$lib/dist/id" ] || fail "The agent came here as a package." "$1"
}

has_systemd() { [ -z "$prefix" ] && [ -d /run/systemd/system ]; }

confirm() {
  [ "$yes" = no ] || return 0
  ( : </dev/tty >/dev/tty ) 2>/dev/null || fail "Nobody can be asked here." "Run it on a terminal, or with --yes."
  printf '%s [y/N] ' "$1" >/dev/tty
  read -r answer </dev/tty || answer=n
  case $answer in y | Y | yes) ;; *) fail "Nothing was changed." ;; esac
}

need_root() {
  [ -n "$prefix" ] || [ "$(id -u)" -eq 0 ] || fail "This needs root." "Run it with sudo."
}

package_command() {
  for manager in apt-get dnf yum zypper pacman; do
    command -v "$manager" >/dev/null 2>&1 || continue
    case $manager in
    apt-get) printf 'apt-get install -y %s' "$1" ;;
    pacman) printf 'pacman -S %s' "$1" ;;
    *) printf '%s install %s' "$manager" "$1" ;;
    esac
    return
  done
  printf 'install the package %s' "$1"
}

need_tools() {
  command -v curl >/dev/null 2>&1 || command -v wget >/dev/null 2>&1 ||
    fail "Neither curl nor wget is here." "$(package_command curl)"
  for tool in tar gzip sha256sum mktemp; do
    command -v "$tool" >/dev/null 2>&1 || fail "$tool is missing." "$(package_command "$tool")"
  done
  [ -x /usr/bin/bwrap ] ||
    fail "bubblewrap is missing: jobs run only in its sandbox." "$(package_command bubblewrap)"
}

# Sets `arch`, `packing` and `bundle_digest`. What is packed with xz is a third smaller; --bundle-digest is the
# digest of the archive that every server can unpack.
find_bundle() {
  case $(uname -m) in
  x86_64 | amd64) arch=x64 ;;
  aarch64 | arm64) arch=arm64 ;;
  *) fail "There is no agent for $(uname -m)." ;;
  esac
  packing=gz
  [ -n "$bundle_digest" ] || ! command -v xz >/dev/null 2>&1 || packing=xz
  stamped=''
  for entry in $bundles; do
    [ "${entry%%=*}" != "$arch.$packing" ] || stamped=${entry#*=}
  done
  [ -n "${stamped:-$bundle_digest}" ] || fail "The digest of the agent for $arch is not known." "Give it with --bundle-digest."
  [ -z "$bundle_digest" ] || [ -z "$stamped" ] || [ "$bundle_digest" = "$stamped" ] ||
    fail "--bundle-digest is not the one this installer was made for."
  bundle_digest=${stamped:-$bundle_digest}
}

show_trust() {
  say "This server will get the Intervene agent ($mode) and will trust:"
  say "  Control plane   $control_plane"
  say "  CA key          $ca"
  say "  Operator root   $root"
  say "  Account keys    $account_keys"
  say "  Agent           $bundle_digest"
  say "Its policy allows ${allow:-any action}, up to class $highest_class, $([ "$allow_no_undo" = yes ] && echo also || echo not) what cannot be undone, with the client's grant and an engineer's order."
  say "It dials out and opens no port. Remove it with: $(removal)"
}

# The copy that an install leaves; a script that came through a pipe has no file to copy.
removal() {
  place=install.sh
  [ ! -f "$0" ] && [ ! -f "$lib/install.sh" ] || place=$lib/install.sh
  printf '%s' "sh $place remove${prefix:+ --prefix $prefix}"
}

fetch() {
  if command -v curl >/dev/null 2>&1; then
    curl -fsSL --connect-timeout 15 --max-time 900 -o "$2" -- "$1"
  else
    wget -q -T 15 -O "$2" -- "$1"
  fi
}

# A directory that is there stays as it is; one that is made here is taken back when the install fails.
make_directory() {
  [ ! -d "$1" ] || return 0
  mkdir -p -- "$(dirname -- "$1")"
  mkdir -m "$2" -- "$1"
  undo="$undo $1"
}

work='' undo='' unit_installed=no is_installed=no
roll_back() {
  status=$?
  trap - EXIT HUP INT TERM
  [ -z "$work" ] || rm -rf -- "$work"
  if [ "$status" -ne 0 ] && [ "$is_installed" = no ]; then
    if [ "$unit_installed" = yes ]; then
      systemctl disable --now intervene-agent.service >/dev/null 2>&1 || :
    fi
    for made in $undo; do rm -rf -- "$made"; done
    ! has_systemd || systemctl daemon-reload || :
    say "  Nothing was left behind."
  fi
  exit "$status"
}

install_agent() {
  [ -n "$control_plane" ] || usage "--control-plane is missing"
  [ -n "$url" ] || usage "--url is missing"
  [ -n "$ca" ] || usage "--ca is missing"
  [ -n "$root" ] || usage "--root is missing"
  [ -n "$account_keys" ] || usage "--account-keys is missing"
  [ -n "$token_from" ] || usage "a token is missing: --token, --token-stdin or --token-file"
  need_root
  need_tools
  find_bundle
  refuse_package "Enrol it with: intervene-agent enroll --help"
  for place in "$lib" "$state/identity"; do
    [ ! -e "$place" ] || fail "An agent is installed here already: $place" "Remove it first: $(removal)"
  done
  [ "$token_from" != stdin ] || read -r token || [ -n "$token" ] || fail "No token came on standard input."
  is_token "$token" || usage "that is not a token"
  show_trust
  confirm "Are these the digests you were told?"

  trap roll_back EXIT
  trap 'exit 130' HUP INT TERM
  work=$(mktemp -d)
  archive=$work/agent.tar.$packing
  fetch "$url/install/intervene-agent-linux-$arch.tar.$packing" "$archive" || fail "The agent could not be fetched from $url."
  echo "${bundle_digest#sha256:}  $archive" | sha256sum -c - >/dev/null 2>&1 ||
    fail "The agent that was fetched is not the one that was promised." "Expected $bundle_digest"
  make_directory "$lib" 755
  # Unpacked by name: not every tar knows the packing of several joined parts by itself.
  case $packing in gz) unpack=gzip ;; xz) unpack=xz ;; esac
  "$unpack" -dc -- "$archive" | tar -xof - -C "$lib" || fail "The archive cannot be unpacked."

  make_directory "$etc" 755
  write_config
  make_directory "$state" 700
  chmod 700 "$state"
  undo="$undo $state/identity $state/trust"
  printf '%s\n' "$token" | "$lib/bin/intervene-agent" enroll --token-stdin --yes \
    --config "$etc/agent.toml" --state "$state" --policy "$etc/policy.toml" \
    --server-address "$control_plane" --ca "$ca" --root "$root" --account-keys "$account_keys" \
    --mode "$mode" 2>"$work/said" || fail "This server could not be enrolled." "$(cat "$work/said")"
  sed -n -e '/^✓/p' -e '/Agent key/p' "$work/said" >&2

  make_directory "$(dirname -- "$launcher")" 755
  undo="$undo $launcher"
  ln -s "${lib#"$prefix"}/bin/intervene-agent" "$launcher"
  # What removes it stays with it.
  [ ! -f "$0" ] || { cp -- "$0" "$lib/install.sh" && chmod 755 "$lib/install.sh"; }
  install_unit
  is_installed=yes
  if has_systemd; then
    say "✓ Installed and started."
    say "Next: intervene-agent status"
  else
    say "✓ Installed. There is no systemd here, so start it yourself: intervene-agent run"
  fi
}

# What local root wrote before stays.
write_config() {
  if [ ! -e "$etc/agent.toml" ]; then
    undo="$undo $etc/agent.toml"
    printf 'control-plane = ["%s"]\nstate-directory = "%s"\n' "$control_plane" "$state" >"$etc/agent.toml"
  fi
  if [ -e "$etc/policy.toml" ]; then
    say "! $etc/policy.toml is there already and stays as it is."
  else
    undo="$undo $etc/policy.toml"
    printf '# What orders may do on this server. Only local root writes this; no entry in it can be\n# overruled from outside. Check it with: intervene-agent policy check\nversion = 1\nallow = [%s]\nhighest-class = "%s"\n' \
      "${allow:-\"*\"}" "$highest_class" >"$etc/policy.toml"
    [ "$allow_no_undo" = no ] || echo 'allow-steps-without-undo = true' >>"$etc/policy.toml"
    chmod 644 "$etc/policy.toml"
  fi
}

install_unit() {
  has_systemd || [ -n "$prefix" ] || return 0
  make_directory "$(dirname -- "$unit")" 755
  undo="$undo $unit"
  cp -- "$lib/intervene-agent.service" "$unit"
  has_systemd || return 0
  unit_installed=yes
  systemctl daemon-reload
  systemctl enable --now --quiet intervene-agent.service || fail "The service did not start." "journalctl -u intervene-agent"
}

remove_agent() {
  need_root
  refuse_package "Remove it with: apt-get purge intervene-agent"
  found=''
  for place in "$unit" "$launcher" "$lib" "$etc" "$state"; do
    { [ ! -e "$place" ] && [ ! -L "$place" ]; } || found="$found $place"
  done
  [ -n "$found" ] || fail "No agent is installed here."
  say "This removes the agent, its identity, its policy and its journals:"
  for place in $found; do say "  $place"; done
  [ ! -d "$state/backups" ] || say "! $state/backups holds what undoes earlier repairs. Afterwards they cannot be undone."
  confirm "Remove all of it?"
  if has_systemd; then systemctl disable --now intervene-agent.service >/dev/null 2>&1 || :; fi
  # Also what outlives the service: jobs that still run.
  [ ! -x "$lib/bin/intervene-agent" ] || [ ! -d "$state" ] ||
    "$lib/bin/intervene-agent" lock --state "$state" >/dev/null 2>&1 || say "! A job could not be stopped."
  for place in $found; do
    rm -rf -- "$place"
    say "  removed $place"
  done
  if has_systemd; then systemctl daemon-reload; fi
  say "✓ Removed."
}

parse "$@"
set_places
case $command in
install) install_agent ;;
remove) remove_agent ;;
esac
