# SPDX-License-Identifier: Apache-2.0
# shellcheck shell=bash
#
# The lab of tools/quickstart, which sources this file: network namespaces, three Postfix MTAs, postern in the gateway.
# Everything is in namespaces named postern-lab-* and under /run/postern-lab. The caller runs under `set -e` and reports.
#
#   client 198.51.100.11 .. 16    --- outside | gw | to-mta1 --- mta1 10.2.1.11, zone-a \_ listener mx, transparent
#          2001:db8:c::11 .. 16              |    | to-mta2 --- mta2 10.2.2.11, zone-b /
#                                            |    | to-mta3 --- mta3 10.2.3.11, zone-b    listener mx-proxy, PROXY v2

readonly NS=postern-lab
readonly LAB=/run/postern-lab

# The lab's addresses: documentation prefixes outside, private ones inside.
readonly VIP4=203.0.113.25 VIP6=2001:db8:25::25             # listener mx, transparent
readonly PROXY_VIP4=203.0.113.26 PROXY_VIP6=2001:db8:25::26 # listener mx-proxy, PROXY v2
readonly SENDERS=6                                          # addresses that send, of each family

# ---- the network ------------------------------------------------------------------------------------------------

lab_namespaces() { echo "$NS-client" "$NS-gw" "$NS-mta1" "$NS-mta2" "$NS-mta3"; }
lab_exists() { [[ -d $LAB ]] || ip netns list 2>/dev/null | grep -q "^$NS-"; }
in_ns() { # in_ns client COMMAND...
    local name=$1
    shift
    ip netns exec "$NS-$name" "$@"
}

# With what a mail host has: loopback, IPv6, no reverse path filter in the way. Its addresses stand at once: routes that the
# kernel adds a second later would look like somebody's.
namespace_add() {
    local name=$1
    ip netns add "$NS-$name"
    in_ns "$name" sh -ec '
        cd /proc/sys/net
        echo 0 >ipv6/conf/all/disable_ipv6
        echo 0 >ipv6/conf/default/disable_ipv6
        echo 0 >ipv6/conf/all/accept_dad
        echo 0 >ipv6/conf/default/accept_dad
        echo 0 >ipv4/conf/all/rp_filter
        echo 0 >ipv4/conf/default/rp_filter'
    ip -n "$NS-$name" link set lo up
}

# wire GW-INTERFACE PEER PREFIX4 PREFIX6: a cable; the gateway is .1, the peer .11.
wire() {
    local interface=$1 peer=$2 net4=$3 net6=$4
    ip link add "$interface" netns "$NS-gw" type veth peer name eth0 netns "$NS-$peer"
    ip -n "$NS-gw" address add "$net4.1/24" dev "$interface"
    ip -n "$NS-gw" address add "$net6::1/64" dev "$interface" nodad
    ip -n "$NS-gw" link set "$interface" up
    ip -n "$NS-$peer" address add "$net4.11/24" dev eth0
    ip -n "$NS-$peer" address add "$net6::11/64" dev eth0 nodad
    ip -n "$NS-$peer" link set eth0 up
}

network_raise() {
    local name i
    for name in client gw mta1 mta2 mta3; do
        namespace_add "$name"
    done
    in_ns gw sh -ec 'echo 1 >/proc/sys/net/ipv4/ip_forward; echo 1 >/proc/sys/net/ipv6/conf/all/forwarding'
    # The clients know no default route: a look-up of a name then fails at once, instead of after seconds.
    wire outside client 198.51.100 2001:db8:c
    ip -n "$NS-client" route add 203.0.113.0/24 via 198.51.100.1
    ip -n "$NS-client" -6 route add 2001:db8:25::/48 via 2001:db8:c::1
    # The MTAs answer everybody through the gateway: that is all a transparent source asks of them.
    for i in 1 2 3; do
        wire "to-mta$i" "mta$i" "10.2.$i" "2001:db8:2:$i"
        ip -n "$NS-mta$i" route add default via "10.2.$i.1"
        ip -n "$NS-mta$i" -6 route add default via "2001:db8:2:$i::1"
    done
    for ((i = 12; i < 11 + SENDERS; i++)); do
        ip -n "$NS-client" address add "198.51.100.$i/24" dev eth0
        ip -n "$NS-client" address add "2001:db8:c::$i/64" dev eth0 nodad
    done
}

