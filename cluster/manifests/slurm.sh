#!/bin/bash
# A study on SLURM: sbatch slurm.sh STUDY.yaml. Three minutes before its time is up the study saves
# everything, the job queues again, and goes on where it was.
#SBATCH --job-name=phylon
#SBATCH --nodes=4
#SBATCH --exclusive
#SBATCH --ntasks-per-node=1
#SBATCH --cpus-per-task=16
#SBATCH --gpus-per-task=4
#SBATCH --time=12:00:00
#SBATCH --requeue
#SBATCH --open-mode=append
#SBATCH --signal=B:USR1@180
study=$1
head=$(scontrol show hostnames "$SLURM_JOB_NODELIST" | head -n 1)
port=$((20000 + SLURM_JOB_ID % 10000))

export RAY_AUTH_MODE=token RAY_AUTH_TOKEN RAY_USAGE_STATS_ENABLED=0
export RAY_SYMMETRIC_RUN_CLUSTER_WAIT_TIMEOUT=300  # seconds
RAY_AUTH_TOKEN=$(python -c "import secrets; print(secrets.token_hex(32))")

time_is_up() {
    srun --overlap --nodes=1 --ntasks=1 --nodelist="$head" pkill -TERM -f '/[p]hylon run'
    wait "$run"
    scontrol requeue "$SLURM_JOB_ID"
}
trap time_is_up USR1

# On every node Ray; on the first one, as soon as all are there, the study.
srun --nodes="$SLURM_JOB_NUM_NODES" ray symmetric-run --address "$head:$port" \
    --min-nodes "$SLURM_JOB_NUM_NODES" --num-cpus "$SLURM_CPUS_PER_TASK" \
    -- env RAY_ADDRESS="$head:$port" phylon run "$study" --resume &
run=$!
wait "$run"
