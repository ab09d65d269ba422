# SPDX-License-Identifier: GPL-2.0-or-later
# Completion for bash. What there is, the emulator itself is asked: its options, devices, netdevs, objects.

_qemu_mq_names() # OPTION: the names that "-OPTION help" lists
{
    "$1" "-$2" help 2>/dev/null |
        sed -n -e 's/^name "\([^"]*\)".*/\1/p' -e 's/^  *\([a-z][a-z0-9_-]*\).*/\1/p' -e 's/^\([a-z][a-z0-9_.-]*\)  *.*/\1/p' \
               -e 's/^\([a-z][a-z0-9_-]*\)$/\1/p'
}

_qemu_mq()
{
    local program=${COMP_WORDS[0]} word=${COMP_WORDS[COMP_CWORD]} option=${COMP_WORDS[COMP_CWORD-1]}

    command -v "$program" >/dev/null || return
    COMPREPLY=()
    case $option in
    -device | --device | -netdev | --netdev | -object | --object | -machine | --machine | -M | -chardev | --chardev)
        [ "$option" != -M ] || option=-machine
        mapfile -t COMPREPLY < <(compgen -W "help $(_qemu_mq_names "$program" "${option##*-}")" -- "$word")
        return
        ;;
    -accel | --accel)
        mapfile -t COMPREPLY < <(compgen -W "help kvm qtest" -- "$word")
        return
        ;;
    -kernel | --kernel | -initrd | --initrd | -pidfile | --pidfile | -D | --D)
        mapfile -t COMPREPLY < <(compgen -f -- "$word")
        return
        ;;
    -chroot | --chroot)
        mapfile -t COMPREPLY < <(compgen -d -- "$word")
        return
        ;;
    -runas | --runas)
        mapfile -t COMPREPLY < <(compgen -u -- "$word")
        return
        ;;
    esac
    case $word in
    -*)
        mapfile -t COMPREPLY < <(compgen -W "$("$program" -help 2>/dev/null | sed -n 's/^\(-[A-Za-z0-9_-]*\).*/\1/p')" -- "$word")
        ;;
    esac
}

complete -o default -F _qemu_mq qemu-system-x86_64 qemu-mq-system-x86_64
