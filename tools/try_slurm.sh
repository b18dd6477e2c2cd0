#!/bin/sh
# Run a preset through a real SLURM that is made for it, on this machine alone, and compare with a run without it:
#   sudo apt install slurm-wlm munge; sudo sh tools/try_slurm.sh [PRESET]        (as root; about ten minutes for `smoke`)
# One training is cancelled amid its work (scancel) and the same command goes on. Weights and masks of both runs must be
# the same bytes. For maintainers: it starts munged, slurmctld and slurmd, and stops them again; not part of `make test`.
set -eu
preset=${1:-smoke}
[ "$(id -u)" = 0 ] || { echo "SLURM's daemons want root: run it with sudo" >&2; exit 1; }
for program in munged slurmctld slurmd sbatch; do
    PATH=$PATH:/usr/sbin command -v $program >/dev/null || { echo "no $program: apt install slurm-wlm munge" >&2; exit 1; }
done
PATH=$PATH:/usr/sbin
cd "$(dirname "$0")/.."
python=$PWD/.venv/bin/python
place=$(mktemp -d)
project=$place/project
host=$(hostname -s)
conf=/etc/slurm/slurm.conf # where srun looks within a job, which loses SLURM_CONF
[ ! -e "$conf" ] || { echo "$conf is there: a SLURM is set up on this machine, use that one" >&2; exit 1; }

stop() {
    scancel --user root 2>/dev/null || true
    for daemon in slurmd slurmctld; do [ -f "$place/$daemon.pid" ] && kill "$(cat "$place/$daemon.pid")" 2>/dev/null; done
    rm -f "$conf"
    [ -n "${munge:-}" ] && pkill -x munged
    [ -n "${KEEP:-}" ] || rm -rf "$place"
}
trap stop EXIT

mkdir -p "${conf%/*}"
cat >"$conf" <<EOF
ClusterName=trial
SlurmctldHost=$host
SlurmUser=root
AuthType=auth/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core_Memory
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
MpiDefault=none
StateSaveLocation=$place/state
SlurmdSpoolDir=$place/spool
SlurmctldPidFile=$place/slurmctld.pid
SlurmdPidFile=$place/slurmd.pid
SlurmctldLogFile=$place/slurmctld.log
SlurmdLogFile=$place/slurmd.log
NodeName=$host CPUs=$(nproc) RealMemory=$(awk '/MemTotal/ { print int($2 / 1024 * 0.9) }' /proc/meminfo) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
EOF
mkdir -p "$place/state" "$place/spool"
if ! pgrep -x munged >/dev/null; then
    [ -f /etc/munge/munge.key ] || mungekey --create
    mkdir -p /run/munge && chown munge: /run/munge /etc/munge/munge.key
    su -s /bin/sh munge -c "$(command -v munged)"
    munge=started
fi
slurmctld && slurmd
sleep 3
sinfo

git clone -q . "$project"
ln -s "$PWD/.venv" "$project/.venv"
"$python" -m pip install -q --disable-pip-version-check --no-deps --target "$place/plugin" \
    snakemake-executor-plugin-slurm snakemake-executor-plugin-slurm-jobstep throttler
export PYTHONPATH=$place/plugin HF_HUB_OFFLINE=1
cd "$project"

echo "== without SLURM"
"$python" tools/run.py "$preset"
mv runs without-slurm
mv results without-slurm-results

echo "== through sbatch; the first training that leaves a checkpoint is cancelled"
(
    while sleep 0.2; do
        found=$(find runs -name checkpoint.safetensors 2>/dev/null | head -n 1)
        [ -n "$found" ] || continue
        squeue --noheader --format='%i %T' | awk '$2 == "RUNNING" { print $1 }' | xargs -r scancel
        echo "cancelled beside $found"
        break
    done
) &
"$python" tools/run.py --profile profiles/slurm --set="01_train_priors.checkpoint_seconds=0" -- "$preset" || echo "stopped, as it should"
echo "== the same command again"
"$python" tools/run.py --profile profiles/slurm --set="01_train_priors.checkpoint_seconds=0" -- "$preset"

echo "== the same bytes?"
differ=0
for file in $(cd without-slurm && find . -name '*.safetensors' -o -name '*.png' -path '*SegmentationClass*' | sort); do
    cmp -s "without-slurm/$file" "runs/$file" || { echo "differs: $file"; differ=1; }
done
echo "$(find runs -name '*.safetensors' | wc -l) weights, $(find runs -path '*SegmentationClass*' -name '*.png' | wc -l) masks compared"
git status --short --untracked-files=no
exit $differ
