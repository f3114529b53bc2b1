# Certificates and kubeconfigs of hack/cluster. They are worth nothing outside of its network.
# shellcheck shell=bash

key() { openssl ecparam -name prime256v1 -genkey -noout -out "$1.key"; }

# certificate NAME SUBJECT [SUBJECT-ALTERNATIVE-NAMES]
certificate() {
  key "$1"
  openssl req -new -key "$1.key" -subj "$2" -out "$1.csr"
  openssl x509 -req -in "$1.csr" -CA ca.crt -CAkey ca.key -CAcreateserial -days 365 -out "$1.crt" \
    -extfile <(printf 'subjectAltName=%s\nextendedKeyUsage=serverAuth,clientAuth\n' "${3:-DNS:unused}") 2>>"$DIR/logs/openssl.log"
}

# kubeconfig NAME: for who holds the certificate of that name.
kubeconfig() {
  cat >"$1.conf" <<YAML
apiVersion: v1
kind: Config
clusters: [{name: nodes, cluster: {server: "https://$(address 1):6443", certificate-authority: "$PWD/ca.crt"}}]
users: [{name: "$1", user: {client-certificate: "$PWD/$1.crt", client-key: "$PWD/$1.key"}}]
contexts: [{name: "$1", context: {cluster: nodes, user: "$1"}}]
current-context: "$1"
YAML
}

certificates() (
  local nodes=$1 node
  cd "$DIR/pki"
  key ca
  openssl req -x509 -new -key ca.key -subj /CN=nodes -days 365 -out ca.crt
  key sa
  openssl ec -in sa.key -pubout -out sa.pub 2>>"$DIR/logs/openssl.log"
  certificate apiserver /CN=kube-apiserver \
    "DNS:kubernetes,DNS:kubernetes.default,DNS:kubernetes.default.svc,IP:127.0.0.1,IP:$(address 1),IP:10.96.0.1"
  certificate admin /O=system:masters/CN=admin
  certificate controllers /CN=system:kube-controller-manager
  certificate scheduler /CN=system:kube-scheduler
  certificate proxy /CN=system:kube-proxy
  for who in admin controllers scheduler proxy; do kubeconfig "$who"; done
  for ((node = 1; node <= nodes; node++)); do
    certificate "node$node" "/O=system:nodes/CN=system:node:node$node" "DNS:node$node,IP:$(address "$node")"
    kubeconfig "node$node"
  done
)
