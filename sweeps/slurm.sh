#!/bin/bash
# A sweep over many nodes: every task of the array is a worker of one study, and takes trials until there are no more.
#   export DEEPSPEC_STORAGE='postgresql://USER:PASSWORD@HOST/DATABASE'      (MySQL: mysql+pymysql://...)
#   sbatch --array=1-8 sweeps/slurm.sh sweeps/xrf.yaml --overrides.data.root /scratch/shards
# A study on one node needs no database: sbatch --array=1 with DEEPSPEC_STORAGE=journal.
# Submit it again after the time limit or a failure: finished trials are kept, lost ones run again.
#SBATCH --job-name=deepspec-sweep
#SBATCH --nodes=1
#SBATCH --ntasks=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=08:00:00
#SBATCH --signal=B:TERM@120
#SBATCH --requeue
#SBATCH --output=sweep-%A-%a.log
set -euo pipefail
: "${DEEPSPEC_STORAGE:?see the top of this file}"
config=$1
shift
# SLURM's signal comes to this shell; the worker must have it to queue its running trials again.
python -m deepspec.sweep --config "$config" --storage '$DEEPSPEC_STORAGE' "$@" &
worker=$!
status=0
trap 'kill -TERM "$worker"' TERM
while kill -0 "$worker" 2>/dev/null; do wait "$worker" && exit 0 || status=$?; done
exit "$status"
