# Holds a lab's switch, and removes all that the lab made when its test ends, in whatever way: the standard
# input is a pipe whose other end the kernel closes then.
dir=$1 cgroup=$2

echo ready
exec >/dev/null
cat

# A frozen process ends only when it is thawed.
for state in /sys/fs/cgroup/freezer/"$cgroup"/*/freezer.state; do
    [ ! -e "$state" ] || echo THAWED >"$state"
done
for state in /sys/fs/cgroup/"$cgroup"/*/cgroup.freeze; do
    [ ! -e "$state" ] || echo 0 >"$state"
done

removed() {
    rm -rf "$dir"
    for tree in /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
        [ ! -d "$tree" ] || find "$tree" -depth -type d -exec rmdir {} +
    done
    for left in "$dir" /sys/fs/cgroup/"$cgroup" /sys/fs/cgroup/*/"$cgroup"; do
        [ ! -e "$left" ] || return 1
    done
}

# The hosts end by the same kind of pipe. Until their last process is gone, some of it cannot be removed.
tries=200
until removed 2>/dev/null; do
    tries=$((tries - 1))
    [ "$tries" -gt 0 ] || exit 1
    sleep 0.05
done
