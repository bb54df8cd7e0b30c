# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# Bare Debians for tests/fresh and tests/package, which source this file: debootstrap trees (kept as tarballs under out/fresh), entered
# with mount, pid, uts and ipc namespaces of their own, and steps that run there, are timed and logged.
# Packages come from the mirror, and through the proxy, that this machine's apt uses; its authorities are trusted.
# The caller runs under `set -Eeuo pipefail`, and removes the tree with tree_remove when it ends.

OUT=$ROOT/out/fresh
readonly OUT
TREE='' PASSED=0 FAILED=0

die() {
    printf '%s: %s\n' "${0#"$ROOT"/}" "$*" >&2
    exit 1
}

result() { # result PASS|FAIL TEXT
    if [[ $1 == PASS ]]; then PASSED=$((PASSED + 1)); else FAILED=$((FAILED + 1)); fi
    printf '%s  %s\n' "$1" "$2"
}

# ---- the tree ---------------------------------------------------------------------------------------------------

codename() { case $1 in 12) echo bookworm ;; 13) echo trixie ;; esac; }

# mirror_of LABEL: where this machine's apt takes Debian's (or the security) packages from.
mirror_of() {
    # shellcheck disable=SC2016 # these names are apt's to expand
    apt-get indextargets --format '$(LABEL) $(REPO_URI)' 'Created-By: Packages' 'Origin: Debian' |
        awk -v label="$1" '$1 == label {print $2; exit}'
}

write_apt_config() { # write_apt_config RELEASE: the host's mirror and proxy, the tree's release
    local code mirror security
    code=$(codename "$1") mirror=$(mirror_of Debian) security=$(mirror_of Debian-Security)
    {
        printf 'deb %s %s main\n' "$mirror" "$code" "$mirror" "$code-updates"
        [[ -z $security ]] || printf 'deb %s %s main\n' "$security" "$code-security"
    } >"$TREE/etc/apt/sources.list"
    rm -f "$TREE"/etc/apt/sources.list.d/*
    apt-config dump | grep -Ei '^Acquire::(.*proxy.*|Check-Valid-Until|Check-Date|Retries) "[^"]' \
        >"$TREE/etc/apt/apt.conf.d/90from-host" || true # none is fine
}

# The certificate authorities that this machine trusts beyond Debian's own: its way to the network may need them.
copy_authorities() {
    local file
    mkdir -p "$TREE/usr/local/share/ca-certificates"
    for file in /etc/ssl/certs/*.pem; do
        [[ -e $file ]] || continue
        case $(readlink -f "$file") in
        /usr/share/ca-certificates/*) ;;
        *) cp -L "$file" "$TREE/usr/local/share/ca-certificates/$(basename "$file" .pem).crt" ;;
        esac
    done
}

base_make() { # base_make RELEASE: out/fresh/debian-N.tar, made once
    local release=$1 base=$OUT/debian-$1.tar mirror include=()
    [[ ! -e $base ]] || return 0
    command -v debootstrap >/dev/null || die "debootstrap is missing: apt-get install debootstrap"
    mirror=$(mirror_of Debian)
    [[ -n $mirror ]] || die "apt knows no Debian mirror here: run apt-get update first"
    [[ $mirror != https:* ]] || include=(--include=ca-certificates)
    echo "debootstrap of Debian $release (once; kept as ${base#"$ROOT"/})"
    rm -rf --one-file-system "$OUT/base-$release"
    http_proxy=$(apt-config dump | sed -n 's/^Acquire::http::Proxy "\(.*\)";/\1/p') \
        debootstrap --variant=minbase "${include[@]}" "$(codename "$release")" "$OUT/base-$release" "$mirror" \
        >"$OUT/debootstrap-$release.log" 2>&1 || die "debootstrap failed: see ${OUT#"$ROOT"/}/debootstrap-$release.log"
    rm -f "$OUT/base-$release"/var/cache/apt/archives/*.deb
    tar -C "$OUT/base-$release" -cf "$base.part" .
    mv "$base.part" "$base"
    rm -rf --one-file-system "$OUT/base-$release"
}

tree_make() { # tree_make RELEASE: a bare Debian with the last commit in /root/postern
    local release=$1
    base_make "$release"
    TREE=$(mktemp -d "$OUT/tree-$release.XXXXXX")
    chmod 755 "$TREE"
    tar -C "$TREE" -xf "$OUT/debian-$release.tar"
    write_apt_config "$release"
    copy_authorities
    cp -L /etc/resolv.conf /etc/hosts "$TREE/etc/"
    echo "fresh$release" >"$TREE/etc/hostname"
    git -c safe.directory="$ROOT/.git" -c safe.directory="$ROOT" clone -q --no-hardlinks "file://$ROOT" "$TREE/root/postern"
}

tree_remove() {
    [[ -z $TREE ]] || rm -rf --one-file-system "$TREE"
    TREE=''
}

# Runs inside the new namespaces, before the old root is let go: mounts, pivot_root, then the command.
# A plain chroot would not do: `ip netns` needs the root to be a mount point.
read -r -d '' ENTER <<'END' || true
set -e
tree=$1
shift
hostname "$(cat "$tree/etc/hostname")"
mount --make-rprivate /
mount --bind "$tree" "$tree"
mount -t proc proc "$tree/proc"
mount -t sysfs sysfs "$tree/sys"
mount -t cgroup2 cgroup2 "$tree/sys/fs/cgroup"
mount -t bpf bpf "$tree/sys/fs/bpf"
mount --rbind /dev "$tree/dev"
mount -t tmpfs -o mode=755 tmpfs "$tree/run"
mount -t tmpfs tmpfs "$tree/tmp"
cd "$tree"
mkdir -p .old-root
pivot_root . .old-root
cd /root/postern
umount -l /.old-root
rmdir /.old-root
"$@"
END

run_in_tree() { # run_in_tree COMMAND...; its own process 1 dies with us
    unshare --mount --pid --uts --ipc --fork --kill-child \
        env -i HOME=/root TERM="${TERM:-dumb}" PATH="$PATH" bash -c "$ENTER" enter "$TREE" "$@"
}

# ---- steps ------------------------------------------------------------------------------------------------------

# step RELEASE NAME LIMIT COMMAND...: runs it in the tree, with a log; passes when it succeeds within LIMIT seconds.
step() {
    local release=$1 name=$2 limit=$3 log started seconds status=0
    shift 3
    log=$OUT/debian-$release-${name// /-}.log
    started=$EPOCHSECONDS
    run_in_tree "$@" >"$log" 2>&1 </dev/null || status=$?
    seconds=$((EPOCHSECONDS - started))
    if ((status != 0)); then
        result FAIL "debian $release  $name: status $status after $seconds s; the end of ${log#"$ROOT"/}:"
        tail -n 25 "$log" | sed 's/^/        /'
    elif ((seconds > limit)); then
        result FAIL "debian $release  $name: $seconds s, more than the $limit s allowed"
    else
        result PASS "debian $release  $name: $seconds s (limit $limit s)"
        [[ $name != tests ]] || tail -n 1 "$log" | sed 's/^/        /'
    fi
}
