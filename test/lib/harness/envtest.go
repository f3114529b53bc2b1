package harness

import (
	"path/filepath"
	"time"

	"k8s.io/client-go/rest"
	"sigs.k8s.io/controller-runtime/pkg/envtest"
)

// patience is how long etcd and an API server may take to start, and to serve what a CRD defines. The 20 s and 10 s that are
// usual are too short for a machine that does much else.
const patience = 2 * time.Minute

// APIServer is an API server with etcd. It has to be started.
func APIServer(root string) *envtest.Environment {
	return &envtest.Environment{
		BinaryAssetsDirectory:    filepath.Join(root, "bin"),
		ControlPlaneStartTimeout: patience, ControlPlaneStopTimeout: patience,
		CRDInstallOptions: envtest.CRDInstallOptions{MaxTime: patience, ErrorIfPathMissing: true},
	}
}

// APIServerWithCRDs is one that serves the kinds of this API as well.
func APIServerWithCRDs(root string) *envtest.Environment {
	environment := APIServer(root)
	environment.CRDInstallOptions.Paths = []string{crds(root)}
	return environment
}

func crds(root string) string { return filepath.Join(root, "config", "crd", "bases") }

// InstallCRDs installs the CRDs in a folder, and waits until the API server serves what they define.
func InstallCRDs(config *rest.Config, folder string) error {
	_, err := envtest.InstallCRDs(config, envtest.CRDInstallOptions{
		Paths: []string{folder}, ErrorIfPathMissing: true, MaxTime: patience,
	})
	return err
}
