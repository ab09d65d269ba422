#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Runs one command line after the other that arrive on a device, and answers on it.
#
# usage: agent.sh DEVICE       or: agent.sh IN OUT
# in:    ID COMMAND...                one line, run by sh in a subshell
# out:   @@B ID, what it printed, then @@E ID STATUS on a line of its own
if [ $# -eq 2 ]; then
    exec 8<"$1" 9>"$2"
else
    exec 8<>"$1" 9>&8
fi
echo "@@UP $(cut -d' ' -f1 /proc/uptime)" >&9
while read -r id cmd <&8; do
    [ -n "$id" ] || continue
    echo "@@B $id" >&9
    ( eval "$cmd" ) </dev/null >&9 2>&1 8<&- 9>&-
    printf '\n@@E %s %d\n' "$id" $? >&9
done
