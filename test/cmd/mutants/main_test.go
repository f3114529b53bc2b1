package main

import (
	"testing"

	. "github.com/onsi/gomega"
)

// The mutants themselves take minutes; that they are still about the code there is, is seen at once.
func TestEachMutantIsOneChange(t *testing.T) {
	g := NewWithT(t)
	mutants, err := all()
	g.Expect(err).NotTo(HaveOccurred())
	for _, m := range mutants {
		t.Run(m.Breaks, func(t *testing.T) {
			g := NewWithT(t)
			_, err := m.source("../../..")
			g.Expect(err).NotTo(HaveOccurred())
			g.Expect(m.Find).NotTo(Equal(m.Replace))
		})
	}
}
