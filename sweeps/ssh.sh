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
for host in $HOSTS; do
    # The URL goes through standard input: on a command line everybody on that machine could read its password.
    printf '%s\n' "$DEEPSPEC_STORAGE" | ssh "$host" "cd $(printf '%q' "$PWD") && read -r DEEPSPEC_STORAGE && export DEEPSPEC_STORAGE &&
        { nohup $command > sweep-\$(hostname).log 2>&1 < /dev/null & echo \$! > sweep-\$(hostname).pid; }"
    echo "worker on $host; it writes sweep-$host.log there"
done
