package admission

import (
	"os"
	"path/filepath"
	"testing"

	. "github.com/onsi/gomega"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/apis/meta/v1/unstructured"
	"sigs.k8s.io/controller-runtime/pkg/client"
	"sigs.k8s.io/yaml"
)

// What people copy is accepted as it is, and has no field that nobody knows.
func TestSamplesAreAccepted(t *testing.T) {
	g := NewWithT(t)
	files, err := filepath.Glob(filepath.Join(root, "config", "samples", "consul*.yaml"))
	g.Expect(err).NotTo(HaveOccurred())
	g.Expect(files).To(HaveLen(4))
	for _, file := range files {
		t.Run(filepath.Base(file), func(t *testing.T) {
			g := NewWithT(t)
			raw, err := os.ReadFile(file) //nolint:gosec // our own file
			g.Expect(err).NotTo(HaveOccurred())
			sample := &unstructured.Unstructured{}
			g.Expect(yaml.Unmarshal(raw, sample)).To(Succeed())
			sample.SetNamespace(namespace)
			strict := client.FieldValidation(metav1.FieldValidationStrict)
			g.Expect(as.admin.Create(t.Context(), sample, client.DryRunAll, strict)).To(Succeed())
		})
	}
}
