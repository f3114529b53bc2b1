package resources

import "path"

// ReservedContainer reports whether the name of a container or init container is reserved for the operator.
func ReservedContainer(name string) bool { return name == ContainerConsul || name == ContainerRecover }

// ReservedVolume reports whether the name of a volume is reserved for the operator.
func ReservedVolume(name string) bool {
	return name == volumeData || name == volumeConfig || name == volumeSettings || name == volumeTmp
}

// ReservedPath reports whether the operator mounts a volume at this path of the Consul container.
func ReservedPath(mount string) bool {
	mount = path.Clean(mount)
	return mount == pathData || mount == pathConfig || mount == pathSettings || mount == pathTmp
}

// ReservedEnv reports whether an environment variable of the Consul container is reserved for the operator.
func ReservedEnv(name string) bool { return name == envPodIP }
