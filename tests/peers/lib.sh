# What the scripts of tests/peers share: a work folder, free ports, a certificate authority, and servers that are started
# and, whatever happens, stopped. To be sourced.
# shellcheck shell=bash
set -euo pipefail

PEERS=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
WORK=$PEERS/../.work
CLIENT_ID=0d6f3c9a-51b2-4c84-9e0f-7a8b6c5d4e3f
TENANT_ID=5f2c1f0e-8d3a-4b7e-9a61-0c1d2e3f4a5b

# Each program is told which certificates to trust; what the caller's environment says must not tip the scales.
unset SSL_CERT_FILE SSL_CERT_DIR CURL_CA_BUNDLE REQUESTS_CA_BUNDLE NODE_EXTRA_CA_CERTS
unset http_proxy https_proxy all_proxy HTTP_PROXY HTTPS_PROXY ALL_PROXY

fail() { echo "$(basename "$(dirname "$0")")/$(basename "$0"): FAILED: $*" >&2; exit 1; }

# --- work folder ---

# Dovecot and Postfix work under users of their own, who must be able to walk down to the folder; and their sockets have
# names of at most 107 characters.
enterable() {
  local dir=$1
  while [ "$dir" != / ]; do
    [ $((8#$(stat -c %a "$dir") & 1)) = 1 ] || return 1
    dir=$(dirname "$dir")
  done
}
work_folder() {
  mkdir -p "$WORK"
  local base
  base=$(cd "$WORK" && pwd)
  if [ ${#base} -gt 60 ] || [[ $base = *[[:space:]]* ]] || ! enterable "$base"; then base=/tmp; fi
  folder=$(mktemp -d "$base/$1.XXXXXX")
  chmod 711 "$folder"
  mkdir "$folder/log"
}

# --- ports and certificates ---

# Prints COUNT ports that nobody listens on. They lie below the range from which the kernel takes the ports of outgoing
# connections, so that the many connections of tests do not take them between now and the start of the server.
free_ports() {
  python3 - "$1" <<'PYTHON'
import random, socket, sys
wanted = int(sys.argv[1])
held = []
for port in random.sample(range(20000, 32000), 1000):
    s = socket.socket()
    try:
        s.bind(("127.0.0.1", port))
    except OSError:
        continue
    held.append(s)
    if len(held) == wanted:
        break
print(*(s.getsockname()[1] for s in held))
PYTHON
}

# Makes tls/ca.pem and, signed by it, tls/server.pem with tls/server.key for localhost.
make_certificates() {
  local tls=$folder/tls
  mkdir "$tls"
  {
    openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -days 2 -subj "/CN=CA of tests" \
      -keyout "$tls/ca.key" -out "$tls/ca.pem" \
      -addext basicConstraints=critical,CA:TRUE -addext keyUsage=critical,keyCertSign,cRLSign
    openssl req -newkey ec -pkeyopt ec_paramgen_curve:P-256 -nodes -subj /CN=localhost \
      -keyout "$tls/server.key" -out "$tls/server.csr"
    printf '%s\n' subjectAltName=DNS:localhost,IP:127.0.0.1 basicConstraints=CA:FALSE extendedKeyUsage=serverAuth >"$tls/server.ext"
    openssl x509 -req -in "$tls/server.csr" -CA "$tls/ca.pem" -CAkey "$tls/ca.key" -CAcreateserial -days 2 \
      -extfile "$tls/server.ext" -out "$tls/server.pem"
  } >"$folder/log/openssl" 2>&1 || { cat "$folder/log/openssl" >&2; fail "openssl could not make the certificates"; }
}

# --- servers ---

declare -A server_pids=()

# start NAME COMMAND...   in a process group of its own, so that its children can be ended with it
start() {
  local name=$1
  shift
  setsid "$@" >"$folder/log/$name" 2>&1 </dev/null &
  server_pids[$name]=$!
}

# wait_port NAME PORT   until the server takes connections; it has 30 s, for a busy machine
wait_port() {
  local name=$1 port=$2 n
  for ((n = 0; n < 300; n++)); do
    if (: <"/dev/tcp/127.0.0.1/$port") 2>/dev/null; then return; fi
    kill -0 "${server_pids[$name]}" 2>/dev/null || { tail -n 20 "$folder/log/$name" >&2; fail "$name ended instead of listening on port $port"; }
    sleep 0.1
  done
  tail -n 20 "$folder/log/$name" >&2
  fail "$name does not listen on port $port after 30 s"
}

stop_servers() {
  local name pid n
  for name in "${!server_pids[@]}"; do kill -TERM "${server_pids[$name]}" 2>/dev/null || true; done
  for name in "${!server_pids[@]}"; do
    pid=${server_pids[$name]}
    for ((n = 0; n < 50; n++)); do
      kill -0 -- "-$pid" 2>/dev/null || break
      sleep 0.1
    done
    kill -KILL -- "-$pid" 2>/dev/null || true
    wait "$pid" 2>/dev/null || true
  done
  server_pids=()
}

# wait_for COMMAND...   as COMMAND by itself, but a signal is heeded while it runs and not only after it
command_pid=
wait_for() {
  local status=0
  "$@" <&0 &
  command_pid=$!
  wait "$command_pid" || status=$?
  command_pid=
  return $status
}
stop_command() {
  [ -z "$command_pid" ] || { kill -TERM "$command_pid" 2>/dev/null || true; wait "$command_pid" 2>/dev/null || true; }
}

# The folder goes too, unless something failed or KEEP is set: then its logs are what one wants to read.
clean_up() {
  local status=$?
  trap - EXIT
  stop_command
  stop_servers
  if [ $status = 0 ] && [ -z "${KEEP:-}" ]; then rm -rf "$folder"; else echo "# logs are in $folder" >&2; fi
  exit $status
}
stop_at_exit() {
  trap clean_up EXIT
  trap 'exit 130' INT
  trap 'exit 143' TERM HUP
}

# fill TEMPLATE RESULT NAME=VALUE...   puts VALUE in the place of @NAME@
fill() {
  local text pair
  text=$(<"$1")
  for pair in "${@:3}"; do text=${text//"@${pair%%=*}@"/"${pair#*=}"}; done
  if grep -q '@[A-Z_]\+@' <<<"$text"; then fail "$1 has a place that nobody fills: $(grep -o '@[A-Z_]\+@' <<<"$text" | head -n 1)"; fi
  printf '%s\n' "$text" >"$2"
}

# run_or_wait COMMAND...   runs COMMAND; without one, shows the environment and waits to be interrupted
run_or_wait() {
  if [ $# -gt 0 ]; then wait_for "$@"; return; fi
  export -p | grep -E ' (MXO|PEER)_'
  echo "# ready; press Ctrl-C to stop" >&2
  wait_for sleep infinity
}

# --- checks ---

failures=0
# check SENTENCE COMMAND...   prints `ok - SENTENCE`, or `not ok - SENTENCE` and what COMMAND said.
# `set -e` does not work inside COMMAND, as nowhere below an `if`: a function must return its failures itself.
check() {
  local sentence=$1 said
  shift
  if said=$("$@" 2>&1); then
    echo "ok - $sentence"
  else
    echo "not ok - $sentence"
    [ -z "$said" ] || sed 's/^/#   /' <<<"$said"
    failures=$((failures + 1))
  fi
}

# run_host NAME   runs $HOST (may be several words, as in "php host.php"); leaves its output in $output and its status in $status
run_host() {
  output=$PEER_FOLDER/log/$1.out
  status=0
  # shellcheck disable=SC2086
  timeout 60 $HOST >"$output" 2>"$PEER_FOLDER/log/$1.err" || status=$?
}
# The host's own words, for a check that failed.
host_said() {
  echo "host ended with status $status and printed:"
  cat "$output" "${output%.out}.err"
}
# host_ended STATUS [PATTERN...]   the status, and one line of the output for each extended regular expression, in this order
host_ended() {
  local wanted=$1 pattern line
  shift
  if [ "$status" != "$wanted" ]; then echo "status should be $wanted"; host_said; return 1; fi
  {
    for pattern in "$@"; do
      line=
      until [[ $line =~ $pattern ]]; do
        if ! IFS= read -r line; then echo "no line '$pattern' in its place"; host_said; return 1; fi
      done
    done
  } <"$output"
}
end_of_checks() { [ "$failures" = 0 ] || { echo "# $failures failed" >&2; exit 1; }; }