mta_configure() { # mta_configure N [smtpd option...]
    local dir=$LAB/mta$1 name=mta$1
    shift
    mkdir -p "$dir/spool" "$dir/data"
    chown postfix "$dir/data"
    cat >"$dir/main.cf" <<END
compatibility_level = 3.6
myhostname = $name.example.test
queue_directory = $dir/spool
data_directory = $dir/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
maillog_file = $dir/mail.log
maillog_file_prefixes = $LAB
inet_interfaces = all
inet_protocols = all
alias_maps =
alias_database =
mydestination =
# This MTA trusts the whole inside network, the gateway in it included, as many do:
mynetworks = 127.0.0.0/8 [::1]/128 10.0.0.0/8 [2001:db8:2::]/48
relay_domains = example.test
relay_transport = discard:
default_transport = discard:
smtpd_relay_restrictions = permit_mynetworks, reject_unauth_destination
smtpd_peername_lookup = no
smtpd_client_port_logging = yes
END
    {
        printf 'smtp inet n - n - - smtpd %s\n' "$*"
        printf '%s\n' 'cleanup unix n - n - 0 cleanup' 'qmgr unix n - n 300 1 qmgr' \
            'rewrite unix - - n - - trivial-rewrite' 'bounce unix - - n - 0 bounce' 'defer unix - - n - 0 bounce' \
            'trace unix - - n - 0 bounce' 'proxymap unix - - n - - proxymap' 'anvil unix - - n - 1 anvil' \
            'error unix - - n - - error' 'retry unix - - n - - error' 'discard unix - - n - - discard' \
            'postlog unix-dgram n - n - 1 postlogd'
    } >"$dir/master.cf"
}

mtas_start() {
    local i pids=()
    mta_configure 1
    mta_configure 2
    mta_configure 3 -o smtpd_upstream_proxy_protocol=haproxy -o smtpd_upstream_proxy_timeout=5s
    for i in 1 2 3; do
        in_ns "mta$i" postfix -c "$LAB/mta$i" start </dev/null 3>&- 9>&- &
        pids+=($!)
    done
    for i in "${pids[@]}"; do
        wait "$i"
    done
}

processes_of() { ip netns pids "$1" 2>/dev/null; }
nobody_in() { [[ -z $(processes_of "$1") ]]; }

# Ends only what runs in the lab's own namespaces: first asked, then made to.
lab_down() {
    local namespace signal pid
    daemon_stop || true
    for signal in TERM KILL; do
        for namespace in $(lab_namespaces); do
            for pid in $(processes_of "$namespace"); do
                kill "-$signal" "$pid" 2>/dev/null || true # it may have ended meanwhile
            done
        done
        lab_wait_empty && break
    done
    for namespace in $(lab_namespaces); do
        if [[ -e /run/netns/$namespace ]]; then ip netns delete "$namespace"; fi
    done
    rm -rf "$LAB"
}

lab_wait_empty() {
    local deadline=$(($(now_ms) + 5000)) namespace
    for namespace in $(lab_namespaces); do
        until nobody_in "$namespace"; do
            (($(now_ms) < deadline)) || return 1
            sleep 0.05
        done
    done
}

# ---- postern in the gateway -------------------------------------------------------------------------------------

daemon_configure() {
    cat >"$LAB/postern.yaml" <<END
gateway: {name: lab, zone: zone-a, workers: 2, max_sessions: 1000}
admin: {socket: $LAB/admin.sock}
http: {listen: 127.0.0.1:9125}   # in the gateway's namespace

listeners:
  - name: mx
    address: ["$VIP4:25", "[$VIP6]:25"]
    pool: inbound
  - name: mx-proxy
    address: ["$PROXY_VIP4:25", "[$PROXY_VIP6]:25"]
    pool: proxied

pools:
  - name: inbound                # the MTA sees the client's address as the connection's source
    source: client
    balance: round-robin
    backends:
      - {name: mta1, address: ["10.2.1.11:25", "[2001:db8:2:1::11]:25"], zone: zone-a}
      - {name: mta2, address: ["10.2.2.11:25", "[2001:db8:2:2::11]:25"], zone: zone-b}
  - name: proxied                # the MTA reads the client's address in a PROXY header
    source: gateway
    proxy_protocol: v2
    backends:
      - {name: mta3, address: ["10.2.3.11:25", "[2001:db8:2:3::11]:25"], zone: zone-b}
END
}

daemon_pid() { cat "$LAB/postern.pid" 2>/dev/null; }
daemon_runs() { processes_of "$NS-gw" | grep -qx "$(daemon_pid)"; }
daemon_gone() { ! daemon_runs; }
daemon_said() { grep -q "event=$1" "$LAB/postern.log"; }
daemon_ready_or_gone() { daemon_said start || ! kill -0 "$(daemon_pid)" 2>/dev/null; }

# postern on its own session, so that ^C reaches this script alone, which then ends it in order.
daemon_start() {
    ip netns exec "$NS-gw" setsid "$BUILD/postern" -f "$LAB/postern.yaml" \
        </dev/null >"$LAB/postern.log" 2>&1 3>&- 9>&- &
    echo $! >"$LAB/postern.pid"
}

daemon_stop() {
    local deadline=$(($(now_ms) + 5000))
    daemon_runs || return 0
    kill -TERM "$(daemon_pid)"
    until daemon_gone; do
        (($(now_ms) < deadline)) || return 1
        sleep 0.05
    done
}

# Rules and routes of the gateway: taken before postern starts and after it has ended.
host_state() {
    in_ns gw ip rule
    in_ns gw ip -6 rule
    in_ns gw ip route show table all
    in_ns gw ip -6 route show table all
}
