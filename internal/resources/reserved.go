package resources

import (
	"path"
	"slices"

	"github.com/consul-operator/consul-operator/api/v1alpha1"
)

// ReservedContainer reports whether the name of a container or init container of a cluster is reserved for the operator.
func ReservedContainer(c *v1alpha1.ConsulCluster, name string) bool {
	return name == ContainerConsul || name == ContainerRecover || name == ContainerGossipKey && UsesGossipKey(c)
}

// ReservedVolume reports whether the name of a volume of a cluster is reserved for the operator.
func ReservedVolume(c *v1alpha1.ConsulCluster, name string) bool {
	return slices.Contains([]string{volumeData, volumeConfig, volumeSettings, volumeTmp, volumeTLS, volumeACL}, name) ||
		name == volumeGossip && UsesGossipKey(c)
}

// ReservedPath reports whether the operator mounts a volume at this path of the Consul container.
func ReservedPath(c *v1alpha1.ConsulCluster, mount string) bool {
	mount = path.Clean(mount)
	return slices.Contains([]string{pathData, pathConfig, pathSettings, pathTmp}, mount) ||
		mount == PathTLS && UsesTLS(c) || mount == pathACL && UsesACLs(c)
}

// ReservedEnv reports whether an environment variable of the Consul container is reserved for the operator.
func ReservedEnv(name string) bool { return name == envPodIP }
