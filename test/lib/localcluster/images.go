package localcluster

import (
	"fmt"
	"os"
	"path"
	"path/filepath"
	"strings"
)

// Images returns the path of the program that stands for an image, or an error, which the node reports as a kubelet
// reports a failed pull.
type Images func(image string) (string, error)

// programOperator is the operator, which runs in the pods of Jobs.
const programOperator = "consul-operator"

// ConsulImages lets <binDir>/consul-<tag> stand for every image whose repository ends in /consul, and <binDir>/consul-operator
// for those of the operator.
func ConsulImages(binDir string) Images {
	if absolute, err := filepath.Abs(binDir); err == nil { // processes run elsewhere
		binDir = absolute
	}
	return func(image string) (string, error) {
		repository, tag := splitImage(image)
		if path.Base(repository) == programOperator {
			return filepath.Join(binDir, programOperator), nil
		}
		if path.Base(repository) != "consul" {
			return "", fmt.Errorf("failed to pull image %q: the local cluster knows images named consul only", image)
		}
		program := filepath.Join(binDir, "consul-"+tag)
		if info, err := os.Stat(program); err == nil && info.Mode().IsRegular() && !strings.Contains(tag, "/") {
			return program, nil
		}
		return "", fmt.Errorf("failed to pull image %q: not found; available are the tags %s",
			image, strings.Join(consulTags(binDir), ", "))
	}
}

func consulTags(binDir string) []string {
	programs, _ := filepath.Glob(filepath.Join(binDir, "consul-[0-9]*")) // the pattern is well-formed
	tags := make([]string, 0, len(programs))
	for _, program := range programs {
		tags = append(tags, strings.TrimPrefix(filepath.Base(program), "consul-"))
	}
	if len(tags) == 0 {
		return []string{"(none, run `make tools`)"}
	}
	return tags
}

// splitImage separates registry.example:5000/a/consul:1.2@sha256:... into repository and tag.
func splitImage(image string) (repository, tag string) {
	image, _, _ = strings.Cut(image, "@")
	colon := strings.LastIndex(image, ":")
	if colon < 0 || strings.Contains(image[colon:], "/") {
		return image, "latest"
	}
	return image[:colon], image[colon+1:]
}
