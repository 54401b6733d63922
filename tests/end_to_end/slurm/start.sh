#!/usr/bin/env bash
# A Slurm of one machine, this one, from Debian's packages; as root, in a container or a machine of
# its own:
#
#   apt-get install -y slurm-wlm munge
#   tests/end_to_end/slurm/start.sh
#   python -m pytest -m slow tests/end_to_end/test_slurm.py
set -euo pipefail
folder=${CLIPBENCH_SLURM_FOLDER:-${TMPDIR:-/tmp}/clipbench-slurm}
mkdir -p "$folder/state" "$folder/spool" /etc/slurm /run/munge
cat > /etc/slurm/slurm.conf <<CONF
ClusterName=one
SlurmctldHost=$(hostname -s)
SlurmUser=root
SlurmdUser=root
AuthType=auth/munge
CredType=cred/munge
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
AccountingStorageType=accounting_storage/none
JobAcctGatherType=jobacct_gather/none
ReturnToService=2
StateSaveLocation=$folder/state
SlurmdSpoolDir=$folder/spool
SlurmctldLogFile=$folder/slurmctld.log
SlurmdLogFile=$folder/slurmd.log
SlurmctldPidFile=$folder/slurmctld.pid
SlurmdPidFile=$folder/slurmd.pid
MinJobAge=3600
NodeName=$(hostname -s) CPUs=$(nproc) State=UNKNOWN
PartitionName=all Nodes=ALL Default=YES MaxTime=INFINITE State=UP
CONF
chown munge: /run/munge
pgrep -x munged > /dev/null || runuser -u munge -- /usr/sbin/munged
pgrep -x slurmctld > /dev/null || /usr/sbin/slurmctld
pgrep -x slurmd > /dev/null || /usr/sbin/slurmd
for _ in $(seq 30); do
  sinfo --noheader --format=%t 2> /dev/null | grep -q idle && break
  sleep 1
done
sinfo
