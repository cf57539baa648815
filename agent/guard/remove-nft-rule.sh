#!/bin/sh
# Deletes the rules of one chain that carry one comment: FAMILY TABLE CHAIN COMMENT. A rule is deleted by the number
# that nftables gave it, which nobody knows before it is there; its comment is known.
set -u
# What is not there holds no rule.
listed=$(nft --handle list chain "$1" "$2" "$3" 2>/dev/null) || exit 0
status=0
for handle in $(printf '%s\n' "$listed" | sed -n "s/.* comment \"$4\" # handle \([0-9]*\)\$/\1/p"); do
  nft delete rule "$1" "$2" "$3" handle "$handle" || status=1
done
exit $status
