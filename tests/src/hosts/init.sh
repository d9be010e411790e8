# The first process of a host. When it ends the kernel ends every other process of the host, and with the last
# of them go its mounts, its network and its name. It ends with its standard input: a pipe whose other end the
# test holds, which the kernel closes in whatever way the test ends.
set -eu
name=$1 disk=$2 cgroup=$3

# The mounted /proc is still that of the machine, so this is the number by which the test knows this process.
read -r outside _ </proc/self/stat
echo 0 >"$cgroup"

mount -t proc proc /proc
mount -t tmpfs -o mode=755 tmpfs /run
mkdir /run/lock /run/etc /run/etc.work
mount -t overlay -o lowerdir=/etc,upperdir=/run/etc,workdir=/run/etc.work overlay /etc
mount --bind "$disk" /var/lib
hostname "$name"
ip link set lo up

# `wait` also reaps what containers leave to the first process.
cat <&3 >/dev/null &
echo "$outside"
exec >/dev/null
wait $!
