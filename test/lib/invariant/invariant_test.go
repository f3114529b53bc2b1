package invariant

import (
	"os"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

func TestTheDocumentationHasTheSameWords(t *testing.T) {
	g := NewWithT(t)
	text, err := os.ReadFile("../../../docs/architecture.md")
	g.Expect(err).NotTo(HaveOccurred())
	var documented []Invariant
	for _, row := range regexp.MustCompile(`(?m)^\| (I\d+) \| (.+?) \|`).FindAllSubmatch(text, -1) {
		documented = append(documented, Invariant{Name: string(row[1]), Sentence: string(row[2])})
	}
	g.Expect(documented).To(Equal(All))
}
