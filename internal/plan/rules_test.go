package plan

import (
	"go/ast"
	"go/parser"
	"go/token"
	"os"
	"regexp"
	"strings"
	"testing"

	. "github.com/onsi/gomega"
)

// The package document explains the rules in the order of the list, each under its name.
func TestThePackageDocumentHasEachRuleInOrder(t *testing.T) {
	g := NewWithT(t)
	source, err := os.ReadFile("rules.go")
	g.Expect(err).NotTo(HaveOccurred())
	var documented, listed []string
	for _, found := range regexp.MustCompile(`(?m)^//\s+\d+\. (\w+):`).FindAllSubmatch(source, -1) {
		documented = append(documented, string(found[1]))
	}
	for _, rule := range rules {
		listed = append(listed, rule.Name)
		g.Expect(rule.Why).NotTo(BeEmpty(), rule.Name)
	}
	g.Expect(documented).To(Equal(listed))
}

// A reader who has a rule's name, from a log or from the status, finds its file and its function without searching.
func TestEachRuleIsInTheFileOfItsName(t *testing.T) {
	for _, rule := range rules {
		t.Run(rule.Name, func(t *testing.T) {
			g := NewWithT(t)
			file, err := parser.ParseFile(token.NewFileSet(), strings.ToLower(rule.Name)+".go", nil, parser.SkipObjectResolution)
			g.Expect(err).NotTo(HaveOccurred())
			function := strings.ToLower(rule.Name[:1]) + rule.Name[1:]
			declared := false
			for _, declaration := range file.Decls {
				f, ok := declaration.(*ast.FuncDecl)
				declared = declared || ok && f.Recv == nil && f.Name.Name == function
			}
			g.Expect(declared).To(BeTrue(), "%s declares %s", file.Name, function)
		})
	}
}
