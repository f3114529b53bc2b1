// Package localcluster is a Kubernetes cluster on one machine, without root, containers or images: etcd, kube-apiserver,
// kube-controller-manager and kube-scheduler are the real programs, and nodes are virtual. A pod runs as plain processes, with a
// loopback address of its own. Everything ends with the program that started it, even if that is killed.
//
// # How a pod becomes processes
//
// Programs. Options.Images says which program of this machine stands for an image. A container without command runs it,
// and so does one whose command is named like the image (`consul` in hashicorp/consul). Other commands, /bin/sh
// say, are programs of this machine.
//
// Addresses. Each cluster holds a block 127.A.B.0/24 for as long as it lives, each pod an address of it, so pods may use
// the same ports, if they listen on their own address only ($(POD_IP)), or on 127.0.0.1: where that stands in a command, args
// and env, another address stands for it that is the pod's alone. Where a word or the value of a flag is 0.0.0.0, all addresses
// of the pod stand for it, in the form of Consul's lists, with spaces. An address is reused as late as possible.
//
// IPv6. With Options.Families pods, nodes and Services have addresses of IPv6, or of IPv4 and IPv6 in either order, in a
// network of the cluster's own. The control plane is reached by the first family, and the real controllers write the
// endpoints. Linux has one IPv6 loopback address, so this needs a network namespace, see package netns.
//
// Names. A program must be linked with `-X net.hostsFilePath=hosts`: then its resolver reads the file hosts of the
// working directory, which the node keeps current from endpoint slices. A Consul of CONSUL_BIN_DIR was linked without:
// hack/buildtools sets the same variable in a copy, and all else in it is as its makers built it. The file names the
// Services of the pod's namespace: svc, svc.ns, svc.ns.svc, svc.ns.svc.cluster.local, all of them, headless or not, by the
// addresses of their ready endpoints. A name without endpoints resolves to an address that refuses connections.
//
// Files. There is no mount namespace. The working directory of a container is its rootfs, an own directory, with
// each volume linked below it at its mountPath. An absolute mountPath is replaced by the directory that stands for it
// wherever it stands as the beginning of a path: in command, args, values of env, probe and hook commands, and in the
// files of configMap, secret, downwardAPI and projected volumes. A program that knows an absolute path by itself
// does not find it there.
//
// # What is honored, as a kubelet does
//
// Init containers and sidecars; command, args and env with $(NAME), valueFrom and envFrom; volumes of the kinds configMap,
// secret, downwardAPI, projected (service account tokens included), emptyDir, hostPath, ephemeral and persistentVolumeClaim, with
// subPath; startup, readiness and liveness probes and lifecycle hooks by exec, httpGet and tcpSocket (hooks: sleep); restart
// policies and back-offs, image and configuration errors; readiness gates; termination messages; graceful deletion with preStop,
// SIGTERM and SIGKILL; deletion by force; phases, conditions, container states, events; `kubectl logs`. As in a container, a
// process group dies with its first process.
//
// Scheduling is the real one: cordons, taints, affinity, spread, requests, priorities, volumes. The default storage class
// `standard` waits for the first consumer of a claim, deletes volumes with their claims, and grants expansions. Its volumes are
// tied to no node. Evictions and disruption budgets, garbage collection, admission and RBAC are the real ones as well.
//
// # What is not
//
// Users and security contexts, resource limits, network policies, grpc probes, exec, attach and port-forward, changes of a
// running pod (image, resources, the content of its volumes), cluster addresses of Services.
// STOPSIGNAL is always SIGTERM.
//
// Without Families endpoint slices have the address type FQDN, and addresses like 127.1.2.3 in it: kube-apiserver refuses
// loopback addresses as IPv4. For the same reason there are no Endpoints objects then.
package localcluster
