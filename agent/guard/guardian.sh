#!/bin/sh
# The guardian of a change that could cut this server off. It puts back what one job changed when that is decided,
# when nobody has decided in time, and after a reboot; it leaves everything when it is decided to be kept. Its folder
# holds all it needs (guard-folder.ts says what), so that it depends on no agent, no network and no key: only on a
# shell, coreutils, flock(1), timeout(1), and the programs that it is told to run.
#
# May be started any number of times and killed at any moment: what is done is not done again. While another one is at
# it, it leaves; with the word `wait` it stays to take over.
set -u
umask 077
PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin
LC_ALL=C
export PATH LC_ALL
cd "$(dirname "$0")" || exit 1

command_limit=60
tries=3

is_same_boot() {
  [ "$(cat boot)" = "$(cat /proc/sys/kernel/random/boot_id)" ]
}

is_over() {
  is_same_boot || return 0
  read -r uptime _ </proc/uptime
  [ "${uptime%%.*}" -ge "$(cat deadline)" ]
}

# A symlink says it: there is one or there is none, whole, and making it needs no room on a full disk.
decide() {
  ln -s "$1" decision/is 2>/dev/null
  sync decision
}

# Whether the file is as before the job. The old one lies ready beside it; when it does not any more, it has been put
# back. What lay in its place is kept: somebody else may have written it.
put_back() {
  path=$(cat "$1/path")
  folder=$(dirname "$path")
  rm -f "$(cat "$1/draft")"
  if [ -e "$1/old" ]; then
    old=$(cat "$1/old")
    [ -e "$old" ] || [ -L "$old" ] || return 0
    keep_replaced "$1" "$path"
    mv -fT "$old" "$path" && sync "$folder"
    return
  fi
  if [ -e "$path" ] || [ -L "$path" ]; then
    keep_replaced "$1" "$path"
    rm -f "$path" && sync "$folder" || return
  fi
  while IFS= read -r made; do
    rmdir "$made" 2>/dev/null
  done <"$1/folders"
  return 0
}

keep_replaced() {
  [ -e "$1/replaced" ] || cp -pP "$2" "$1/replaced" 2>/dev/null
}

put_files_back() {
  failed=0
  for file in files/*; do
    [ -d "$file" ] || continue
    put_back "$file" || failed=1
  done
  return $failed
}

# One word of the command on each line of a file; no shell reads them.
run() {
  file=$1
  set --
  while IFS= read -r word; do
    set -- "$@" "$word"
  done <"$file"
  timeout -k 2 "$command_limit" "$@" </dev/null >>output 2>&1 9>&-
}

roll_back() {
  try=1
  until put_files_back; do
    [ $try -lt $tries ] || break
    try=$((try + 1))
    sleep 1
  done
  put_files_back
  say "files $?"
  commands=commands
  is_same_boot || commands=boot-commands
  for command in "$commands"/*; do
    [ -f "$command" ] || continue
    run "$command"
    say "$command $?"
  done
}

drop_old_files() {
  for file in files/*; do
    [ -e "$file/old" ] || continue
    old=$(cat "$file/old")
    rm -f "$old"
    sync "$(dirname "$old")"
  done
}

say() {
  echo "$1" >>report
}

# The unit that starts the guardian, also at the next boot, is of no more use.
leave() {
  [ -e unit ] || exit 0
  unit=$(cat unit)
  rm -f "/etc/systemd/system/sysinit.target.wants/$unit" "/etc/systemd/system/$unit"
  sync /etc/systemd/system
  # At boot systemd is busy, and forgets it by itself.
  is_same_boot && timeout -k 2 20 systemctl daemon-reload </dev/null >/dev/null 2>&1 9>&-
  exit 0
}

exec 9>lock
if [ "${1-}" = wait ]; then
  # Takes over when the one that is at it dies.
  flock 9 || exit 1
else
  flock -n 9 || exit 0
fi
[ -e ended ] && leave

echo $$ >watched
until [ -L decision/is ]; do
  if is_over; then
    decide rolled_back
    break
  fi
  sleep 0.5
done

# A disk that takes no decision keeps nobody from putting things back.
decision=$(readlink decision/is || echo rolled_back)
rm -f report
say "$decision"
if [ "$decision" = kept ]; then drop_old_files; else roll_back; fi
sync report
mv -f report ended
sync .
leave
