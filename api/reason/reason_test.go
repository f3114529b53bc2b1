package reason

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"path/filepath"
	"regexp"
	"testing"

	. "github.com/onsi/gomega"
)

const docs = "../../docs"

// Every reason says what it means, once, and is called by its value.
func TestEachReasonIsExplained(t *testing.T) {
	g := NewWithT(t)
	file, err := parser.ParseFile(token.NewFileSet(), "reason.go", nil, parser.SkipObjectResolution)
	g.Expect(err).NotTo(HaveOccurred())
	var declared, explained []string
	ast.Inspect(file, func(n ast.Node) bool {
		if spec, ok := n.(*ast.ValueSpec); ok && spec.Type.(*ast.Ident).Name == "Reason" {
			g.Expect(spec.Values[0].(*ast.BasicLit).Value).To(Equal(`"` + spec.Names[0].Name + `"`))
			declared = append(declared, spec.Names[0].Name)
		}
		return true
	})
	for _, info := range All() {
		explained = append(explained, string(info.Reason))
		g.Expect(info.Means).NotTo(BeEmpty(), "%s", info.Reason)
	}
	g.Expect(explained).To(ConsistOf(declared))
}

// Whoever has to act is told what to do, and finds the page that says how.
func TestWhatAPersonDoes(t *testing.T) {
	link := regexp.MustCompile(`\]\(([\w./-]+\.md)`)
	for _, info := range All() {
		t.Run(string(info.Reason), func(t *testing.T) {
			g := NewWithT(t)
			g.Expect(info.Reason.Stalls()).To(Equal(info.Attention == AttentionNow))
			if info.Attention != NoAttention {
				g.Expect(info.Act).NotTo(BeEmpty())
			}
			pages := []string{info.Runbook}
			for _, found := range link.FindAllStringSubmatch(info.Means+info.Act, -1) {
				pages = append(pages, found[1])
			}
			for _, page := range pages {
				_, err := os.Stat(filepath.Join(docs, page))
				g.Expect(err).NotTo(HaveOccurred())
			}
		})
	}
}

func TestAReasonOfNobodyStallsNothing(t *testing.T) {
	_, known := Of("Whatever")
	NewWithT(t).Expect(known).To(BeFalse())
	NewWithT(t).Expect(Reason("Whatever").Stalls()).To(BeFalse())
}
