package main

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const modules = "../tools"

// What is built must be what the go.mod files pin: names and versions are written down twice.
func TestToolsMatchTheirModules(t *testing.T) {
	known, err := knownTools(modules, "")
	if err != nil {
		t.Fatal(err)
	}
	for _, tool := range known {
		if tool.own {
			continue
		}
		content, err := os.ReadFile(filepath.Join(tool.dir, "go.mod"))
		if err != nil {
			t.Fatal(err)
		}
		mod := string(content)
		itself := strings.HasPrefix(mod, "module "+tool.pkg+"\n") // a main package of ours, with a library that has none
		if !itself && !strings.Contains(mod, "tool "+tool.pkg+"\n") && !strings.Contains(mod, "\t"+tool.pkg+"\n") {
			t.Errorf("%s: go.mod has no tool directive for %s", tool.name, tool.pkg)
		}
		version, isConsul := strings.CutPrefix(tool.name, "consul-")
		if isConsul && !strings.Contains(mod, "github.com/hashicorp/consul v"+version+" ") {
			t.Errorf("%s: go.mod requires another version", tool.name)
		}
		if tool.dir == filepath.Join(modules, "kubernetes") && !strings.Contains(mod, "k8s.io/kubernetes "+kubernetesVersion+" ") {
			t.Errorf("%s: kubernetesVersion is %s, go.mod requires another", tool.name, kubernetesVersion)
		}
		if tool.name == "etcd" && !strings.Contains(mod, "go.etcd.io/etcd/server/v3 "+etcdVersion+" ") {
			t.Errorf("etcdVersion is %s, go.mod requires another", etcdVersion)
		}
	}
}

// Both lanes keep the order in which programs were asked for: a second Consul is cheap after the first.
func TestWhatSharesNothingIsBuiltSideBySide(t *testing.T) {
	known, err := knownTools(modules, "")
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := choose(known, []string{"etcd", "consul-1.22.0", "kube-apiserver", "consul-1.22.7", "consul-operator"})
	if err != nil {
		t.Fatal(err)
	}
	got := lanes(chosen)
	want := [][]string{{"consul-1.22.0", "consul-1.22.7", "consul-operator"}, {"etcd", "kube-apiserver"}}
	for i := range want {
		if !slices.Equal(namesOf(got[i]), want[i]) {
			t.Errorf("lane %d: %v, want %v", i, namesOf(got[i]), want[i])
		}
	}
}

func TestUnknownNamesAreExplained(t *testing.T) {
	known, err := knownTools(modules, "")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"consul-9.9.9": `no Consul "9.9.9" here; there are 1.19.2, 1.22.0, 1.22.7`,
		"etc":          `no tool "etc"; there are controller-gen, etcd`,
	} {
		_, err := choose(known, []string{"etcd", name})
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("choose %s: %v, want %q in it", name, err, want)
		}
	}
}

func TestSameVersionTwiceIsBuiltOnce(t *testing.T) {
	known, err := knownTools(modules, "")
	if err != nil {
		t.Fatal(err)
	}
	chosen, err := choose(known, []string{"consul-1.22.7", "consul-1.22.7"})
	if err != nil || len(chosen) != 1 {
		t.Errorf("choose: %d tools, %v", len(chosen), err)
	}
}
