#!/bin/sh
# SPDX-License-Identifier: GPL-2.0-or-later
# Installs the Debian packages that one job needs: install-deps.sh build|demo|check|bench
# Does nothing, and needs no root, when all of them are installed.
set -eu
build="gcc libc6-dev make meson ninja-build pkg-config python3 libglib2.0-dev libjson-c-dev
       libcap-ng-dev libreadline-dev libncurses-dev liburing-dev linux-libc-dev acpica-tools
       clang libbpf-dev libslirp-dev libvdeplug-dev libxdp-dev libseccomp-dev"
# the lab boots Debian's kernel under Debian's QEMU
demo="qemu-system-x86 seabios busybox-static ethtool iperf3 kmod cpio iproute2 e2fsprogs
      iputils-ping dash dpkg xz-utils zstd binutils"
check="clang-format llvm libclang-rt-14-dev cppcheck python3-sphinx git util-linux gcovr valgrind tmux
       dpdk-dev librte-net-tap23 librte-net-vhost23 openvswitch-switch openvswitch-switch-dpdk passt vde2 tcpdump tshark
       libvirt-daemon libvirt-daemon-driver-qemu libvirt-clients libxml2-utils"
case ${1:-} in
build) want=$build ;;
demo) want="$build $demo" ;;
check) want="$build $demo $check" ;;
bench) want="$build qemu-system-x86" ;; # the peer
*) echo "usage: install-deps.sh build|demo|check|bench" >&2; exit 2 ;;
esac
missing=
for p in $want; do
    dpkg-query -W -f '${Status}' "$p" 2>/dev/null | grep -q 'ok installed' || missing="$missing $p"
done
[ -n "$missing" ] || exit 0
echo "Debian packages to install:$missing"
if [ "$(id -u)" != 0 ]; then
    echo "install-deps.sh: installing packages needs root: run this as root, or run" >&2
    echo "    sudo apt-get install$missing" >&2
    exit 1
fi
apt-get update -qq
# shellcheck disable=SC2086 # a list of package names
DEBIAN_FRONTEND=noninteractive apt-get install -y -qq --no-install-recommends $missing >/dev/null
