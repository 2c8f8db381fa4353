#!/bin/bash
# A sweep over machines without a scheduler: one worker on each, all in one study kept in a database.
#   export DEEPSPEC_STORAGE='postgresql://USER:PASSWORD@HOST/DATABASE'
#   HOSTS='gpu1 gpu2' sweeps/ssh.sh sweeps/xrf.yaml --overrides.data.root /data/shards
# Every machine needs the same folder (the one this is run in) with the environment .venv, and the data.
# Run it again to continue. Stop all: for host in $HOSTS; do ssh "$host" 'kill $(cat FOLDER/sweep-$(hostname).pid)'; done
set -euo pipefail
: "${HOSTS:?names of machines, see the top of this file}" "${DEEPSPEC_STORAGE:?URL of a database, see the top of this file}"
config=$1
shift
command=$(printf '%q ' .venv/bin/python -m deepspec.sweep --config "$config" --storage '$DEEPSPEC_STORAGE' "$@")
failed=
for host in $HOSTS; do
    # The URL goes through standard input: on a command line everybody on that machine could read its password.
    printf '%s\n' "$DEEPSPEC_STORAGE" | ssh "$host" "cd $(printf '%q' "$PWD") && read -r DEEPSPEC_STORAGE && export DEEPSPEC_STORAGE &&
        test -x .venv/bin/python && name=sweep-\$(hostname) &&
        if test -f \$name.pid && kill -0 \$(cat \$name.pid) 2> /dev/null; then
            echo \"$host: the worker of \$name.pid is still there\"
        else
            { nohup $command >> \$name.log 2>&1 < /dev/null & echo \$! > \$name.pid; }
            echo \"$host: worker started; it writes \$PWD/\$name.log\"
        fi" || failed+=" $host"
done
if [ -n "$failed" ]; then
    echo "no worker on:$failed (not reached, or no $PWD/.venv/bin/python there)" >&2
    exit 1
fi
