package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// script is a program that says something.
func script(t *testing.T, dir, name, says string) {
	t.Helper()
	if err := os.WriteFile(filepath.Join(dir, name), []byte("#!/bin/sh\necho '"+says+"'\n"), 0o755); err != nil {
		t.Fatal(err)
	}
}

func TestConsulOfTheWantedVersionIsFound(t *testing.T) {
	for name, c := range map[string]struct {
		has       map[string]string
		file, why string
	}{
		"by its name":          {map[string]string{"consul": "Consul v1.22.7"}, "consul", ""},
		"by name and version":  {map[string]string{"consul-1.22.7": "Consul v1.22.7", "consul": "Consul v1.22.0"}, "consul-1.22.7", ""},
		"misnamed":             {map[string]string{"consul-1.22.7": "Consul v1.22.0", "consul": "Consul v1.22.7"}, "consul", ""},
		"another version":      {map[string]string{"consul": "Consul v1.22.70"}, "", `no Consul v1.22.7: consul is "Consul v1.22.70"`},
		"an enterprise Consul": {map[string]string{"consul": "Consul v1.22.7+ent"}, "", `consul is "Consul v1.22.7+ent"`},
		"none":                 {nil, "", "CONSUL_BIN_DIR has no consul-1.22.7 and no consul"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			for file, says := range c.has {
				script(t, dir, file, says)
			}
			t.Setenv("CONSUL_BIN_DIR", dir)
			path, why := readyConsul("1.22.7").find(t.Context())
			if c.file != "" && path != filepath.Join(dir, c.file) || c.file == "" && path != "" {
				t.Errorf("found %q, want %q", path, c.file)
			}
			if !strings.Contains(why, c.why) || c.why == "" && why != "" {
				t.Errorf("told %q, want %q", why, c.why)
			}
		})
	}
}

func TestAssetsOfTheSameMinorVersionAreFound(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("KUBEBUILDER_ASSETS", dir)
	script(t, dir, "etcd", "etcd Version: 3.6.1\nGit SHA: Not provided")
	script(t, dir, "kube-apiserver", "Kubernetes v1.35.3")
	script(t, dir, "kubectl", "Client Version: v1.36.0\nKustomize Version: v5.8.0")
	for name, found := range map[string]bool{"etcd": true, "kube-apiserver": false, "kubectl": true} {
		path, why := readyAssets(name).find(t.Context())
		if (path != "") != found || (why == "") != found {
			t.Errorf("%s: found %q, told %q, want found: %v", name, path, why, found)
		}
	}
	if path, why := readyAssets("kube-controller-manager").find(t.Context()); path != "" || why != "" {
		t.Errorf("envtest has no kube-controller-manager, but found %q, told %q", path, why)
	}
}

func TestNothingIsLookedForWithoutTheVariable(t *testing.T) {
	t.Setenv("CONSUL_BIN_DIR", "")
	if path, why := readyConsul("1.22.7").find(t.Context()); path != "" || why != "" {
		t.Errorf("found %q, told %q", path, why)
	}
}

func TestReadyConsulIsTakenUntilTheVariableChanges(t *testing.T) {
	root := t.TempDir()
	t.Setenv("CONSUL_BIN_DIR", filepath.Join(root, "theirs"))
	buildConsul(t, "", filepath.Join(root, "theirs", "consul"))
	buildConsul(t, "", filepath.Join(root, "others", "consul"))
	t.Chdir(root)
	if err := os.MkdirAll(filepath.Join(binDir, ".stamps"), 0o755); err != nil {
		t.Fatal(err)
	}
	consul := tool{name: "consul-1.22.7", ready: readyConsul("1.22.7")}
	take := func() []tool {
		t.Helper()
		stale, err := takeReady(t.Context(), []tool{consul})
		if err != nil {
			t.Fatal(err)
		}
		return stale
	}
	modified := func() int64 {
		t.Helper()
		info, err := os.Stat(consul.binary())
		if err != nil {
			t.Fatal(err)
		}
		return info.ModTime().UnixNano()
	}

	if left := take(); len(left) != 0 {
		t.Fatalf("still to be built: %v", namesOf(left))
	}
	if err := checkHostsFile(t.Context(), consul.binary()); err != nil {
		t.Error(err)
	}
	first := modified()
	if take(); modified() != first {
		t.Error("copied again though nothing changed")
	}
	t.Setenv("CONSUL_BIN_DIR", filepath.Join(root, "others"))
	if take(); modified() == first {
		t.Error("not copied again though the variable names another folder")
	}
}

// buildConsul builds the program in testdata, with the linker flags given.
func buildConsul(t *testing.T, ldflags, output string) {
	t.Helper()
	source, err := filepath.Abs("testdata/consul/main.go")
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "go", "build", "-ldflags", ldflags, "-o", output, source)
	cmd.Env = environment()
	if said, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
}

func TestProgramReadsTheFileHostsOfItsFolder(t *testing.T) {
	for name, ldflags := range map[string]string{"as its makers link it": "-s -w", "as we link it": "-s -w " + hostsFlag} {
		t.Run(name, func(t *testing.T) {
			path := filepath.Join(t.TempDir(), "consul")
			buildConsul(t, ldflags, path)
			asBuilt := checkHostsFile(t.Context(), path) == nil
			if asBuilt != strings.Contains(ldflags, hostsFlag) {
				t.Errorf("reads the file hosts as it was built: %v", asBuilt)
			}
			if err := readHostsFile(path); err != nil {
				t.Fatal(err)
			}
			if err := checkHostsFile(t.Context(), path); err != nil {
				t.Error(err)
			}
		})
	}
}

func TestConsulThatCannotReadTheFileIsRefused(t *testing.T) {
	root := t.TempDir()
	t.Chdir(root)
	if err := os.MkdirAll(binDir, 0o755); err != nil {
		t.Fatal(err)
	}
	script(t, root, "consul", "Consul v1.22.7")
	consul := tool{name: "consul-1.22.7", ready: readyConsul("1.22.7"), found: filepath.Join(root, "consul")}
	if err := consul.take(t.Context()); err == nil || !strings.Contains(err.Error(), "unset CONSUL_BIN_DIR") {
		t.Errorf("a script is no Consul: %v", err)
	}
	if exists(consul.binary()) {
		t.Error("it was copied all the same")
	}
}
