// Package test has nothing but a test of its README.
package test

import (
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheReadmeHasEachFolder(t *testing.T) {
	g := NewWithT(t)
	readme, err := os.ReadFile("README.md")
	g.Expect(err).NotTo(HaveOccurred())
	var documented []string
	for _, row := range regexp.MustCompile("(?m)^\\| `((?:cmd|lib|suite)/\\w+)` \\|").FindAllSubmatch(readme, -1) {
		documented = append(documented, string(row[1]))
	}
	folders, err := filepath.Glob("*/*") // of cmd, lib and suite
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(documented).To(ConsistOf(folders))
}
