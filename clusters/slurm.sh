#!/usr/bin/env bash
# Soundings on Slurm: one Ray on the nodes of a job, and the study on the first of them.
# docs/cluster.md lists the requirements. Then, from the repository, which all nodes see:
#
#   (umask 077; ray get-auth-token --generate > /dev/null)    # once: ~/.ray/auth_token, which opens the job's Ray
#   export SOUNDINGS_DATA_ROOT=... SOUNDINGS_STORAGE=... SOUNDINGS_WEIGHTS_DIR=...    # on disks that all nodes see
#   sbatch clusters/slurm.sh sweeps/deepship_rates.py
#   sbatch --nodes=8 --time=12:00:00 clusters/slurm.sh sweeps/deepship_rates.py --seeds 1,2,3,4,5
#
# If its time is up or a node is lost, the job is queued again and resumes: finished trials stay finished.
#SBATCH --job-name=soundings
#SBATCH --nodes=2
#SBATCH --ntasks-per-node=1
#SBATCH --gpus-per-node=1
#SBATCH --cpus-per-task=8
#SBATCH --time=04:00:00
#SBATCH --signal=B:USR1@120
#SBATCH --requeue
#SBATCH --open-mode=append
set -euo pipefail

again() {
  echo "time is nearly up: queued again"
  scontrol requeue "$SLURM_JOB_ID"  # this ends the job; every trial has saved its last epoch
}
trap again USR1

source .venv/bin/activate
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))  # a node may have another job's Ray
export RAY_AUTH_MODE=token RAY_worker_niceness=0 RAY_USAGE_STATS_ENABLED=0 PYTHONPATH=$PWD
export SOUNDINGS_CACHE_DIR=${SOUNDINGS_CACHE_DIR:-${TMPDIR:-/var/tmp}/soundings-$USER}  # each node's own disk

# An address that the other nodes can reach; `ray symmetric-run` starts Ray on all nodes and the study on the head, and
# ends Ray.
address=$(srun --nodes=1 --ntasks=1 --nodelist="$head" hostname --all-ip-addresses | awk '{print $1}')
srun --kill-on-bad-exit=1 ray symmetric-run --address "$address:$port" --min-nodes "$SLURM_JOB_NUM_NODES" \
  --num-cpus="${SLURM_CPUS_PER_TASK:-1}" --num-gpus="${SLURM_GPUS_ON_NODE:-0}" --dashboard-host=127.0.0.1 \
  -- env RAY_ADDRESS="$address:$port" python "$@" &
wait $!
